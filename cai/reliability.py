"""Forecasts held against what came true, in bins: the reliability diagram and the error that it sums up."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from cai.intervals import wilson
from cai.records import Json

BINS = 10

Forecast = tuple[float, float]
"""A probability, and what came true: 1, 0, or the probability that a soft label gives it."""


def reliability_bins(forecasts: Sequence[Forecast], lowest: float = 0.0) -> list[Json]:
    """``[{from, to, mean_p, value, low, high, n}, …]``: ten bins of one width from `lowest` to 1, empty ones left out.

    `value` is the share that came true, with Wilson's interval; a soft truth counts as that part of one, which makes
    the interval wider than need be, never narrower.
    """
    width = (1 - lowest) / BINS
    inside: dict[int, list[Forecast]] = {}
    for one in forecasts:
        inside.setdefault(bin_of(one[0], lowest), []).append(one)
    return [_bin(lowest + at * width, lowest + (at + 1) * width, some) for at, some in sorted(inside.items())]


def bin_of(p: float, lowest: float = 0.0) -> int:
    """Which of the bins from `lowest` to 1 a probability lies in, from 0."""
    width = (1 - lowest) / BINS
    return min(max(int((p - lowest) / width + 1e-9), 0), BINS - 1)


def calibration_error(bins: Sequence[Json]) -> float | None:
    """ECE: the mean of |share − mean p| over the bins, weighted by n; None without forecasts."""
    n = sum(one["n"] for one in bins)
    return sum(one["n"] * abs(one["value"] - one["mean_p"]) for one in bins) / n if n else None


def _bin(start: float, end: float, inside: Sequence[Forecast]) -> Json:
    share = wilson(sum(truth for _, truth in inside), len(inside)).to_json()
    return {"from": round(start, 9), "to": round(end, 9), "mean_p": fmean(p for p, _ in inside), **share}
