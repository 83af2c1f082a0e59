"""The benchmark of plans tells what a plan got wrong, also where it said that nothing would be asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.bench_plan import EXACT, compared
from tests.benchmarks.measure import Result

STEP: dict[str, Any] = {
    "step": "label", "calls": 0, "calls_low": 0, "calls_high": 0, "calls_exact": True, "prompt_tokens": 0,
    "completion_tokens": 0, "seconds": 0.0,
}  # fmt: skip


def test_calls_that_were_not_planned_are_told() -> None:
    total = {"calls_low": 0, "calls_high": 0, "seconds": 6.0}
    plan = {"steps": [STEP], "total": total, "unmeasured": ["audit"]}
    made = {"calls_made": 40, "prompt_tokens": 900, "completion_tokens": 0, "seconds": 2.0}
    found = {one.name: one for one in compared(plan, {"label": made}, 8.0)}
    missed = found["plan_calls_label"]
    assert (missed.ratio, missed.bar, missed.theirs) == (0.0, "= 1", 40)
    assert found["plan_calls"].ratio == found["plan_tokens"].ratio == 0.0
    assert missed.holds is False and found["plan_within_label"].holds is False and not found["plan_calls"].holds
    assert found["plan_seconds"].holds and found["plan_untimed_steps"].holds is False
    assert found["plan_seconds"].ratio == 0.75 and found["plan_untimed_steps"].ours == 1


def test_calls_that_were_not_made_are_told() -> None:
    step = {**STEP, "calls": 7, "calls_low": 7, "calls_high": 7}
    plan = {"steps": [step], "total": {"calls_low": 7, "calls_high": 7, "seconds": None}, "unmeasured": []}
    found = {one.name: one for one in compared(plan, {"label": {"seconds": 0.1}}, 1.0)}
    assert found["plan_calls_label"].ratio == 7 and found["plan_calls"].ratio == 7


def test_a_plan_that_calls_nothing_exact_misses_its_bars() -> None:
    """What hangs on no answer has to be exact, and said to be; the rest has to lie in its range."""
    vague = {"calls": 9, "calls_low": 5, "calls_high": 12, "calls_exact": False}
    steps = [{**STEP, **vague, "step": name} for name in (*EXACT, "label", "audit")]
    made = {name: {"calls_made": 10, "seconds": 0.1} for name in (*EXACT, "label")} | {
        "audit": {"calls_made": 13, "seconds": 0.1}
    }
    plan = {"steps": steps, "total": {"calls_low": 25, "calls_high": 60, "seconds": 1.0}, "unmeasured": []}
    found = {one.name: one.holds for one in compared(plan, made, 1.0)}
    assert not any(found[f"plan_calls_{name}"] for name in EXACT) and found["plan_exact_steps"] is False
    assert found["plan_calls_label"] is None
    assert (found["plan_within_label"], found["plan_within_audit"]) == (True, False)
    sure = {"calls": 10, "calls_low": 10, "calls_high": 10, "calls_exact": True}
    exact = [{**one, **sure} if one["step"] in EXACT else one for one in steps]
    found = {one.name: one.holds for one in compared({**plan, "steps": exact}, made, 1.0)}
    assert all(found[f"plan_calls_{name}"] for name in EXACT) and found["plan_exact_steps"]


@pytest.mark.parametrize(
    ("bar", "ratio", "holds"),
    [("= 1", 1, True), ("= 1", 0.99, False), ("= 0", 0, True), ("0.9 to 1.1", 1.1, True), ("0.9 to 1.1", 1.2, False),
     ("reported", 7, None), ("low > 0.5", 9, False), ("high <= 2", 9, True)],
)  # fmt: skip
def test_bars(bar: str, ratio: float, holds: bool | None) -> None:
    assert Result("a", ratio, 0.5, 2.0, bar, 1, 1, "", "").holds is holds
