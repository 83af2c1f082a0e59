"""Rankings from pairwise labels: planted strengths come back, ties are ties, the optimum is scipy's."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from cai.judge_records import Ranking
from cai.preferences import compared, rankings, sigmoid, tie_strength
from cai.preferences.rankings import Compared, ranks
from cai.records import Preference, Prompt, user
from cai.stages.comparisons import schedule


def prompt(n: int = 0) -> Prompt:
    return Prompt.make((user(f"question {n}"),))


def labels(n: int, p: dict[tuple[int, int], float]) -> list[Preference]:
    return [Preference(prompt(n), f"answer {i}", f"answer {j}", value) for (i, j), value in p.items()]


def ranked(rows: list[Preference], nu: float | None = None, tie_band: float = 0.0) -> list[Ranking]:
    groups = list(compared(rows))
    return list(rankings(groups, tie_strength(groups) if nu is None else nu, tie_band))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=6), st.data())
def test_labels_that_fit_on_one_scale_give_that_scale_back(strengths: list[float], data: st.DataObject) -> None:
    count = len(strengths)
    cut = data.draw(st.integers(count - 1, count * (count - 1) // 2))
    pairs = {(i, j): sigmoid(strengths[i] - strengths[j]) for i, j in schedule(count)[:cut]}
    pairs = {pair: p for pair, p in pairs.items() if p != 0.5}
    rows = labels(0, pairs)
    [group] = compared(rows) if rows else [Compared(prompt(), "ai")]
    if not group.connected or len(group.responses) < count:
        return
    [found] = ranked(rows)
    mean = sum(strengths) / count
    for text, score in zip(found.responses, found.scores, strict=True):
        assert score == pytest.approx(strengths[int(text.split()[1])] - mean, abs=0.02)
    assert sum(found.scores) == pytest.approx(0.0, abs=1e-5)


def davidson(point: np.ndarray, rows: list[tuple[int, int, float]], count: int) -> float:
    """Davidson's negative log-likelihood, written from the paper, with the weak prior."""
    scores, nu = point[:count], math.exp(point[count])
    loss = 1e-4 / 2 * float(point @ point)
    for i, j, p in rows:
        one, other = math.exp(scores[i]), math.exp(scores[j])
        tie = nu * math.sqrt(one * other)
        total = one + other + tie
        loss -= math.log(tie / total) if p == 0.5 else p * math.log(one / total) + (1 - p) * math.log(other / total)
    return loss


def test_scores_and_tie_strength_are_the_optimum_that_scipy_finds() -> None:
    draw = random.Random(3)
    rows = [(i, j, draw.choice([0.5, 0.2, 0.9, 1.0, 0.0, 0.6])) for i, j in combinations(range(6), 2)]
    best = minimize(davidson, np.zeros(7), args=(rows, 6), method="BFGS", options={"gtol": 1e-8})
    found = [Preference(prompt(), f"answer {i}", f"answer {j}", p) for i, j, p in rows]
    groups = list(compared(found))
    assert tie_strength(groups) == pytest.approx(math.exp(best.x[6]), rel=1e-4)
    [ranking] = rankings(groups, tie_strength(groups))
    assert ranking.scores == pytest.approx(best.x[:6], abs=1e-4)


def test_a_planted_tie_strength_is_found() -> None:
    draw, nu, rows = random.Random(1), 1.5, []
    for n in range(40):
        strengths = [draw.gauss(0, 1) for _ in range(16)]
        for i, j in schedule(16):
            d = strengths[i] - strengths[j]
            odds = [math.exp(d / 2), math.exp(-d / 2), nu]
            [p] = draw.choices([1.0, 0.0, 0.5], odds)
            rows += labels(n, {(i, j): p})
    assert tie_strength(list(compared(rows))) == pytest.approx(nu, rel=0.25)


def test_without_ties_it_is_bradley_and_terry() -> None:
    rows = labels(0, {(0, 1): 0.8, (1, 2): 0.8})
    assert tie_strength(list(compared(rows))) == 0.0
    [found] = ranked(rows)
    assert found.scores == pytest.approx([math.log(4), 0.0, -math.log(4)], abs=1e-3)
    assert (found.ranks, found.comparisons) == ((1, 2, 3), 2)


def test_a_side_that_always_wins_has_a_finite_score() -> None:
    [found] = ranked(labels(0, {(0, 1): 1.0, (0, 2): 1.0, (1, 2): 1.0}))
    assert found.ranks == (1, 2, 3) and all(math.isfinite(score) and abs(score) < 10 for score in found.scores)
    assert found.scores[0] == pytest.approx(-found.scores[2])


def test_all_ties_are_one_rank() -> None:
    [found] = ranked(labels(0, {(0, 1): 0.5, (1, 2): 0.5, (0, 2): 0.5}))
    assert found.scores == (0.0, 0.0, 0.0) and found.ranks == (1, 1, 1)


def test_ranks_are_tied_within_the_band_of_their_best() -> None:
    assert ranks((1.0, 3.0, 1.0, 0.0)) == (2, 1, 2, 4)
    steps = (0.3, 0.2, 0.1, 0.0)
    assert ranks(steps, tie_band=0.06) == (1, 1, 1, 4)
    assert ranks(steps) == (1, 2, 3, 4)


def test_prompts_do_not_touch_one_another_and_rows_read_back() -> None:
    one, other = labels(0, {(0, 1): 0.8, (1, 2): 0.7}), labels(1, {(0, 1): 0.1, (1, 2): 0.2, (0, 2): 0.3})
    both = ranked(one + other, nu=0.4)
    assert both == ranked(one, nu=0.4) + ranked(other, nu=0.4)
    assert [Ranking.from_json(row.to_json()) for row in both] == both
    assert both[0].id != both[1].id and both[0].prompt.id == one[0].prompt.id


def test_the_weights_of_one_prompt_are_nothing_to_another() -> None:
    light = labels(0, {(0, 1): 1.0, (1, 2): 1.0})
    heavy = [replace(one, weight=1e4) for at in (1, 2, 3) for one in labels(at, {(0, 1): 0.7, (1, 2): 0.6})]
    assert ranked(light + heavy, nu=0.4)[0] == ranked(light, nu=0.4)[0]


def test_weights_count_and_their_mean_is_the_rankings() -> None:
    rows = [Preference(prompt(), "a", "b", 0.9, 3.0), Preference(prompt(), "a", "b", 0.1, 1.0)]
    rows += [Preference(prompt(), "b", "c", 0.5, 2.0)]
    [found] = ranked(rows, nu=1.0)
    assert found.weight == 2.0 and found.scores[0] > found.scores[1]


@pytest.mark.parametrize("weight", [1e2, 1e4, 1e8])
def test_heavy_labels_have_the_same_ranking(weight: float) -> None:
    draw = random.Random(3)
    rows = [one for n in range(5) for one in labels(n, {pair: draw.random() for pair in combinations(range(4), 2)})]
    heavy = [replace(one, weight=weight) for one in rows]
    for light, found in zip(ranked(rows), ranked(heavy), strict=True):
        assert found.scores == pytest.approx(light.scores, abs=1e-5) and found.ranks == light.ranks


def test_peoples_labels_of_a_prompt_belong_together_in_any_order() -> None:
    one, other = (
        [replace(row, source="human") for row in labels(n, {(0, 1): 0.8, (1, 2): 0.7, (0, 2): 0.6})] for n in (0, 1)
    )
    mixed = [row for both in zip(one, other, strict=True) for row in both]
    assert [len(group.responses) for group in compared(mixed)] == [3, 3]
    assert ranked(mixed, nu=0.4) == ranked(one + other, nu=0.4)
    by_model = [replace(row, source="ai") for row in mixed]
    first = labels(2, {(0, 1): 0.8, (1, 2): 0.7})
    found = list(compared([*first, *by_model], judged=len(first)))
    assert [(group.source, len(group.responses)) for group in found] == [("ai", 3)] * 3


def test_a_label_without_weight_connects_nothing() -> None:
    [group] = compared([replace(row, weight=0.0) for row in labels(0, {(0, 1): 0.8, (1, 2): 0.8})])
    assert len(group.responses) == 3 and not group.connected


def test_what_labels_do_not_connect_is_seen() -> None:
    [group] = compared(labels(0, {(0, 1): 0.8, (2, 3): 0.8}))
    assert not group.connected
    [group] = compared(labels(0, {(0, 1): 0.8, (2, 3): 0.8, (3, 1): 0.5}))
    assert group.connected
