"""Which rows a step takes and at what learning rate: pure functions of (seed, epoch, step), with no state to save."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Scheduler = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every step of a training run, computed from numbers alone; an epoch may be cut short by a fractional count."""

    rows: int
    batch_size: int
    epochs: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    @property
    def total_steps(self) -> int:
        """At least one."""
        return max(1, round(self.steps_per_epoch * self.epochs))

    def batch(self, step: int) -> list[int]:
        """Row numbers of step `step`, counted from 0; each epoch takes every row once, in its own order."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = permutation(self.rows, self.seed, epoch)
        return order[within * self.batch_size : (within + 1) * self.batch_size]


def permutation(n: int, seed: int, epoch: int) -> list[int]:
    """An order of 0 … n − 1 that depends on n, seed and epoch alone, the same on every machine."""
    digest = hashlib.blake2b(f"{n}/{seed}/{epoch}".encode(), digest_size=16).digest()
    order = list(range(n))
    random.Random(int.from_bytes(digest, "big")).shuffle(order)
    return order


def lr_factor(step: int, total: int, warmup_ratio: float, scheduler: Scheduler) -> float:
    """Share of the full learning rate at step `step` of `total`, counted from 0: linear warm-up, then the scheduler.

    Both decays reach zero one step after the last, so that no step is without effect.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if scheduler == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    return 1.0 - progress if scheduler == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))


def micro_batches(rows: Sequence[int], widths: Mapping[int, int], budget: int) -> list[list[int]]:
    """`rows` sorted by width and cut so that count × widest ≤ `budget` tokens; a row wider than that stands alone.

    `widths[row]` is what a row costs when it sets the width of its batch. Ties keep the order of `rows`.
    """
    batches: list[list[int]] = []
    for row in sorted(rows, key=lambda one: widths[one]):
        if batches and (len(batches[-1]) + 1) * widths[row] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
