"""Every random draw of the pipeline: a hash of what it is for, never the state of a generator at call time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """Anything that has a name and a weight > 0: a principle."""

    @property
    def id(self) -> str: ...

    @property
    def weight(self) -> float: ...


Item = TypeVar("Item", bound=Weighted)


def draw_bits(*what: str | int) -> int:
    """64 uniform bits that depend on every part of `what`."""
    return int.from_bytes(hashlib.blake2b(json.dumps(what).encode(), digest_size=8).digest(), "big")


def draw_uniform(*what: str | int) -> float:
    """A number in (0, 1), the same for the same `what`."""
    return (draw_bits(*what) + 0.5) / 2.0**64


def draw_seed(seed: int, record_id: str, purpose: str, index: int = 0) -> int:
    """The sampling seed of one request, 0 … 2³¹ − 1 (what every server accepts)."""
    return draw_bits(seed, record_id, purpose, index) >> 33


def draw_items(items: Sequence[Item], count: int, *what: str | int) -> list[Item]:
    """`count` of `items` without replacement, each with chance in proportion to its weight: weighted rendezvous hashing.

    Every item gets the score −ln(u)/weight with its own u, and the least scores win. So the order of `items` does not
    matter, and adding or removing one of K changes about 1/K of the draws.
    """
    ranked = sorted(items, key=lambda item: (-math.log(draw_uniform(item.id, *what)) / item.weight, item.id))
    return ranked[:count]
