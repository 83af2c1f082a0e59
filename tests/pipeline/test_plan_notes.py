"""What a plan says beside its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.cli.plan_table import plan_table
from tests.pipeline.runs import write_prompts
from tests.pipeline.test_plan import fake_plan, planned


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path, red_team=6, helpful=4)


def test_a_judge_whose_verdicts_are_sampled_is_said_to_be_dearer(tmp_path: Path, prompts: Path) -> None:
    scoring = fake_plan(tmp_path / "run", prompts)
    sampling = fake_plan(tmp_path / "run", prompts, judge="fake?scores=0", rubric__principles_per_answer=1)
    said = "this judge gives no usable log-probabilities; every"
    assert scoring["notes"] == []
    assert sampling["notes"] == [
        f"rubric: {said} grade is 8 samples (rubric.fallback_samples)",
        f"label: {said} verdict is 8 samples (label.fallback_samples)",
    ]
    assert sum(planned(sampling, "calls")["label"]) == 8 * sum(planned(scoring, "calls")["label"])
    assert f"note         {sampling['notes'][1]}\n" in plan_table(sampling) + "\n"
    reasoned = fake_plan(tmp_path / "run", prompts, judge="fake?scores=0", label__reasoning_samples=2)
    assert reasoned["notes"] == []


def test_a_judge_whose_probed_verdicts_cannot_be_read_is_told_before_it_is_paid(tmp_path: Path, prompts: Path) -> None:
    """Also by a plan that asks nothing, of the answers that are there."""
    good = fake_plan(tmp_path / "run", prompts, probe=4, judge="fake?scores=0")
    assert not any("could not be read" in note for note in good["notes"])
    for probe in (4, 0):
        plan = fake_plan(tmp_path / "run", prompts, probe=probe, judge="fake?scores=0&echo=1")
        [said] = [note for note in plan["notes"] if "could not be read" in note]
        unread, _, verdicts = said.removeprefix("label: ").split()[:3]
        assert unread == verdicts and int(verdicts) == 2 * 2, "two red-team prompts in both orders"
        assert f"note         {said}" in plan_table(plan)


def test_a_probe_of_all_prompts_is_said_to_leave_nothing_to_pay(tmp_path: Path, prompts: Path) -> None:
    part, whole, again = (fake_plan(tmp_path / "run", prompts, probe=probe) for probe in (9, 10, 10))
    assert part["notes"] == []
    assert whole["notes"] == again["notes"] == ["the probe covers all 10 prompts: no call is left to pay"]
    assert whole["total"]["calls"] == 0 and whole["probe"]["calls"] > 0
    more = fake_plan(tmp_path / "run", prompts, probe=10, evaluate__prompts=20)
    assert more["total"]["calls"] > 0
    assert more["notes"] == ["the probe covers all 10 prompts: only the calls that the table counts are left to pay"]


def test_what_is_answered_where_no_answer_was_is_explained(tmp_path: Path, prompts: Path) -> None:
    """The audit asks some verdicts twice over; of a later plan the answers were there."""
    nothing, probed, later = (fake_plan(tmp_path / "run", prompts, probe=probe, audit__items=4) for probe in (0, 4, 4))
    assert nothing["total"]["answered"] == 4 < probed["total"]["answered"] == later["total"]["answered"]
    said = 'no answer was there before: those under "answered" are '
    assert nothing["notes"] == [f"{said}equal to another call of this run"]
    assert probed["notes"] == [f"{said}asked by the probe just now, or equal to another call of this run"]
    assert later["notes"] == []
