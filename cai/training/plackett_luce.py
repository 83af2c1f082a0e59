"""The rankings that soft labels of three or more answers stand for (Plackett–Luce): exact, without drawing any.

Strengths θ are fitted to the labels of answers that comparisons connect (Bradley & Terry 1952). A ranking is then drawn
place by place, each answer among those left with the odds e^θ (Plackett 1975), and its loss under rewards r is
−log PL(ranking | r). The expectation of that over all rankings needs no ranking: of a set S of answers, only the chance
that S is what is left at some place counts,

    L = Σ_S P_θ(S is left at some place) · cross-entropy(softmax θ_S, softmax r_S),   |S| ≥ 2,

which is Σ_S left_S · logsumexp(r_S) − Σ_i taken_i · r_i with taken_i the chance of i not to be last. L is least where r
is θ but for a constant; of two answers it is the soft pair loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cai.errors import TrainingError

if TYPE_CHECKING:
    from cai.training.rows import Comparison

    Array = np.ndarray[Any, np.dtype[Any]]

MOST = 10
"""Answers that comparisons may connect: their subsets are 2^10."""
MARGIN = 1e-6
"""How near a label may come to 0 or 1 in the fit, so that strengths are finite: at most 13.8 nats a comparison."""
TOLERANCE, COARSE = 1e-8, 1e-3
"""Nats by which the last step of the fit may still move the difference of two compared answers: as a rule, and where
weights of one prompt are so far apart (10^4 and more) that rounding allows no less."""
_ROUNDS = 300


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Answers of a group, k ≥ 3, that comparisons connect, and what the loss needs to know of their labels.

    `answers` are their numbers in the group. `left` is (2^k − k − 1,): the chance that a set is what is left at some
    place, in the order of `members(k)`; `taken` is (k,): the chance of each to be taken at a place where others were
    left. Both sum to k − 1, the places. `weight` is what a place weighs: the comparisons' weights over the places.
    """

    answers: tuple[int, ...]
    left: Tensor
    taken: Tensor
    weight: float


def listed(comparisons: Sequence[Comparison]) -> tuple[Listed, ...]:
    """One `Listed` for every three or more answers that comparisons connect; pairs and answers by themselves have none.

    Raises `TrainingError` for more than `MOST` of them, and for weights so far apart that no strengths can be found.
    """
    found = []
    for answers, own in components(comparisons):
        if len(answers) < 3:
            continue
        if len(answers) > MOST:
            raise TrainingError(
                f"reward.loss: listwise takes at most {MOST} answers a prompt that labels connect, not {len(answers)}"
            )
        place = {number: at for at, number in enumerate(answers)}
        labels = [(place[one.first], place[one.second], one.p_first, one.weight) for one in own]
        left, taken = chances(strengths(len(answers), labels))
        weight = sum(one.weight for one in own) / (len(answers) - 1)
        found.append(Listed(answers, torch.tensor(left).float(), torch.tensor(taken).float(), weight))
    return tuple(found)


def components(comparisons: Sequence[Comparison]) -> list[tuple[tuple[int, ...], list[Comparison]]]:
    """The numbers of answers that comparisons connect, ascending, with those comparisons."""
    parts: list[tuple[set[int], list[Comparison]]] = []
    for one in comparisons:
        both = {one.first, one.second}
        met = [part for part in parts if part[0] & both]
        parts = [part for part in parts if not part[0] & both]
        parts.append((both.union(*(part[0] for part in met)), [own for part in met for own in part[1]] + [one]))
    return [(tuple(sorted(answers)), own) for answers, own in parts]


@np.errstate(invalid="ignore", over="ignore")
def strengths(answers: int, labels: Sequence[tuple[int, int, float, float]]) -> Array:
    """(answers,) float64: the most likely Bradley–Terry strengths in nats, of mean 0.

    `labels` are (first, second, p that the first is better, weight > 0) and connect all answers. Newton's method with
    the step length log(1 + m)/m, m the largest change of a difference, which always descends (Sun & Tran-Dinh 2019,
    arXiv 1703.04599, for ν = 2). Raises `TrainingError` where it does not come within `COARSE`.
    """
    first, second = (np.array([one[side] for one in labels]) for side in (0, 1))
    better = np.clip([one[2] for one in labels], MARGIN, 1.0 - MARGIN)
    worse = np.clip([1.0 - one[2] for one in labels], MARGIN, 1.0 - MARGIN)
    weight = np.array([one[3] for one in labels]) / max(one[3] for one in labels)
    rows = np.arange(len(labels))
    sides = np.zeros((len(labels), answers))
    sides[rows, first], sides[rows, second] = 1.0, -1.0
    sides = sides[:, 1:]  # the first answer stays at 0
    found, moved = np.zeros(answers - 1), np.inf
    for _ in range(_ROUNDS):
        difference = sides @ found
        wins, losses = np.exp(-np.logaddexp(0.0, -difference)), np.exp(-np.logaddexp(0.0, difference))
        slope = sides.T @ (weight * (better * losses - worse * wins))
        bend = sides.T @ (sides * (weight * wins * losses)[:, None])
        try:
            step = np.linalg.solve(bend, slope)
        except np.linalg.LinAlgError:
            break
        moved = float(np.abs(sides @ step).max())
        found = found + step * (np.log1p(moved) / moved if moved else 1.0)
        if not moved > TOLERANCE:
            break
    if not moved <= COARSE:
        raise TrainingError(
            "reward.loss: listwise finds no ranking, because the weights of the labels are too far apart "
            f"({min(one[3] for one in labels):g} to {max(one[3] for one in labels):g})"
        )
    whole = np.concatenate([[0.0], found])
    centred: Array = whole - whole.mean()
    return centred


def chances(theta: Array) -> tuple[Array, Array]:
    """Of rankings drawn from Plackett–Luce with strengths `theta`, (k,), in nats: `left` and `taken` of `Listed`.

    Float64, by dynamic programming over all sets, from the whole down to the pairs.
    """
    count = len(theta)
    sets, sizes = _sets(count)
    odds = np.exp(theta - theta.max())
    share = sets * odds / np.maximum(sets @ odds, np.finfo(np.float64).tiny)[:, None]
    left, taken = np.zeros(len(sets)), np.zeros(count)
    left[-1] = 1.0
    for size in range(count, 1, -1):
        own = np.flatnonzero(sizes == size)
        drawn = left[own, None] * share[own]
        taken += drawn.sum(0)
        for at in range(count):
            there = sets[own, at]
            left[own[there] - (1 << at)] += drawn[there, at]
    return left[sizes >= 2], taken


@lru_cache(maxsize=2 * MOST)
def members(count: int, device: torch.device) -> Tensor:
    """(2^count − count − 1, count) booleans: which answers are in each set of two or more."""
    sets, sizes = _sets(count)
    return torch.tensor(sets[sizes >= 2], device=device)


@lru_cache(maxsize=MOST)
def _sets(count: int) -> tuple[Array, Array]:
    sets = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1 == 1
    return sets, sets.sum(1)
