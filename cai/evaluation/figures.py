"""All that held-out pairs tell of a reward model, as one JSON object, and the plots that go with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cai.evaluation.breakdowns import breakdowns
from cai.evaluation.refusals import Refuses, opens_with_refusal, over_refusal
from cai.evaluation.reward import evaluate_reward
from cai.evaluation.scored import Scored, scored_pairs
from cai.plots import grouped_bars, reliability_diagram
from cai.records import Json, Preference
from cai.reliability import calibration_error, reliability_bins

RELIABILITY, ACCURACY = "reward_reliability.svg", "reward_accuracy.svg"
TITLES = {
    "kind": "prompt kind", "source": "label from", "label_margin": "label's margin", "model_margin": "model's margin",
    "length": "length",
}  # fmt: skip
"""What a breakdown is called, in the order that a reader wants them."""


def reward_figures(
    preferences: Sequence[Preference], scores_a: Sequence[float], scores_b: Sequence[float],
    refuses: Refuses = opens_with_refusal,
) -> Json:  # fmt: skip
    """The figures of `evaluate_reward`, with `calibration`, `by` (see `breakdowns`) and `over_refusal`.

    No figure depends on which answer is called a. Raises `ValueError` on unequal lengths.
    """
    rows = scored_pairs(preferences, scores_a, scores_b)
    return {
        **evaluate_reward(preferences, scores_a, scores_b).to_json(),
        "calibration": reward_calibration(rows),
        "by": breakdowns(rows),
        "over_refusal": over_refusal(rows, refuses),
    }


def reward_calibration(rows: Sequence[Scored]) -> Json:
    """``{ece, bins}``: σ(|d|), what the model gives the answer that it scores higher, against the label's share of it.

    A hard label is the truth, 1 or 0; a soft one is the share to be expected of that answer, so that a model that gives
    back the labels has an error of 0. Ten bins from 1/2 to 1, for σ(d) and σ(−d) are one statement. Answers that score
    alike are forecast 1/2.
    """
    bins = reliability_bins([_forecast(one) for one in rows], lowest=0.5)
    return {"ece": calibration_error(bins), "bins": bins}


def reward_plots(figures: Json) -> dict[str, str]:
    """File name -> SVG: the reliability diagram, and a bar of accuracy for every group of pairs."""
    groups = [
        (TITLES[by], [(one["name"], one["accuracy"]) for one in figures["by"][by]])
        for by in TITLES
        if len(figures["by"][by]) > 1
    ]
    every = ("", [("all pairs", figures["accuracy"]), ("always longer", figures["always_longer"])])
    return {
        RELIABILITY: reliability_diagram(
            figures["calibration"]["bins"], "What the reward model gives the answer it favours",
            lowest=0.5, across="mean probability by the model", up="share by the labels (95 % interval)",
        ),
        ACCURACY: grouped_bars([every, *groups], "The reward model against the labels", "accuracy (95 % interval)"),
    }  # fmt: skip


def _forecast(one: Scored) -> tuple[float, float]:
    if one.margin == 0:
        return 0.5, 0.5
    p_a = one.preference.p_a
    return 1 / (1 + math.exp(-abs(one.margin))), p_a if one.margin > 0 else 1 - p_a


def benchmark_plot(figures: Json, title: str) -> str:
    """SVG: a bar for every subset, and one for their mean."""
    rows = [(name, one) for name, one in figures["subsets"].items()]
    return grouped_bars([("", [("mean of subsets", figures["mean"])]), ("subset", rows)], title, "score")
