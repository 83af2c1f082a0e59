"""Labelled pairs beside what a reward model made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cai.records import Preference


@dataclass(frozen=True, slots=True)
class Scored:
    """A pair and the score of its answer a less that of b, in the log-odds that the training fits."""

    preference: Preference
    margin: float

    def swap(self) -> Scored:
        """The same pair with its sides exchanged."""
        return Scored(self.preference.swap(), -self.margin)

    @property
    def right(self) -> float | None:
        """1 where the preferred answer scored higher, 1/2 where both scored alike; None where the label prefers none.

        The label prefers none at exactly one half.
        """
        wanted = self.preference.p_a - 0.5
        return agreement(self.margin, wanted) if wanted else None

    @property
    def longer(self) -> int:
        """Characters that answer a has more than b."""
        return len(self.preference.response_a) - len(self.preference.response_b)


def scored_pairs(
    preferences: Sequence[Preference], scores_a: Sequence[float], scores_b: Sequence[float]
) -> list[Scored]:
    """Every pair of which both answers have a score; raises `ValueError` on unequal lengths."""
    margins = (a - b for a, b in zip(scores_a, scores_b, strict=True))
    pairs = [Scored(one, margin) for one, margin in zip(preferences, margins, strict=True)]
    return [one for one in pairs if not math.isnan(one.margin)]


def agreement(lead: float, wanted: float) -> float:
    """1 where both have one sign, 0 where they have not, 1/2 where `lead` has none."""
    return 0.5 if lead == 0 else float((lead > 0) == (wanted > 0))
