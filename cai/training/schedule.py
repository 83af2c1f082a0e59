"""Which groups a step takes and at what learning rate: pure functions of (seed, epoch, step), no state to save."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Scheduler = Literal["constant", "cosine", "linear"]
Numbers = Mapping[int, int]
"""A number for each group."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every step of a training run, computed from numbers alone; an epoch may be cut short by a fractional count.

    `sizes[n]` is how many pairs group n has, `widths[n]` how long it is. A step takes whole groups, at most
    `batch_size` pairs, or one group that has more. `mega_batch` steps at a time are dealt out by width.
    """

    sizes: Sequence[int]
    widths: Sequence[int]
    batch_size: int
    epochs: float
    seed: int
    mega_batch: int = 1
    _kept: dict[int, list[list[int]]] = field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """At least one."""
        whole, part = divmod(self.epochs, 1)
        steps = sum(len(self.epoch(number)) for number in range(int(whole)))
        return max(1, round(steps + (part * len(self.epoch(int(whole))) if part else 0)))

    def batch(self, step: int) -> list[int]:
        """Group numbers of step `step`, counted from 0; each epoch takes every group once, in its own order."""
        epoch = 0
        while step >= len(self.epoch(epoch)):
            step -= len(self.epoch(epoch))
            epoch += 1
        return self.epoch(epoch)[step]

    def epoch(self, number: int) -> list[list[int]]:
        """The steps of an epoch."""
        if number not in self._kept:
            order = permutation(len(self.sizes), self.seed, number)
            if self.mega_batch > 1:
                order = [
                    one
                    for mega in self._filled(order, self.mega_batch * self.batch_size)
                    for one in sorted(mega, key=lambda group: self.widths[group])
                ]
            steps = self._filled(order, self.batch_size)
            if self.mega_batch > 1:
                steps = [steps[at] for at in permutation(len(steps), self.seed, number, "steps")]
            self._kept[number] = steps
        return self._kept[number]

    def _filled(self, order: Sequence[int], most: int) -> list[list[int]]:
        filled: list[list[int]] = []
        room = 0
        for group in order:
            if not filled or self.sizes[group] > room:
                filled.append([])
                room = most
            filled[-1].append(group)
            room -= self.sizes[group]
        return filled


def permutation(n: int, seed: int, epoch: int, of: str = "") -> list[int]:
    """An order of 0 … n − 1 that depends on its arguments alone, the same on every machine."""
    digest = hashlib.blake2b(f"{n}/{seed}/{epoch}{of}".encode(), digest_size=16).digest()
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


def dealt(groups: Sequence[int], tokens: Numbers, hands: int) -> list[list[int]]:
    """`groups` dealt to `hands` processes, longest first, each to the one that has the fewest tokens so far."""
    shares: list[list[int]] = [[] for _ in range(hands)]
    held = [0] * hands
    for group in sorted(groups, key=lambda one: -tokens[one]) if hands > 1 else groups:
        lightest = held.index(min(held))
        shares[lightest].append(group)
        held[lightest] += tokens[group]
    return shares


def packed_batches(groups: Sequence[int], tokens: Numbers, budget: int) -> list[list[int]]:
    """`groups` by length, cut so that a micro-batch has at most `budget` tokens; a longer group stands alone."""
    batches: list[list[int]] = []
    room = 0
    for group in sorted(groups, key=lambda one: tokens[one]):
        if not batches or tokens[group] > room:
            batches.append([])
            room = budget
        batches[-1].append(group)
        room -= tokens[group]
    return batches


def padded_batches(
    groups: Sequence[int], rows: Numbers, widths: Numbers, budget: int, overhead: int
) -> list[list[int]]:
    """`groups` by width, cut where that costs least: rows × widest ≤ `budget` tokens each, and `overhead` for each.

    `overhead` is how many tokens a forward pass costs by itself. A group over the budget stands alone.
    """
    order = sorted(groups, key=lambda one: widths[one])
    best: list[tuple[int, int]] = [(0, 0)]  # (cost of the first n groups, where their last micro-batch starts)
    for end in range(1, len(order) + 1):
        width, count, options = widths[order[end - 1]], 0, []
        for start in range(end - 1, -1, -1):
            count += rows[order[start]]
            if count * width > budget and start < end - 1:
                break
            options.append((best[start][0] + count * width + overhead, start))
        best.append(min(options))
    batches: list[list[int]] = []
    end = len(order)
    while end:
        start = best[end][1]
        batches.insert(0, order[start:end])
        end = start
    return batches
