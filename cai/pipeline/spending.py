"""What a command may spend, in calls, tokens or money: looked at before every request, so that no bound is passed."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cai.errors import BudgetError, ConfigError
from cai.pipeline.prices import (
    MILLION,
    Price,
    Prices,
    asked_for,
    is_local,
    money_of,
    money_text,
    priced_roles,
    unpriced,
)
from cai.records import Answer, ChoiceRequest, ChoiceScores, Completion, Failure, Json, Request

_BUDGET = re.compile(r"(\d[\d_,]*(?:\.\d+)?|\.\d+)\s*([kM]?)\s*(calls|tokens|)")
_TIMES = {"": 1, "k": 1_000, "M": MILLION}
_TEMPLATE = 128
"""Tokens that a chat template, or an engine that has a prefix repeated, may add to a request, at most."""
_TURN = 16
"""Tokens that it may add to a turn."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, tokens, and money in the unit of the prices."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls, self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens, self.money + other.money,
        )  # fmt: skip

    def __sub__(self, other: Cost) -> Cost:
        return self + Cost(-other.calls, -other.prompt_tokens, -other.completion_tokens, -other.money)

    def to_json(self) -> Json:
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "money": round(self.money, 6),
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a command may spend; None where there is no bound."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None

    def allows(self, cost: Cost) -> bool:
        pairs = ((self.calls, cost.calls), (self.tokens, cost.tokens), (self.money, cost.money))
        return all(most is None or spent <= most for most, spent in pairs)

    def passed_by(self, cost: Cost) -> str:
        """The first bound that `cost` would pass, to be read."""
        if self.calls is not None and cost.calls > self.calls:
            return f"{self.calls:,} calls"
        if self.tokens is not None and cost.tokens > self.tokens:
            return f"{self.tokens:,} tokens"
        return f"{money_text(self.money)} of money" if self.money is not None else "nothing"

    @property
    def bounded(self) -> bool:
        return self != Budget()


def scored_tokens(spec: str) -> int:
    """How many tokens are written, and charged, to score choices: a server writes one, a local model none."""
    return 0 if is_local(spec) else 1


def parse_budget(texts: Sequence[str]) -> Budget:
    """``5.50`` is money, ``2000calls`` and ``3Mtokens`` are those; k and M multiply. Raises `ConfigError`."""
    found: dict[str, float] = {}
    for text in texts:
        match = _BUDGET.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"--budget {text!r}: expected money such as 5.50, or 2000calls, or 3Mtokens")
        number = float(match[1].replace(",", "").replace("_", "")) * _TIMES[match[2]]
        unit = match[3] or "money"
        if unit in found:
            raise ConfigError(f"--budget {text!r}: {unit} are bounded twice")
        if unit != "money" and not number.is_integer():
            raise ConfigError(f"--budget {text!r}: {unit} are counted in whole numbers")
        found[unit] = number
    whole = {unit: int(value) for unit, value in found.items() if unit != "money"}
    return Budget(whole.get("calls"), whole.get("tokens"), found.get("money"))


@dataclass(slots=True)
class Spending:
    """What one command has spent, and what it may; `held` is the most that the requests under way can cost."""

    budget: Budget = field(default_factory=Budget)
    prices: Prices = field(default_factory=Prices)
    spent: Cost = field(default_factory=Cost)
    held: Cost = field(default_factory=Cost)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, specs: Mapping[str, str]) -> None:
        """Raise `ConfigError` for a budget of money while tokens that cost money have no price, or none cost any.

        `specs` names the model of each role that is asked.
        """
        if self.budget.money is None:
            return
        bounds = "or bound the calls (2000calls) or tokens (3Mtokens)"
        lacks = {role: self.prices.lacking(role, spec) for role, spec in specs.items() if not is_local(spec)}
        if any(lacks.values()):
            raise ConfigError(
                f"--budget {self.budget.money:g} is money, and there is no price for {unpriced(lacks)}: give "
                f"{asked_for(lacks)} (for a million tokens; 0 where they are free), {bounds}"
            )
        if not any(self.prices.of(role, spec) for role, spec in specs.items()):
            raise ConfigError(
                f"--budget {self.budget.money:g} is money, and no model that is asked is an endpoint: name the role of "
                f"a model on this machine to price it ({priced_roles(list(specs))}), {bounds}"
            )

    def meter(self, role: str, spec: str) -> Meter:
        """What counts one stage's calls."""
        return Meter(self, self.prices.of(role, spec), scored_tokens(spec))


@dataclass(slots=True)
class Meter:
    """Lets requests through while the most that they can cost fits the budget, and counts what answers did cost.

    A prompt has at most a token a byte and those of the template; should an answer tell more, later ones are held by
    as many more. What got no answer is taken to have cost the most. `scored` is as `scored_tokens` says.
    """

    spending: Spending
    price: Price | None = None
    scored: int = 0
    total: Cost = field(default_factory=Cost)
    _rate: float = 1.0

    def admit(self, request: Request) -> Cost | None:
        """The most that `request` can cost, held until it is settled; None if that does not fit the budget now."""
        most = self._most(request)
        with self.spending.lock:
            if not self._allows(most):
                return None
            self.spending.held += most
        return most

    def again(self, request: Request) -> bool:
        """Whether a request under way may be sent once more; if so, its last attempt is counted as the most."""
        most = self._most(request)
        with self.spending.lock:
            if allowed := self._allows(most):
                self._count(most)
        return allowed

    def settle(self, request: Request, most: Cost, answer: Answer) -> None:
        """Count what the answer did cost; a server that tells no tokens is taken to have used the most."""
        with self.spending.lock:
            self.spending.held -= most
            self._count(self._cost(request, most, answer))

    def _allows(self, most: Cost) -> bool:
        return self.spending.budget.allows(self.spending.spent + self.spending.held + most)

    def _count(self, cost: Cost) -> None:
        self.spending.spent += cost
        self.total += cost

    def refused(self, request: Request, step: str) -> BudgetError:
        """The error that stops a stage."""
        spent, budget = self.spending.spent, self.spending.budget
        fits = budget.allows(self._most(request))
        more = "goes on from here: each counts its --budget from zero" if fits else "needs a greater --budget to go on"
        money = f" and {spent.money:,.4f} of money" if self.spending.prices.given else ""
        return BudgetError(
            f"{step}: the next call could pass the budget of {budget.passed_by(spent + self._most(request))}, so it "
            f"was not made; spent: {spent.calls:,} calls, {spent.tokens:,} tokens{money}; all that was answered is "
            f"kept, and the same command {more}"
        )

    def _most(self, request: Request) -> Cost:
        size, written = most_tokens(request, self.scored)
        tokens = math.ceil(self._rate * size)
        return Cost(1, tokens, written, money_of(self.price, tokens, written))

    def _cost(self, request: Request, most: Cost, answer: Answer) -> Cost:
        match answer:
            case Failure():
                return most
            case ChoiceScores():
                prompt, written = answer.prompt_tokens, self.scored
            case Completion():
                prompt, written = answer.prompt_tokens, answer.completion_tokens
                if not prompt and not written:
                    written = most.completion_tokens
        if prompt:
            self._rate = max(self._rate, prompt / _size(request))
        else:
            prompt = most.prompt_tokens
        return Cost(1, prompt, written, money_of(self.price, prompt, written))


def most_tokens(request: Request, scored: int) -> tuple[int, int]:
    """The most tokens that a request can have: of its prompt, a token a byte and the template's; and of its answer."""
    return _size(request), scored if isinstance(request, ChoiceRequest) else request.sampling.max_tokens


def _size(request: Request) -> int:
    texts = [*(message.content for message in request.messages), request.prefix]
    return (
        sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        + _TURN * (len(request.messages) + 1)
        + _TEMPLATE
    )
