"""The losses of a reward model: on pairs with soft labels, and on a whole ranking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from cai.training.rows import Comparison, Group

_ROUNDS = 200
_PRIOR = 0.1
_TIE = 1e-3


def preference_loss(
    reward_a: Tensor, reward_b: Tensor, p_a: Tensor, weight: Tensor, centering: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weighted sum over pairs of −p·logσ(d) − (1−p)·logσ(−d), d = reward_a − reward_b, and the same with centring.

    All arguments are (pairs,), rewards in any float type; both results are float32 scalars, in nats times weight, not
    divided by anything, so that micro-batches add up. The second adds `centering`·(reward_a + reward_b)² per pair
    (Eisenstein et al. 2023, arXiv 2312.09244, §2) and is what is minimised; the first is what is reported.
    """
    a, b = reward_a.float(), reward_b.float()
    fit = torch.sum(weight * binary_cross_entropy_with_logits(a - b, p_a, reduction="none"))
    return fit, fit + centering * torch.sum(weight * (a + b).square())


def group_loss(
    scores: Tensor, groups: Sequence[Group], centering: float = 0.0, listwise: bool = False
) -> tuple[Tensor, Tensor]:
    """`preference_loss` over all comparisons of `groups`; `scores` are (answers,), one group's after the other's.

    With `listwise`, a group of three or more answers is fitted by `plackett_luce_loss` per place of its ranking, times
    the weight of its comparisons; centring stays as it is, and so do groups of two, whose labels stay soft.
    """
    starts = [0]
    for group in groups:
        starts.append(starts[-1] + len(group.tails))
    rows = [(start, one) for start, group in zip(starts, groups, strict=False) for one in group.comparisons]
    first = torch.tensor([start + one.first for start, one in rows], device=scores.device)
    second = torch.tensor([start + one.second for start, one in rows], device=scores.device)
    p_first = torch.tensor([one.p_first for _, one in rows], device=scores.device)
    weight = torch.tensor([one.weight for _, one in rows], device=scores.device)
    fit, objective = preference_loss(scores[first], scores[second], p_first, weight, centering)
    if not listwise or all(len(group.tails) == 2 for group in groups):
        return fit, objective
    listed = torch.zeros((), device=scores.device)
    for start, group in zip(starts, groups, strict=False):
        own = scores[start : start + len(group.tails)].float()
        listed = listed + (_pairs_alone(own, group) if len(group.tails) == 2 else _ranked(own, group))
    return listed, listed + objective - fit


def plackett_luce_loss(scores: Tensor, tiers: Sequence[Sequence[int]]) -> Tensor:
    """Mean over the places of a ranking of −log P(the answer there is taken first of all that are left), in nats.

    `scores` is (answers,), `tiers` their numbers from best to worst; those of one tier are tied, and each of them is
    taken with all of them still there (Breslow 1974). A last place that only one is left for counts for nothing.
    """
    order = torch.tensor([number for tier in tiers for number in tier], device=scores.device)
    starts = torch.tensor([at for at, tier in zip(_offsets(tiers), tiers, strict=True) for _ in tier])
    ranked = scores.float()[order]
    left = ranked.flip(0).logcumsumexp(0).flip(0)[starts.to(scores.device)]
    return torch.sum(left - ranked) / max(1, len(order) - (len(tiers[-1]) == 1))


@lru_cache(maxsize=1 << 16)
def ranking(answers: int, comparisons: tuple[Comparison, ...]) -> list[list[int]]:
    """Numbers of the answers from best to worst, tied ones together, by Bradley–Terry strengths (Hunter 2004, §3).

    Soft labels count as shares of a win. Each answer has also drawn a little against one of strength 1, so that
    strengths are finite, and comparable where no label connects them.
    """
    strengths = [1.0] * answers
    for _ in range(_ROUNDS):
        won, met = [_PRIOR / 2] * answers, [_PRIOR / (1.0 + one) for one in strengths]
        for one in comparisons:
            share = one.weight / (strengths[one.first] + strengths[one.second])
            for number, p in ((one.first, one.p_first), (one.second, 1.0 - one.p_first)):
                won[number] += one.weight * p
                met[number] += share
        strengths = [wins / meetings for wins, meetings in zip(won, met, strict=True)]
    tiers: list[list[int]] = []
    for number in sorted(range(answers), key=lambda one: -strengths[one]):
        if tiers and strengths[number] >= (1.0 - _TIE) * strengths[tiers[-1][-1]]:
            tiers[-1].append(number)
        else:
            tiers.append([number])
    return tiers


def _ranked(scores: Tensor, group: Group) -> Tensor:
    return group.weight * plackett_luce_loss(scores, ranking(len(group.tails), group.comparisons))


def _pairs_alone(scores: Tensor, group: Group) -> Tensor:
    return group_loss(scores, [group])[0]


def _offsets(tiers: Sequence[Sequence[int]]) -> list[int]:
    return [sum(map(len, tiers[:at])) for at in range(len(tiers))]
