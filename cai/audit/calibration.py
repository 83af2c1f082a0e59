"""Forecasts held against truth: accuracy beside two judges that read nothing, ECE, Brier, the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cai.intervals import paired_difference, wilson
from cai.records import Json
from cai.reliability import calibration_error, reliability_bins


@dataclass(frozen=True, slots=True)
class Forecast:
    """P(a is better), whether it is, whether a was drawn to stand first, and how much longer a is in characters."""

    p_a: float
    a_better: bool
    longer: int


def calibration(forecasts: Sequence[Forecast]) -> Json | None:
    """``{accuracy, always_a, always_longer, ece, brier, bins}``; None without forecasts.

    A forecast of one half, and two answers of one length, count half. `bins` are equal in p: {low, high, mean_p, share
    with its interval}; ECE is the mean of \\|share − mean p\\| weighted by n, Brier the mean of (p − truth)².
    """
    if not forecasts:
        return None
    n = len(forecasts)
    right = [_agrees(one.p_a - 0.5, one.a_better) for one in forecasts]
    longer = [_agrees(one.longer, one.a_better) for one in forecasts]
    bins = reliability_bins([(one.p_a, float(one.a_better)) for one in forecasts])
    return {
        "accuracy": wilson(sum(right), n).to_json(),
        "always_a": wilson(sum(one.a_better for one in forecasts), n).to_json(),
        "always_longer": wilson(sum(longer), n).to_json(),
        "ece": calibration_error(bins),
        "brier": _brier(forecasts),
        "bins": bins,
    }


def _brier(forecasts: Sequence[Forecast]) -> Json:
    squares = [(one.p_a - one.a_better) ** 2 for one in forecasts]
    return paired_difference(squares, [0.0] * len(squares)).to_json()


def _agrees(lead: float, a_better: bool) -> float:
    return 0.5 if lead == 0 else float((lead > 0) == a_better)
