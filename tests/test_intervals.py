from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cai.intervals import paired_difference, wilson


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
