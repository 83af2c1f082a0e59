"""The losses of a reward model: on pairs with soft labels, and on the rankings that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from cai.packed import sent
from cai.training.plackett_luce import Listed, members
from cai.training.rows import Group


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


def group_loss(scores: Tensor, groups: Sequence[Group], centering: float = 0.0) -> tuple[Tensor, Tensor]:
    """`preference_loss` over all comparisons of `groups`; `scores` are (answers,), one group's after the other's.

    Groups that were encoded for it are fitted listwise: each three or more answers that comparisons connect have in
    place of their pairs their `plackett_luce_loss` per place, times the sum of their comparisons' weights. So K − 1
    comparisons in a chain weigh what K − 1 pairs do, one place each; and where all pairs of K answers are labelled,
    the best one is at equal rewards drawn up as much as by its pairs. Answers that one comparison or several connect
    with one other alone keep their pair loss, answers in no comparison have no part, centring is as for pairs.
    """
    starts = [0]
    for group in groups:
        starts.append(starts[-1] + len(group.tails))
    rows = [(start, one) for start, group in zip(starts, groups, strict=False) for one in group.comparisons]
    first = sent([start + one.first for start, one in rows], scores.device)
    second = sent([start + one.second for start, one in rows], scores.device)
    p_first = sent([one.p_first for _, one in rows], scores.device)
    weight = sent([one.weight for _, one in rows], scores.device)
    fit, objective = preference_loss(scores[first], scores[second], p_first, weight, centering)
    lists = [(start, one) for start, group in zip(starts, groups, strict=False) for one in group.lists or ()]
    if not lists:
        return fit, objective
    ranked = {start + number for start, one in lists for number in one.answers}
    alone = torch.tensor([start + one.first not in ranked for start, one in rows], device=scores.device)
    pairs = preference_loss(scores[first][alone], scores[second][alone], p_first[alone], weight[alone])[0]
    listed = pairs + _ranked(scores, lists)
    return listed, listed + objective - fit


def plackett_luce_loss(scores: Tensor, left: Tensor, taken: Tensor) -> Tensor:
    """(n,) float32, in nats: Σ_S left_S · logsumexp(scores_S) − Σ_i taken_i · scores_i of n sets of k answers each.

    `scores` and `taken` are (n, k), `left` is (n, 2^k − k − 1), as `plackett_luce.Listed` has them: the result is the
    expectation of −log PL(ranking | scores) over the rankings that the labels stand for.
    """
    own = scores.float()
    own = own - own.detach().amax(-1, keepdim=True)
    sets = own[:, None, :].masked_fill(~members(own.shape[1], own.device), -torch.inf)
    return torch.sum(left * sets.logsumexp(-1), -1) - torch.sum(taken * own, -1)


def _ranked(scores: Tensor, lists: Sequence[tuple[int, Listed]]) -> Tensor:
    """The weighted loss of all lists, each with the number of its group's first answer; those of one length at once."""
    total = torch.zeros((), device=scores.device)
    for count in sorted({len(one.answers) for _, one in lists}):
        some = [(start, one) for start, one in lists if len(one.answers) == count]
        at = torch.tensor([[start + number for number in one.answers] for start, one in some], device=scores.device)
        left = torch.stack([one.left for _, one in some]).to(scores.device)
        taken = torch.stack([one.taken for _, one in some]).to(scores.device)
        weight = torch.tensor([one.weight for _, one in some], device=scores.device)
        total = total + torch.sum(weight * plackett_luce_loss(scores[at], left, taken))
    return total
