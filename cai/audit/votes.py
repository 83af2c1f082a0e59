"""Figures of a run's stored votes that `preferences.figures` does not have: length, and agreement of principles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cai.audit.agreement import principle_agreement
from cai.intervals import normal_quantile
from cai.records import Json


@dataclass(slots=True)
class VoteFigures:
    """Gathered one pair at a time."""

    lengths: list[int] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)
    verdicts: list[Mapping[str, bool]] = field(default_factory=list)

    def add(self, longer: int, p_a: float, by_principle: Mapping[str, float]) -> None:
        """A pair: how many characters a has more than b, its label, and P(a) under each principle."""
        self.lengths.append(longer)
        self.leads.append(p_a - 0.5)
        self.verdicts.append({name: p > 0.5 for name, p in by_principle.items() if p != 0.5})

    def to_json(self) -> Json:
        return {"length_correlation": rank_correlation(self.lengths, self.leads), "agreement": self._agreement()}

    def _agreement(self) -> Json:
        pairs = principle_agreement(self.verdicts)
        known = [one for one in pairs if one["kappa"] is not None]
        weight = sum(one["n"] for one in known)
        mean = sum(one["n"] * one["kappa"] for one in known) / weight if weight else None
        return {"mean_kappa": mean, "pairs": pairs}


def rank_correlation(first: list[int], second: list[float]) -> Json:
    """Spearman's ρ with Fisher's 95 % interval (Bonett and Wright 2000); None where a side never varies."""
    n = len(first)
    unknown: Json = {"value": None, "low": None, "high": None, "n": n}
    if n < 4 or len(set(first)) == 1 or len(set(second)) == 1:
        return unknown
    from scipy.stats import spearmanr

    value = float(spearmanr(first, second).statistic)
    if abs(value) >= 1:
        return {**unknown, "value": value, "low": value, "high": value}
    half = normal_quantile(0.95) * math.sqrt((1 + value**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(value) + sign * half) for sign in (-1, 1))
    return {"value": value, "low": low, "high": high, "n": n}
