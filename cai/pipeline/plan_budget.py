"""Whether a run keeps to a budget: all that it may come to, and the most that is held for one call, beside the bound.

A run waits for the answers under way where the next call does not fit beside what is held for them, and stops only
where it does not fit beside what is spent (`stage_loop`). So one call, at its most, has to find room after all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cai.pipeline.plan_rows import PlanRow
from cai.pipeline.prices import money_text
from cai.pipeline.spending import Budget
from cai.records import Json

KEEPS, MAY_STOP, STOPS, UNKNOWN = "keeps", "may stop", "stops", "unknown"


def spans(rows: Sequence[PlanRow]) -> Json:
    """``{calls, tokens, money}`` of a plan: `least` and `most` in all, and `surely_held` and `held` for one call.

    `most` is None where no answer has told how long it may be. Errors of steps are added up, for they may go together.
    """
    told = all(row.completion_tokens is not None for row in rows)
    amounts: dict[str, list[tuple[float, float, float, float]]] = {
        "calls": [(row.calls_low, row.calls_high, 0.0, 0.0) for row in rows],
        "tokens": [_span(row, 0, row.tokens, row.worth.tokens_error) for row in rows],
        "money": [_span(row, 1, row.worth.money or 0.0, row.worth.money_error) for row in rows],
    }
    return {
        unit: {
            "least": sum(one[0] for one in each),
            "most": sum(one[1] for one in each) if told or unit == "calls" else None,
            "surely_held": max((one[2] for one in each), default=0),
            "held": max((one[3] for one in each), default=0),
        }
        for unit, each in amounts.items()
    }  # fmt: skip


def _span(row: PlanRow, at: int, value: float, error: float) -> tuple[float, float, float, float]:
    return max(0.0, value - error), value + error, row.worth.surely_held[at], row.worth.held[at]


@dataclass(frozen=True, slots=True)
class _Bound:
    most: float
    text: str


def kept_to(span: Json, budget: Budget) -> Json | None:
    """``{says, fits, passes, needs}`` of what `spans` returns; None without a budget.

    `says` is "keeps", "may stop" (before its end), "stops", or "unknown"; `fits` is True for the first, False for the
    third, else None; `passes` is the bound in question; `needs` the bound of that unit to which the run would keep,
    None where it is unknown.
    """
    found = [
        (_answer(span[unit], bound.most), bound.text, _need(span[unit])) for unit, bound in _bounds(budget).items()
    ]
    for says, fits in ((STOPS, False), (MAY_STOP, None), (UNKNOWN, None)):
        if hit := next((one for one in found if one[0] == says), None):
            return {"says": says, "fits": fits, "passes": hit[1], "needs": hit[2]}
    return {"says": KEEPS, "fits": True, "passes": None, "needs": None} if found else None


def _bounds(budget: Budget) -> dict[str, _Bound]:
    found = {}
    if budget.calls is not None:
        found["calls"] = _Bound(budget.calls, f"{budget.calls:,} calls")
    if budget.tokens is not None:
        found["tokens"] = _Bound(budget.tokens, f"{budget.tokens:,} tokens")
    if budget.money is not None:
        found["money"] = _Bound(budget.money, f"{money_text(budget.money)} of money")
    return found


def _answer(span: Json, bound: float) -> str:
    if span["least"] > bound or span["surely_held"] > bound:
        return STOPS
    need = _need(span)
    return UNKNOWN if need is None else KEEPS if need <= bound else MAY_STOP


def _need(span: Json) -> float | None:
    return None if span["most"] is None else span["most"] + span["held"]
