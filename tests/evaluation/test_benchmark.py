"""Scores by subset, against RewardBench's rules worked out by hand."""

from __future__ import annotations

import json
import math

import pytest

from cai.evaluation.benchmark import ScoredRow, benchmark_figures
from cai.evaluation.figures import benchmark_plot


def row(right, wrong, subset="Math", name="1"):
    return ScoredRow(subset, name, tuple(right), tuple(wrong))


@pytest.mark.parametrize(
    ("right", "wrong", "credit"),
    [([2], [1, 0, -1], 1), ([1], [2, 0, 0], 0), ([2], [2, 0, 0], 0.5), ([2], [2, 2, 2], 0.25), ([1], [0], 1)],
)
def test_the_best_of_n_must_be_right_and_a_tie_at_the_top_is_shared(right, wrong, credit):
    assert row(right, wrong).credit == credit


def test_every_subset_counts_alike_in_the_mean():
    rows = [row([1], [0, 0, 0])] * 9 + [row([0], [1, 0, 0])] + [row([0], [1], "Chat")] * 2
    found = benchmark_figures(rows)
    assert found["subsets"]["Math"]["value"] == 0.9 and found["subsets"]["Chat"]["value"] == 0
    assert found["mean"]["value"] == pytest.approx(0.45) and found["mean"]["n"] == 12 == found["rows"]
    assert found["subsets"]["Math"]["chance"] == 0.25 and found["subsets"]["Chat"]["chance"] == 0.5
    math_half = found["subsets"]["Math"]["value"] - found["subsets"]["Math"]["low"]
    assert found["mean"]["low"] == pytest.approx(0.45 - math_half / 2)
    assert 0.45 < found["mean"]["high"] < 1
    assert "mean of subsets (n = 12)" in benchmark_plot(found, "x")


def test_a_row_that_could_not_be_scored_counts_as_that_alone():
    found = benchmark_figures([row([1], [math.nan]), row([1], [0])])
    assert (found["rows"], found["not_scored"], found["subsets"]["Math"]["n"]) == (1, 1, 1)
    empty = benchmark_figures([row([math.nan], [0])])
    assert empty["subsets"] == {} and empty["mean"]["value"] is None
    json.dumps(empty, allow_nan=False)


def test_ties_ask_that_right_answers_be_nearer_to_each_other_than_to_wrong_ones():
    rows = [
        row([3.0], [0.0, 1.0], "Ties", "ref:1"), row([3.0, 2.5], [1.0, 0.0], "Ties", "tied:1"),
        row([1.2], [1.0], "Ties", "ref:2"), row([3.0, 1.0], [2.0], "Ties", "tied:2"),
    ]  # fmt: skip
    found = benchmark_figures(rows)["subsets"]["Ties"]
    bonus = (math.tanh(min(2.0, 1.5) / 0.5 - 1) + math.tanh(min(0.2, -1.0) / 2.0 - 1)) / 2
    assert found["parts"] == {
        "tied_accuracy": 0.5, "ref_accuracy": 1.0, "correct_over_spread": 0.5, "both_over_spread": 0.5,
        "margin": pytest.approx(bonus),
    }  # fmt: skip
    assert found["value"] == pytest.approx(0.3 * 0.5 + 0.3 * 1.0 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * bonus)
    assert found["low"] is None and found["n"] == 4
