"""Arithmetic on raw votes: pairing the two orders, debiasing, and how sure a counted vote is.

With ℓ = logprob_a − logprob_b: debiased ℓ = (ℓ_ab + ℓ_ba)/2 and position bias = (ℓ_ab − ℓ_ba)/2, so whatever a judge
gives to a place and not to an answer cancels exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from cai.errors import ParseError
from cai.records import Judgement, Vote


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x), without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


def paired_votes(judgement: Judgement) -> dict[tuple[str, int], tuple[Vote, Vote]]:
    """(vote in order ab, vote in order ba) for each principle and sample; raises `ParseError` when one is missing.

    Counted votes of several samples under one principle are one vote with the counts together.
    """
    orders: dict[tuple[str, int], dict[str, Vote]] = {}
    for vote in _pooled(judgement.votes):
        orders.setdefault((vote.principle_id, vote.sample), {})[vote.order] = vote
    try:
        return {key: (both["ab"], both["ba"]) for key, both in orders.items()}
    except KeyError as missing:
        raise ParseError(f"a vote in order {missing} is missing") from None


def _pooled(votes: Sequence[Vote]) -> Sequence[Vote]:
    if not any(vote.counts is not None and vote.sample for vote in votes):
        return votes
    groups: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        groups.setdefault((vote.principle_id, vote.order), []).append(vote)
    return [_one(some) for some in groups.values()]


def _one(votes: list[Vote]) -> Vote:
    a, b = (sum(vote.counts[side] for vote in votes if vote.counts is not None) for side in (0, 1))
    mass = sum(vote.mass for vote in votes) / len(votes)
    share = (a + 1) / (a + b + 2)
    return replace(
        votes[0], sample=0, logprob_a=math.log(share), logprob_b=math.log1p(-share), mass=mass, counts=(a, b)
    )


def debiased_logit(ab: Vote, ba: Vote) -> float:
    """(ℓ_ab + ℓ_ba)/2 in nats."""
    return (ab.logit + ba.logit) / 2


def usable(vote: Vote, mass_floor: float) -> bool:
    """Whether a vote counts: it gives the two answers at least `mass_floor` together, and not nothing."""
    return vote.mass >= mass_floor and vote.mass > 0.0


def unread(vote: Vote) -> bool:
    """Whether a vote is empty because no verdict could be read: an unusable reasoning, or no sample that is clear."""
    return vote.mass == 0.0 and (vote.counts is not None or vote.rationale == "")


def beta_variance(counts: tuple[int, int]) -> float:
    """Variance of Beta(1 + a, 1 + b), what counted verdicts leave unknown: 1/12 with none, towards 0 with many."""
    a, b = counts[0] + 1, counts[1] + 1
    return a * b / ((a + b) ** 2 * (a + b + 1))


def beta_interval(counts: tuple[int, int], confidence: float = 0.95) -> tuple[float, float]:
    """The central interval of Beta(1 + a, 1 + b) that holds `confidence` of it."""
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2
    low, high = (float(betaincinv(counts[0] + 1, counts[1] + 1, share)) for share in (tail, 1.0 - tail))
    return low, high


def certainty(vote: Vote) -> float:
    """0 … 1: 1 for log-probabilities; of counted verdicts, the share of the variance that they have removed."""
    return 1.0 if vote.counts is None else 1.0 - 12.0 * beta_variance(vote.counts)
