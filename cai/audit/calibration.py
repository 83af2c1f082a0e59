"""Forecasts held against truth: accuracy beside two judges that read nothing, ECE, Brier, the reliability diagram."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cai.intervals import Estimate, mean, share_by_group
from cai.records import Json
from cai.reliability import bin_of, calibration_error, reliability_bins

_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Forecast:
    """P(a is better), whether it is, how much longer a is in characters, and of which prompt.

    `trained` is the label that was trained on, where a clamp makes it another than `p_a`; else None.
    """

    p_a: float
    a_better: bool
    longer: int
    prompt_id: str = ""
    trained: float | None = None


def calibration(forecasts: Sequence[Forecast]) -> Json | None:
    """``{accuracy, always_a, always_longer, ece, ece_interval, ece_clamped?, brier, bins, prompts}``, None without any.

    A forecast of one half, and two answers of one length, count half. `bins` are equal in p: {low, high, mean_p, share
    with its interval}; ECE is the mean of \\|share − mean p\\| weighted by n, Brier the mean of (p − truth)², and
    `ece_clamped` the ECE of the labels that were trained on, where a clamp holds for any. Intervals take prompts as the
    unit, those of `bins` pairs. ECE comes out too high where a bin has few pairs: `ece_interval` reaches down for that.
    """
    if not forecasts:
        return None
    right = [_agrees(one.p_a - 0.5, one.a_better) for one in forecasts]
    longer = [_agrees(one.longer, one.a_better) for one in forecasts]
    bins = reliability_bins([(one.p_a, float(one.a_better)) for one in forecasts])
    return {
        "accuracy": _by_prompt(forecasts, right).to_json(),
        "always_a": _by_prompt(forecasts, [float(one.a_better) for one in forecasts]).to_json(),
        "always_longer": _by_prompt(forecasts, longer).to_json(),
        "ece": calibration_error(bins),
        "ece_interval": _error_interval(forecasts, bins),
        **_clamped(forecasts),
        "brier": _brier(forecasts),
        "bins": bins,
        "prompts": len({one.prompt_id for one in forecasts}),
    }


def _error_interval(forecasts: Sequence[Forecast], bins: Sequence[Json]) -> Json:
    """``{low, high}`` of the ECE: drawn again with a fixed seed, each bin's share from its Jeffreys posterior.

    A bin counts as many observations as it has prompts. Such draws lie above the truth as the ECE itself does, so the
    low end is the lower of theirs and of the high end mirrored at the value; it is never of zero width.
    """
    prompts: dict[int, set[str]] = {}
    for one in forecasts:
        prompts.setdefault(bin_of(one.p_a), set()).add(one.prompt_id)
    draw, n, drawn = random.Random(0), len(forecasts), []
    shapes = [
        (one["n"], one["mean_p"], units * one["value"] + 0.5, units * (1 - one["value"]) + 0.5)
        for one, units in zip(bins, (len(prompts[at]) for at in sorted(prompts)), strict=True)
    ]
    for _ in range(_DRAWS):
        drawn.append(math.fsum(of * abs(draw.betavariate(a, b) - p) for of, p, a, b in shapes) / n)
    drawn.sort()
    value, (low, high) = calibration_error(bins) or 0.0, (drawn[round(at * (_DRAWS - 1))] for at in (0.025, 0.975))
    high = max(value, high)
    return {"low": max(0.0, min(low, 2 * value - high)), "high": high}


def _clamped(forecasts: Sequence[Forecast]) -> Json:
    if all(one.trained is None for one in forecasts):
        return {}
    labels = [(one.p_a if one.trained is None else one.trained, float(one.a_better)) for one in forecasts]
    return {"ece_clamped": calibration_error(reliability_bins(labels))}


def _brier(forecasts: Sequence[Forecast]) -> Json:
    squares = [(one.p_a - one.a_better) ** 2 for one in forecasts]
    return (_by_prompt(forecasts, squares) if _clustered(forecasts) else mean(squares)).to_json()


def _by_prompt(forecasts: Sequence[Forecast], values: Sequence[float]) -> Estimate:
    """The mean of values in 0 … 1, prompts as the unit."""
    return share_by_group([one.prompt_id for one in forecasts], values)


def _clustered(forecasts: Sequence[Forecast]) -> bool:
    return len({one.prompt_id for one in forecasts}) < len(forecasts)


def _agrees(lead: float, a_better: bool) -> float:
    return 0.5 if lead == 0 else float((lead > 0) == a_better)
