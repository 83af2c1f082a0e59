"""Grades of single answers to one probability and to an unpaired label, for KTO, thresholds and evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from cai.errors import ParseError
from cai.judge_records import Graded
from cai.preferences.votes import sigmoid


def p_yes(answer: Graded, mass_floor: float = 0.5, weights: Mapping[str, float] | None = None) -> float:
    """The probability of yes, averaged over the rubrics by `weights`; 0 … 1.

    Raises `ParseError` ("abstained: …") when under no rubric yes and no have at least `mass_floor` together.
    """
    total = mean = 0.0
    for grade in answer.grades:
        if grade.mass < mass_floor or not grade.mass:
            continue
        weight = 1.0 if weights is None else weights.get(grade.principle_id, 1.0)
        mean += weight * sigmoid(grade.logprob_yes - grade.logprob_no)
        total += weight
    if not total:
        raise ParseError(f"abstained: no rubric has mass {mass_floor:g} on yes and no")
    return mean / total


def unpaired_label(
    answer: Graded, threshold: float = 0.5, band: float = 0.0, mass_floor: float = 0.5,
    weights: Mapping[str, float] | None = None,
) -> bool | None:  # fmt: skip
    """Whether an answer is wanted, as KTO asks; None within `band` of the `threshold`. Raises as `p_yes`."""
    p = p_yes(answer, mass_floor, weights)
    return None if abs(p - threshold) <= band and band else p >= threshold
