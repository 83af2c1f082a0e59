"""How well a reward model orders answers that it has not been trained on, beside two judges that read nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from cai.evaluation.scored import agreement, scored_pairs
from cai.intervals import Estimate, clustered_change, finite, share_by_group, wilson
from cai.records import Json, Preference

CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class RewardMetrics:
    """Accuracy over the pairs with a preferred side, soft cross-entropy over all of them, in nats.

    `cross_entropy_floor` is the entropy of the labels: no model can do better. `cross_entropy_coin` is ln 2, the value
    of a model that scores everything alike. A pair scored alike counts half. `prefers_longer` is the share of pairs of
    unequal length where the longer answer scored higher; `lift_over_longer` is accuracy − always_longer, paired by row,
    with an interval by prompt.
    Intervals take pairs as the unit, `accuracy_by_prompt` takes prompts: pairs of one prompt stand or fall together.
    """

    pairs: int
    not_scored: int
    ties: int
    prompts: int
    accuracy: Estimate
    accuracy_by_prompt: Estimate
    always_longer: Estimate
    lift_over_longer: Estimate
    prefers_longer: Estimate
    cross_entropy: float
    cross_entropy_floor: float
    mean_margin: float

    def to_json(self) -> Json:
        """None stands for what no pair tells of."""
        return {
            "pairs": self.pairs,
            "not_scored": self.not_scored,
            "ties": self.ties,
            "prompts": self.prompts,
            "accuracy": self.accuracy.to_json(),
            "accuracy_by_prompt": self.accuracy_by_prompt.to_json(),
            "always_longer": self.always_longer.to_json(),
            "chance": CHANCE,
            "lift_over_longer": self.lift_over_longer.to_json(),
            "prefers_longer": self.prefers_longer.to_json(),
            "cross_entropy": finite(self.cross_entropy),
            "cross_entropy_floor": finite(self.cross_entropy_floor),
            "cross_entropy_coin": math.log(2),
            "mean_margin": finite(self.mean_margin),
        }


def evaluate_reward(
    preferences: Sequence[Preference], scores_a: Sequence[float], scores_b: Sequence[float], confidence: float = 0.95
) -> RewardMetrics:
    """Compare the scores of both answers of every preference with its label; raises `ValueError` on unequal lengths.

    A label of exactly one half prefers neither side: it counts in the cross-entropy, not in the accuracy. A pair with a
    score that is not a number could not be scored: it is counted as such and in nothing else.
    """
    rows = scored_pairs(preferences, scores_a, scores_b)
    decided = [one for one in rows if one.preference.p_a != 0.5]
    right = [agreement(one.margin, one.preference.p_a - 0.5) for one in decided]
    longer = [agreement(one.longer, one.preference.p_a - 0.5) for one in decided]
    prompts = [one.preference.prompt.id for one in decided]
    unequal = [agreement(one.margin, one.longer) for one in rows if one.longer]
    return RewardMetrics(
        pairs=len(rows),
        not_scored=len(preferences) - len(rows),
        ties=len(rows) - len(decided),
        prompts=len({one.preference.prompt.id for one in rows}),
        accuracy=wilson(sum(right), len(right), confidence),
        accuracy_by_prompt=share_by_group(prompts, right, confidence),
        always_longer=wilson(sum(longer), len(longer), confidence),
        lift_over_longer=clustered_change(prompts, [a - b for a, b in zip(right, longer, strict=True)], confidence),
        prefers_longer=wilson(sum(unequal), len(unequal), confidence),
        cross_entropy=_mean([soft_cross_entropy(one.preference.p_a, one.margin) for one in rows]),
        cross_entropy_floor=_mean([_entropy(one.preference.p_a) for one in rows]),
        mean_margin=_mean([one.margin if one.preference.p_a > 0.5 else -one.margin for one in decided]),
    )


def soft_cross_entropy(p: float, margin: float) -> float:
    """−p·logσ(margin) − (1−p)·logσ(−margin) in nats, without overflow."""
    return max(margin, 0.0) - p * margin + math.log1p(math.exp(-abs(margin)))


def _entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
