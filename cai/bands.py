"""Probabilities against a band around one half, so that equal distances on both sides are equal.

In floating point 0.55 − 0.5 is over 0.05 and 0.5 − 0.45 is under it; without an allowance, what lies on the edge of a
band would depend on which of two answers is called a.
"""

from __future__ import annotations

ROUNDING = 1e-9
"""Far over what rounding does to a probability, far under the 1e-5 to which log-probabilities are kept."""


def within(p: float, band: float, middle: float = 0.5) -> bool:
    """Whether `p` lies at most `band` from `middle`, the edges included."""
    return abs(p - middle) <= band + ROUNDING


def reaches(p: float, band: float, middle: float = 0.5) -> bool:
    """Whether `p` lies at least `band` from `middle`, the edges included."""
    return abs(p - middle) >= band - ROUNDING
