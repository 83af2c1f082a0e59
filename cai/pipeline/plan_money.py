"""What the calls of a step cost, how sure that is, what has no price, and the most that is held for one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cai.pipeline.job import Job
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_walk import SIGMAS, Tally
from cai.pipeline.prices import MILLION, Price, money_of

_OF_TOKENS = Price(MILLION, MILLION)
"""With it the money of tokens is their number."""
Lacks = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Worth:
    """Errors are half of a 95 % interval. `money` is None where no price applies, or where it is `unknown`.

    It is `unknown` where there is a price and it hangs on tokens that are not known. `lacks` names, by role, the kinds
    of tokens that cost money and have no price. `surely_held` and `held` are (tokens, money) of one call at the most:
    of one that will be made, and of any that may be.
    """

    tokens_error: float = 0.0
    money: float | None = None
    money_error: float = 0.0
    unknown: bool = False
    lacks: Lacks = field(default_factory=dict)
    surely_held: tuple[float, float] = (0.0, 0.0)
    held: tuple[float, float] = (0.0, 0.0)


def worth(job: Job, rates: Rates, like: str, parts: Sequence[tuple[str, Tally]]) -> Worth:
    """Of the calls of a step, (role, tally) each; its answers are taken for those of the step `like`."""
    prices = [_price(job, role) for role, _ in parts]
    tallies = [one for _, one in parts]
    both = list(zip(prices, tallies, strict=True))
    priced = [(price, one) for price, one in both if price is not None]
    unknown = bool(priced) and any(one.untold for one in tallies)
    money = sum(money_of(price, one.prompt_tokens, one.completion_tokens) for price, one in priced)
    return Worth(
        math.hypot(*(_error(rates, like, one, _OF_TOKENS) for one in tallies)),
        money if priced and not unknown else None,
        math.hypot(*(_error(rates, like, one, price) for price, one in priced)),
        unknown,
        _lacks(job, parts) if job.spending.prices.given else {},
        _most((sum(one.surely_held), money_of(price, *one.surely_held)) for price, one in both),
        _most((sum(one.held), money_of(price, *one.held)) for price, one in both),
    )  # fmt: skip


def _price(job: Job, role: str) -> Price | None:
    return None if role == "sft" else job.spending.prices.of(job.payer(role), job.engine(role).spec)


def _error(rates: Rates, like: str, tally: Tally, price: Price) -> float:
    """Of how many calls there are, of how long prompts are in tokens, and of how long answers are."""
    of_calls = tally.spread / tally.expected if tally.expected else 0.0
    of_prompts = rates.reading(like).error * tally.prompt_tokens
    of_answers = math.hypot(*(n * rates.tokens_written(like, kind).error for kind, n in tally.written.items()))
    return SIGMAS * math.hypot(
        of_calls * money_of(price, tally.prompt_tokens, tally.completion_tokens),
        money_of(price, of_prompts, 0),
        money_of(price, 0, of_answers),
    )


def _lacks(job: Job, parts: Sequence[tuple[str, Tally]]) -> dict[str, tuple[str, ...]]:
    found = {}
    for role, tally in parts:
        tokens = {"prompt": tally.prompt_tokens > 0, "completion": tally.completion_tokens > 0 or tally.untold}
        kinds = () if role == "sft" else job.spending.prices.lacking(job.payer(role), job.engine(role).spec)
        if lacks := tuple(kind for kind in kinds if tokens[kind]):
            found[job.payer(role)] = lacks
    return found


def _most(each: Iterable[tuple[float, float]]) -> tuple[float, float]:
    tokens, money = zip(*each, strict=True)
    return max(tokens), max(money)
