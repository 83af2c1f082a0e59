"""The rows of a plan, one a step, and their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cai.pipeline.plan_money import Worth
from cai.records import Json


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One step of the plan. Calls and tokens are those still to be made; `answered` ones cost nothing.

    `seconds` and `completion_tokens` are None where nothing was there to measure; `timed` says by what the seconds were
    told: "probe", "plan" for the probe of an earlier one, or "run" for the speed that this run's manifest has of the
    same model.
    """

    step: str
    why: str
    answered: int = 0
    calls: int = 0
    calls_low: int = 0
    calls_high: int = 0
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    seconds: float | None = 0.0
    timed: str = ""
    training_steps: int = 0
    worth: Worth = field(default_factory=Worth)

    @property
    def exact(self) -> bool:
        return self.calls_low == self.calls_high

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + (self.completion_tokens or 0)

    @property
    def unpriced(self) -> bool:
        """Whether its money is not all that it will cost."""
        return self.worth.unknown or bool(self.worth.lacks)

    def to_json(self) -> Json:
        money = self.worth.money
        return {
            "step": self.step, "why": self.why, "answered": self.answered, "calls": self.calls,
            "calls_low": self.calls_low, "calls_high": self.calls_high, "calls_exact": self.exact,
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
            "tokens_error": round(self.worth.tokens_error),
            "seconds": None if self.seconds is None else round(self.seconds, 1), "timed": self.timed,
            "money": None if money is None else round(money, 6), "training_steps": self.training_steps,
            "unpriced": self.unpriced, "no_price": {role: list(kinds) for role, kinds in self.worth.lacks.items()},
        }  # fmt: skip


def total_of(rows: Sequence[PlanRow], besides: float) -> Json:
    """The sum of the rows, with the seconds `besides` them; the money is of what has a price."""
    keys = ("answered", "calls", "calls_low", "calls_high", "prompt_tokens")
    total = {key: sum(getattr(row, key) for row in rows) for key in keys}
    written = [row.completion_tokens for row in rows if row.completion_tokens is not None]
    money = [row.worth.money for row in rows if row.worth.money is not None]
    lacks: dict[str, set[str]] = {}
    for row in rows:
        for role, kinds in row.worth.lacks.items():
            lacks.setdefault(role, set()).update(kinds)
    unknown = any(row.worth.unknown for row in rows)
    measured = any(row.seconds for row in rows) or all(row.seconds is not None for row in rows)
    return total | {
        "calls_exact": total["calls_low"] == total["calls_high"],
        "tokens_error": round(math.hypot(*(row.worth.tokens_error for row in rows))),
        "completion_tokens": sum(written) if len(written) == len(rows) else None,
        "seconds": round(sum(row.seconds or 0.0 for row in rows) + besides, 1) if measured else None,
        "money": round(sum(money), 6) if money and not unknown else None,
        "unpriced": unknown or bool(lacks),
        "no_price": {role: sorted(kinds, reverse=True) for role, kinds in lacks.items()},
    }
