"""Bins and their error against cases worked out by hand."""

from __future__ import annotations

import pytest

from cai.intervals import wilson
from cai.reliability import calibration_error, reliability_bins


def test_bins_hold_their_lower_end_and_the_last_one_also_1():
    bins = reliability_bins([(0.0, 0), (0.1, 1), (0.3, 1), (0.7, 1), (0.9, 1), (1.0, 0)])
    assert [(one["from"], one["n"]) for one in bins] == [(0.0, 1), (0.1, 1), (0.3, 1), (0.7, 1), (0.9, 2)]
    assert bins[-1]["mean_p"] == 0.95 and bins[-1]["value"] == 0.5


def test_the_error_is_the_weighted_distance_from_the_diagonal():
    bins = reliability_bins([(0.9, 1.0)] * 8 + [(0.9, 0.0)] * 2 + [(0.55, 0.0)] * 10)
    assert calibration_error(bins) == pytest.approx((10 * 0.1 + 10 * 0.55) / 20)
    assert calibration_error([]) is None


def test_a_soft_truth_is_the_share_to_be_expected():
    [one] = reliability_bins([(0.71, 0.7), (0.74, 0.75)], lowest=0.5)
    assert (one["from"], one["to"]) == (0.7, 0.75)
    assert one["value"] == pytest.approx(0.725) and calibration_error([one]) == pytest.approx(0)
    assert one["low"] == pytest.approx(wilson(1.45, 2).low)
