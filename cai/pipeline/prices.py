"""What tokens cost: prices by role, which models cost money at all, and what has no price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cai.errors import ConfigError, did_you_mean

PRICED = ("model", "critic", "judge")
MILLION = 1_000_000
OPTIONS = {"prompt": "--price-prompt", "completion": "--price-completion"}
_EXAMPLES = {"prompt": "0.15", "completion": "0.60"}


class Price(NamedTuple):
    """Money for a million tokens of each kind; None where no price is given."""

    prompt: float | None
    completion: float | None


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens: `prompt` and `completion` by role; "" is every role whose model is an endpoint's."""

    prompt: Mapping[str, float] = field(default_factory=dict)
    completion: Mapping[str, float] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        return bool(self.prompt or self.completion)

    def of(self, role: str, spec: str) -> Price | None:
        """What the model of a role charges; None for one that costs no money, or of which no price is given.

        A model on this machine has a price only where its role is named, the policy that the run trains never.
        """
        named = role in self.prompt or role in self.completion
        if role not in PRICED or (not named and is_local(spec)):
            return None
        free = 0.0 if is_local(spec) else None
        found = Price(*(table.get(role, table.get("", free)) for table in (self.prompt, self.completion)))
        return None if found == (None, None) else found

    def lacking(self, role: str, spec: str) -> tuple[str, ...]:
        """The kinds of tokens, "prompt" and "completion", that cost money and have no price; none of a local model."""
        if role not in PRICED or is_local(spec):
            return ()
        return tuple(
            kind for kind, one in zip(OPTIONS, self.of(role, spec) or (None, None), strict=True) if one is None
        )

    def check(self, models: Mapping[str, str]) -> None:
        """Raise `ConfigError` for a price that applies to nothing; `models` has the model of each role with one."""
        endpoints = [role for role, spec in models.items() if not is_local(spec)]
        for kind, table in (("prompt", self.prompt), ("completion", self.completion)):
            for role, price in table.items():
                if role and role not in models:
                    raise ConfigError(
                        f"{OPTIONS[kind]} {role}={price:g} applies to nothing: the {role} of this run is its model; "
                        f"name that ({OPTIONS[kind]} model={price:g}), or give the {role} a model of its own (--{role})"
                    )
                if not role and not endpoints:
                    raise ConfigError(
                        f"{OPTIONS[kind]} {price:g} applies to nothing: no model of this run is an endpoint; to price "
                        f"one on this machine, name its role ({_named(kind, models, f'{price:g}', ' or ')})"
                    )


def unpriced(lacks: Mapping[str, Sequence[str]]) -> str:
    """The kinds of tokens without a price, by role, to be read: ``"the tokens of model, prompt tokens of judge"``."""
    by_kinds: dict[tuple[str, ...], list[str]] = {}
    for role, kinds in lacks.items():
        if kinds:
            by_kinds.setdefault(tuple(kinds), []).append(role)
    said = {kinds: "the tokens" if len(kinds) > 1 else f"{kinds[0]} tokens" for kinds in by_kinds}
    return ", ".join(f"{said[kinds]} of {' and '.join(roles)}" for kinds, roles in by_kinds.items())


def asked_for(lacks: Mapping[str, Sequence[str]]) -> str:
    """The options that would give the prices that are lacking, with numbers for example."""
    options = []
    for kind in OPTIONS:
        roles = [role for role, kinds in lacks.items() if kind in kinds]
        if len(roles) == len(lacks):
            options.append(f"{OPTIONS[kind]} {_EXAMPLES[kind]}")
        elif roles:
            options.append(_named(kind, roles, _EXAMPLES[kind], " "))
    return " ".join(options)


def priced_roles(roles: Sequence[str]) -> str:
    """How to price models on this machine, with numbers for example."""
    return _named("prompt", roles, _EXAMPLES["prompt"], " or ")


def _named(kind: str, roles: Mapping[str, str] | Sequence[str], price: str, between: str) -> str:
    return between.join(f"{OPTIONS[kind]} {role}={price}" for role in roles)


def is_local(spec: str) -> bool:
    """Whether the model of this name runs on this machine."""
    return spec.partition("/")[0] == "hf"


def money_of(price: Price | None, prompt_tokens: float, completion_tokens: float) -> float:
    """What so many tokens cost, less those that have no price."""
    if price is None:
        return 0.0
    return (prompt_tokens * (price.prompt or 0.0) + completion_tokens * (price.completion or 0.0)) / MILLION


def money_text(amount: float) -> str:
    """An amount to be read: two digits, or as many of six as it takes."""
    short = f"{amount:,.2f}"
    return short if abs(amount - round(amount, 2)) < 5e-7 else f"{amount:,.6f}".rstrip("0")


def parse_prices(prompt: Sequence[str], completion: Sequence[str]) -> Prices:
    """Prices as ``0.15`` for every endpoint or ``judge=2.50`` for one role. Raises `ConfigError`."""
    return Prices(_by_role(OPTIONS["prompt"], prompt), _by_role(OPTIONS["completion"], completion))


def _by_role(option: str, texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        role, equals, number = text.rpartition("=")
        if equals and role not in PRICED:
            near = did_you_mean(role, PRICED)
            raise ConfigError(f"{option} {text!r}: no role is named '{role}'{near} (roles: {', '.join(PRICED)})")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{option} {text!r}: expected money for a million tokens, such as 0.15 or judge=2.50")
        if role in found:
            raise ConfigError(f"{option} {text!r}: the price of {role or 'every endpoint'} is given twice")
        found[role] = value
    return found
