from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cai.intervals import Estimate, clustered_change, clustered_share, mean, wilson


def paired_difference(first, second, confidence: float = 0.95) -> Estimate:
    return mean([a - b for a, b in zip(first, second, strict=True)], confidence)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_scipys(counts, confidence):
    successes, trials = counts
    found = wilson(successes, trials, confidence)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.value == successes / trials
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_wilson_half_successes_lie_between_their_neighbours():
    assert wilson(3, 10).low < wilson(3.5, 10).low < wilson(4, 10).low


def test_wilson_of_nothing_says_nothing():
    empty = wilson(0, 0)
    assert math.isnan(empty.value)
    assert (empty.low, empty.high, empty.n) == (0.0, 1.0, 0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match="successes in"):
        wilson(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson(1, 2, confidence)


def test_paired_difference_covers_the_truth_as_often_as_it_says():
    draws = random.Random(0)
    covered = 0
    for _ in range(400):
        first = [float(draws.random() < 0.7) for _ in range(200)]
        second = [one if draws.random() < 0.5 else float(draws.random() < 0.4) for one in first]
        truth = 0.7 - (0.5 * 0.7 + 0.5 * 0.4)
        estimate = paired_difference(first, second, 0.9)
        covered += estimate.low <= truth <= estimate.high
    assert 0.86 <= covered / 400 <= 0.94


def test_paired_difference_by_hand():
    estimate = paired_difference([1, 0, 1, 1], [0, 0, 1, 0])
    half = NormalDist().inv_cdf(0.975) * math.sqrt((4 * 0.25 / 3) / 4)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert paired_difference([1.0], [0.0]).high == math.inf


def test_groups_that_agree_wholly_are_worth_as_many_draws_as_there_are_groups():
    groups = [index // 20 for index in range(800)]
    for right in (1, 12, 20, 39):
        found, draws = clustered_share(groups, [group < right for group in groups]), wilson(right, 40)
        assert (found.value, found.n) == (draws.value, 800)
        assert (found.low, found.high) == pytest.approx((draws.low, draws.high), abs=0.005)
        assert found.high - found.low > 4 * (wilson(20 * right, 800).high - wilson(20 * right, 800).low)


def test_groups_of_one_and_groups_that_tell_nothing_give_wilsons_interval():
    hits = [index % 7 == 0 for index in range(200)]
    expected = wilson(sum(hits), 200)
    for groups in (range(200), [index % 5 for index in range(200)]):
        found = clustered_share(groups, hits)
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("hit", [True, False])
def test_where_all_is_alike_a_group_counts_once(hit):
    found, draws = clustered_share([0, 0, 0, 1, 1, 2], [hit] * 6), wilson(3 * hit, 3)
    assert (found.value, found.low, found.high, found.n) == (draws.value, draws.low, draws.high, 6)
    assert clustered_share([0] * 6, [True, False] * 3).high == wilson(0.5, 1).high, "of one group nothing is known"


def test_a_few_hits_say_no_more_than_none_and_a_few_misses_no_more_than_none():
    groups = [at % 48 for at in range(800)]
    ends = [clustered_share(groups, [at < hits for at in range(800)]) for hits in range(40)]
    assert all(one.high >= ends[0].high > 0.07 for one in ends)
    mirrored = [clustered_share(groups, [at >= misses for at in range(800)]) for misses in range(40)]
    assert all(one.low <= mirrored[0].low < 0.93 for one in mirrored)


def test_clustered_intervals_cover_the_truth_as_often_as_they_say():
    draws = random.Random(0)
    covered = {"share": 0, "change": 0, "rows": 0}
    for _ in range(400):
        groups, before, after = [], [], []
        for group in range(50):
            chance = draws.betavariate(1, 3)
            for _ in range(draws.randint(1, 20)):
                groups.append(group)
                before.append(draws.random() < chance)
                after.append(draws.random() < chance / 2)
        share = clustered_share(groups, before)
        change = clustered_change(groups, [float(b) - a for a, b in zip(before, after, strict=True)])
        covered["share"] += share.low <= 0.25 <= share.high
        covered["change"] += change.low <= -0.125 <= change.high
        rows = wilson(sum(before), len(before))
        covered["rows"] += rows.low <= 0.25 <= rows.high
    assert 368 <= covered["share"] <= 392 and 368 <= covered["change"] <= 392, covered
    assert covered["rows"] < 320, "groups here do matter"


def test_a_change_of_groups_that_agree_wholly_is_that_of_as_many_draws():
    groups = [index // 20 for index in range(800)]
    found = clustered_change(groups, [float(group % 4 == 0) - (group % 8 == 1) for group in groups])
    draws = paired_difference([group % 4 == 0 for group in range(40)], [group % 8 == 1 for group in range(40)])
    assert (found.value, found.low, found.high) == pytest.approx((draws.value, draws.low, draws.high))
    balanced = clustered_change([0, 0, 1, 1], [1.0, -1.0, 1.0, -1.0])
    by_row = paired_difference([1, 0, 1, 0], [0, 1, 0, 1])
    assert (balanced.low, balanced.high) == pytest.approx((max(-1, by_row.low), min(1, by_row.high)))


def test_where_every_row_changed_alike_the_interval_is_no_point():
    still, all_mended = (clustered_change([0, 0, 1, 2], [one] * 4) for one in (0.0, -1.0))
    end = wilson(0, 3).high
    assert (still.value, still.low, still.high) == (0.0, -end, end)
    assert (all_mended.value, all_mended.low, all_mended.high) == (-1.0, -1.0, -1.0 + end)
    assert clustered_change([0, 0], [1.0, 0.0]).high == math.inf
