"""One pair that several rows or files ranked: its label and its weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from cai.records import Preference


def same_pair(preference: Preference) -> tuple[str, str, frozenset[str]]:
    """Equal for what one kind of judge, people or a model, prefers of the same two answers to the same prompt."""
    return preference.source, preference.prompt.id, frozenset((preference.response_a, preference.response_b))


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


def each_once(preferences: Iterable[Preference]) -> list[Preference]:
    """Every pair once, where it first stands and as its answers stand there; merged where several files hold it."""
    held: dict[object, list[Preference]] = {}
    for one in preferences:
        same = held.setdefault(same_pair(one), [])
        same.append(one if not same or same[0].response_a == one.response_a else one.swap())
    return [merge(one[0], [like.p_a for like in one], [like.weight for like in one]) for one in held.values()]


def repeats_line(more: int) -> str:
    """For people: how many pairs stood in several files, so many times too often."""
    return f"{more:,} pair{' is' if more == 1 else 's are'} there twice, and counted once"
