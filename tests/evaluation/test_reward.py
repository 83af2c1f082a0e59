from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cai.evaluation.reward import evaluate_reward, soft_cross_entropy
from cai.records import Preference, Prompt, user

PROMPT = Prompt.make((user("q"),))


def pair(p_a: float, a: str = "long answer", b: str = "short") -> Preference:
    return Preference(PROMPT, a, b, p_a)


def test_figures_of_a_planted_set():
    rows = [pair(1.0), pair(0.9), pair(0.2), pair(0.5), pair(0.7, "same!", "size!")]
    found = evaluate_reward(rows, [2.0, -1.0, 0.0, 3.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0])
    assert (found.pairs, found.ties, found.not_scored) == (5, 1, 0)
    assert found.accuracy.value == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert found.always_longer.value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found.lift_over_longer.value == pytest.approx(0.0)
    assert found.prefers_longer.value == pytest.approx((1 + 0 + 0 + 1) / 4)
    assert found.mean_margin == pytest.approx((1 - 1 + 1 + 0) / 4)
    logits = torch.tensor([1.0, -1.0, -1.0, 2.0, 0.0], dtype=torch.float64)
    labels = torch.tensor([1.0, 0.9, 0.2, 0.5, 0.7], dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
    assert found.cross_entropy == pytest.approx(expected)
    json.dumps(found.to_json(), allow_nan=False)


def test_pairs_of_one_prompt_stand_or_fall_together():
    """Ten prompts of four pairs, all right or all wrong: as unsure as ten pairs, not as forty."""
    prompts = [Prompt.make((user(f"q {at}"),)) for at in range(10)]
    rows = [Preference(one, f"a {at}", f"b {at}", 1.0) for one in prompts for at in range(4)]
    scores = [1.0 if at % 2 else -1.0 for at in range(10) for _ in range(4)]
    many = evaluate_reward(rows, scores, [0.0] * 40)
    few = evaluate_reward(rows[::4], scores[::4], [0.0] * 10)
    assert (many.prompts, many.accuracy.n, many.accuracy_by_prompt.n) == (10, 40, 40)
    assert many.accuracy.high - many.accuracy.low == pytest.approx(0.3, abs=0.02)
    assert many.accuracy_by_prompt.high - many.accuracy_by_prompt.low == pytest.approx(0.65, abs=0.02)
    assert few.accuracy_by_prompt == few.accuracy


def test_a_pair_that_cannot_be_scored_counts_as_that_alone():
    found = evaluate_reward([pair(1.0), pair(1.0)], [1.0, math.nan], [0.0, 0.0])
    assert (found.pairs, found.not_scored, found.accuracy.n) == (1, 1, 1)


@pytest.mark.parametrize("rows", [[], [pair(0.5)], [pair(1.0)]])
def test_what_no_pair_tells_is_null(rows):
    found = evaluate_reward(rows, [1.0] * len(rows), [0.0] * len(rows)).to_json()
    json.dumps(found, allow_nan=False)
    assert (found["accuracy"]["value"] is None) == (not rows or rows[0].p_a == 0.5)
    assert found["lift_over_longer"]["low"] is None and (found["cross_entropy"] is None) == (not rows)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-9, 9), st.floats(-9, 9)), min_size=1))
def test_swapping_sides_changes_nothing(rows):
    there = [pair(p) for p, _, _ in rows]
    a, b = [one for _, one, _ in rows], [one for _, _, one in rows]
    first, second = evaluate_reward(there, a, b), evaluate_reward([one.swap() for one in there], b, a)
    assert first.accuracy.n == pytest.approx(second.accuracy.n, abs=sum(0 < abs(p - 0.5) < 1e-9 for p, _, _ in rows))
    assert first.cross_entropy == pytest.approx(second.cross_entropy)
    assert first.prefers_longer == second.prefers_longer


@given(st.floats(0, 1), st.floats(-50, 50))
def test_cross_entropy_is_least_at_the_label(p, margin):
    floor = -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)
    assert soft_cross_entropy(p, margin) >= floor - 1e-9
    if 0.001 < p < 0.999:
        assert soft_cross_entropy(p, math.log(p / (1 - p))) == pytest.approx(floor, abs=1e-9)


def test_cross_entropy_does_not_overflow():
    assert soft_cross_entropy(1.0, -5000.0) == 5000.0
    assert soft_cross_entropy(1.0, 5000.0) == 0.0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        evaluate_reward([pair(1.0)], [1.0], [])
