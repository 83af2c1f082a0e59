"""The loss of a reward model on soft labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


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
