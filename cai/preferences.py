"""Votes to soft labels: swap average, ensemble over principles, temperature, clamp, ties, abstention (paper §4.1).

Pure arithmetic on stored votes. With ℓ = logprob_a − logprob_b: debiased ℓ = (ℓ_ab + ℓ_ba)/2 and position bias =
(ℓ_ab − ℓ_ba)/2, so whatever a judge gives to a place and not to an answer cancels exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cai.errors import ParseError
from cai.recipe import PreferenceSettings
from cai.records import Judgement, Preference, Vote

CLEAR = 0.1


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x), without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


def paired_votes(judgement: Judgement) -> dict[tuple[str, int], tuple[Vote, Vote]]:
    """(vote in order ab, vote in order ba) for each principle and sample; raises `ParseError` when one is missing."""
    orders: dict[tuple[str, int], dict[str, Vote]] = {}
    for vote in judgement.votes:
        orders.setdefault((vote.principle_id, vote.sample), {})[vote.order] = vote
    try:
        return {key: (both["ab"], both["ba"]) for key, both in orders.items()}
    except KeyError as missing:
        raise ParseError(f"a vote in order {missing} is missing") from None


def debiased_logit(ab: Vote, ba: Vote) -> float:
    """(ℓ_ab + ℓ_ba)/2 in nats."""
    return (ab.logit + ba.logit) / 2


def soft_label(
    judgement: Judgement, settings: PreferenceSettings, weights: Mapping[str, float] | None = None
) -> Preference:
    """The preference that the votes amount to; a tie is p_a = 0.5 exactly.

    Raises `ParseError` ("abstained: …") when no principle has votes in both orders with enough mass.
    """
    total = mean = 0.0
    for (principle_id, _), (ab, ba) in paired_votes(judgement).items():
        if min(ab.mass, ba.mass) < settings.mass_floor:
            continue
        weight = 1.0 if weights is None else weights.get(principle_id, 1.0)
        mean += weight * sigmoid(debiased_logit(ab, ba) / settings.temperature)
        total += weight
    if not total:
        raise ParseError(f"abstained: no principle has mass {settings.mass_floor:g} in both orders")
    p_a = mean / total
    if abs(p_a - 0.5) <= settings.tie_band:
        p_a = 0.5
    elif settings.clamp is not None:
        low, high = settings.clamp
        p_a = min(high, max(low, p_a))
    return Preference(judgement.prompt, judgement.response_a, judgement.response_b, p_a)


@dataclass(slots=True)
class LabelFigures:
    """What a judge did over a whole file, gathered one judgement at a time.

    A flip is a verdict that changes with the order. A judge that sees two answers as equal flips at will, so flips are
    counted too among the clear verdicts alone: those whose debiased p is more than `CLEAR` from one half.
    """

    pairs: int = 0
    compared: int = 0
    flips: int = 0
    clear: int = 0
    clear_flips: int = 0
    bias: float = 0.0
    first: float = 0.0
    ties: int = 0
    confidence: float = 0.0
    longer: int = 0
    unequal: int = 0
    abstained: Counter[str] = field(default_factory=Counter)

    def add(self, judgement: Judgement, preference: Preference | None) -> None:
        """Count one judgement; `preference` is None when it abstained."""
        self.pairs += 1
        for ab, ba in paired_votes(judgement).values():
            self.compared += 1
            flipped = (ab.logit > 0) != (ba.logit > 0)
            self.flips += flipped
            if abs(sigmoid(debiased_logit(ab, ba)) - 0.5) > CLEAR:
                self.clear += 1
                self.clear_flips += flipped
            self.bias += (ab.logit - ba.logit) / 2
            self.first += (sigmoid(ab.logit) + sigmoid(-ba.logit)) / 2
        if preference is None:
            self.abstained[judgement.prompt.kind] += 1
            return
        self.ties += preference.p_a == 0.5
        self.confidence += preference.p_chosen
        difference = len(preference.chosen) - len(preference.rejected)
        if difference and preference.p_a != 0.5:
            self.unequal += 1
            self.longer += difference > 0

    def to_json(self) -> dict[str, Any]:
        """Shares in 0 … 1, the bias in nats; a share of nothing is None."""
        labelled = self.pairs - sum(self.abstained.values())
        return {
            "pairs": self.pairs,
            "flip_rate": _share(self.flips, self.compared),
            "clear": _share(self.clear, self.compared),
            "clear_flip_rate": _share(self.clear_flips, self.clear),
            "position_bias": _share(self.bias, self.compared),
            "p_first": _share(self.first, self.compared),
            "ties": self.ties,
            "mean_p_chosen": _share(self.confidence, labelled),
            "longer_chosen": _share(self.longer, self.unequal),
            "abstained": dict(sorted(self.abstained.items())),
        }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
