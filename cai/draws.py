"""Every random draw of the pipeline: a hash of what it is for, never the state of a generator at call time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
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
    return int.from_bytes(_hash(what).digest(), "big")


def _hash(what: tuple[str | int, ...]) -> hashlib.blake2b:
    return hashlib.blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=8)


def draw_uniform(*what: str | int) -> float:
    """A number in (0, 1), the same for the same `what`."""
    return _uniform(_hash(what).digest())


def draw_seed(seed: int, record_id: str, purpose: str, index: int = 0) -> int:
    """The sampling seed of one request, 0 … 2³¹ − 1 (what every server accepts)."""
    return draw_bits(seed, record_id, purpose, index) >> 33


def draw_items(items: Sequence[Item], count: int, *what: str | int) -> list[Item]:
    """`count` of `items` without replacement, with chances in proportion to their weights: weighted rendezvous hashing.

    Every item gets the score −ln(u)/weight with its own u, and the least scores win (with equal weights, the greatest
    u). So the order of `items` does not matter, and adding or removing one of K changes about 1/K of the draws.
    """
    stem = _hash(what)
    own: list[bytes] = []
    for item in items:
        one = stem.copy()
        one.update(_encoded(item.id))
        own.append(one.digest())
    if len({item.weight for item in items}) <= 1:
        best = sorted(range(len(items)), key=own.__getitem__, reverse=True)
    else:
        best = sorted(range(len(items)), key=lambda at: -math.log(_uniform(own[at])) / items[at].weight)
    return [items[at] for at in best[:count]]


@lru_cache(maxsize=4096)
def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _uniform(bits: bytes) -> float:
    return (int.from_bytes(bits, "big") + 0.5) / 2.0**64
