"""The benchmark of plans tells what a plan got wrong, also where it said that nothing would be asked."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.bench_plan import compared

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
    assert found["plan_seconds"].ratio == 0.75 and found["plan_untimed_steps"].ours == 1


def test_calls_that_were_not_made_are_told() -> None:
    step = {**STEP, "calls": 7, "calls_low": 7, "calls_high": 7}
    plan = {"steps": [step], "total": {"calls_low": 7, "calls_high": 7, "seconds": None}, "unmeasured": []}
    found = {one.name: one for one in compared(plan, {"label": {"seconds": 0.1}}, 1.0)}
    assert found["plan_calls_label"].ratio == 7 and found["plan_calls"].ratio == 7
