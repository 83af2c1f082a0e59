"""One pair that several rows ranked: its label and its weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from cai.records import Preference


def same_pair(preference: Preference) -> tuple[str, frozenset[str]]:
    """Equal for preferences over the same two answers to the same prompt, in either order."""
    return preference.prompt.id, frozenset((preference.response_a, preference.response_b))


def merge(preference: Preference, labels: Sequence[float], weights: Sequence[float]) -> Preference:
    """The pair with the mean of its rows' `labels` (p_a), each counted by its weight, and the mean of the weights.

    The mean weight, not the sum: a pair counts once however often a file repeats it, as its copies in an export do.
    Where all weights are 0 the labels count alike.
    """
    if len(labels) == 1:
        return preference
    most = max(weights)
    if most == 0.0:
        return replace(preference, p_a=fmean(labels), weight=0.0)
    shares = [one / most for one in weights]
    return replace(preference, p_a=fmean(labels, shares), weight=most * fmean(shares))
