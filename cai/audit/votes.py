"""Figures of a run's stored votes, with intervals: flips, place, length, and agreement of principles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cai.audit.agreement import principle_agreement
from cai.intervals import normal_quantile, ratio, wilson
from cai.records import Json


@dataclass(frozen=True, slots=True)
class Turns:
    """Of a pair's verdicts in both orders: how many there are, how many turn with the order, how many are clear, how
    many clear ones turn, and the sum of P(what stands first)."""

    compared: int
    flips: int
    clear: int
    clear_flips: int
    first: float


@dataclass(slots=True)
class VoteFigures:
    """Gathered one pair at a time. The pairs of one prompt resemble each other: intervals take prompts as the unit."""

    lengths: list[int] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)
    verdicts: dict[str, list[Mapping[str, bool]]] = field(default_factory=dict)
    _turns: dict[str, list[Turns]] = field(default_factory=dict)

    def turn(self, prompt_id: str, turns: Turns) -> None:
        """What the order did to a pair's verdicts."""
        self._turns.setdefault(prompt_id, []).append(turns)

    def add(self, prompt_id: str, longer: int, p_a: float, by_principle: Mapping[str, float]) -> None:
        """A pair of a prompt: how many characters a has more than b, its label, and P(a) under each principle."""
        self.lengths.append(longer)
        self.leads.append(p_a - 0.5)
        said = {name: p > 0.5 for name, p in by_principle.items() if p != 0.5}
        self.verdicts.setdefault(prompt_id, []).append(said)

    def to_json(self) -> Json:
        return {
            "flip_rate": self._rate("flips", "compared"),
            "clear_flip_rate": self._rate("clear_flips", "clear"),
            "p_first": self._rate("first", "compared"),
            "length_correlation": rank_correlation(self.lengths, self.leads),
            "agreement": self._agreement(),
        }

    def _rate(self, part: str, whole: str) -> Json:
        sums = [[sum(getattr(one, name) for one in some) for name in (part, whole)] for some in self._turns.values()]
        return ratio([one[0] for one in sums], [one[1] for one in sums]).to_json()

    def _agreement(self) -> Json:
        pairs = principle_agreement(self.verdicts.values())
        known = [one for one in pairs if one["value"] is not None]
        weight = sum(one["n"] for one in known)
        mean = sum(one["n"] * one["value"] for one in known) / weight if weight else None
        return {"mean_kappa": mean, "pairs": pairs}


def abstentions(kinds: Mapping[str, Mapping[str, int]], why: Mapping[str, Mapping[str, int]]) -> Json:
    """``{kind: {pairs, ties, abstained, share, why: {reason: n}}}`` of the counts in `LabelFigures.to_json()`."""
    reasons: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for reason, counts in why.items():
        for kind, n in counts.items():
            reasons[kind][reason] += n
    return {
        kind: {**one, "share": wilson(one["abstained"], one["pairs"]).to_json(), "why": dict(reasons[kind])}
        for kind, one in kinds.items()
    }


def rank_correlation(first: Sequence[int], second: Sequence[float]) -> Json:
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
