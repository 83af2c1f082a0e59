"""Near-duplicate prompts: MinHash with locality-sensitive hashing finds candidates, their exact Jaccard index decides.

Broder 1997, "On the resemblance and containment of documents"; shingles of five characters, as Leskovec, Rajaraman and
Ullman advise for short texts (Mining of Massive Datasets, §3.2). Sketches are those of `datasketch`, whose own index
would take three times the memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cai.errors import ConfigError
from cai.exports import Reason
from cai.exports.prompt_text import plain_text
from cai.records import Prompt

if TYPE_CHECKING:
    import numpy as np

SHINGLE = 5
SKETCH = 128
FOUND = 0.99
"""The least probability that two prompts exactly at the threshold meet in one band of their sketches."""


_REASON: dict[tuple[str, str], Reason] = {
    ("test", "test"): "near_duplicate",
    ("train", "train"): "near_duplicate",
    ("train", "test"): "near_duplicate_of_test",
}


def near_duplicates(test: Iterable[Prompt], train: Iterable[Prompt], threshold: float) -> dict[str, Reason]:
    """Prompt id -> reason, of every prompt whose Jaccard index with one that is kept is `threshold` or more.

    The first of equals is kept, and test before train: no train prompt is left that nearly is one of test's. Both are
    read once, in order; sketches and shingle hashes of what is kept stay in memory. Of pairs that lie at the threshold
    99 in 100 are found (`FOUND`), of those above it more, of those below none. Raises `ConfigError` unless
    0 < threshold ≤ 1.
    """
    check_threshold(threshold)
    index = _Index(threshold)
    left_out: dict[str, Reason] = {}
    seen: set[str] = set()
    for split, prompts in (("test", test), ("train", train)):
        for prompt in prompts:
            if prompt.id in seen:
                continue
            seen.add(prompt.id)
            nearest = index.find_or_add(plain_text(prompt), split)
            if nearest is not None:
                left_out[prompt.id] = _REASON[split, nearest]
    return left_out


def check_threshold(threshold: float) -> float:
    """`threshold` itself, if it is above 0 and at most 1."""
    if not 0.0 < threshold <= 1.0:
        raise ConfigError(f"the threshold of near-duplicates is {threshold:g}, expected 0 < threshold ≤ 1")
    return threshold


def shingles(text: str) -> np.ndarray:
    """Sorted distinct 32-bit hashes of all runs of `SHINGLE` characters; of the whole text if it is shorter."""
    import numpy as np

    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64) + np.uint64(1)
    width = min(SHINGLE, len(points))
    hashes = np.zeros(max(1, len(points) - width + 1), np.uint64)
    for place in range(width):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[place : place + len(hashes)]
    mixed = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared over all, of two arrays of distinct hashes."""
    import numpy as np

    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def bands(threshold: float) -> tuple[int, int]:
    """How many bands of how many rows each: the longest rows that still find what they should (`FOUND`)."""
    for rows in range(SKETCH, 1, -1):
        if 1 - (1 - threshold**rows) ** (SKETCH // rows) >= FOUND:
            return SKETCH // rows, rows
    return SKETCH, 1


class _Index:
    """The prompts that are kept, found by their sketches."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash

        self._threshold = threshold
        self._empty = MinHash(SKETCH, hashfunc=int, scheme="affine64")
        self._bands, self._rows = bands(threshold)
        self._first: dict[int, int] = {}
        self._more: dict[int, list[int]] = {}
        self._kept: list[tuple[str, np.ndarray]] = []

    def find_or_add(self, text: str, split: str) -> str | None:
        """The split of the first kept prompt that is near, test before train; or None, and `text` is now kept."""
        hashes = shingles(text)
        keys = list(self._keys(hashes))
        near = next(self._near(hashes, keys), None)
        if near is None:
            self._add(keys, len(self._kept))
            self._kept.append((split, hashes))
        return near

    def _near(self, hashes: np.ndarray, keys: list[int]) -> Iterator[str]:
        numbers = {self._first[key] for key in keys if key in self._first}
        numbers.update(number for key in keys for number in self._more.get(key, ()))
        for number in sorted(numbers):
            split, known = self._kept[number]
            if jaccard(hashes, known) >= self._threshold:
                yield split

    def _add(self, keys: list[int], number: int) -> None:
        """Most bands belong to one prompt only, so a list is made from the second on."""
        for key in keys:
            if self._first.setdefault(key, number) != number:
                self._more.setdefault(key, []).append(number)

    def _keys(self, hashes: np.ndarray) -> Iterator[int]:
        """A 64-bit hash of every band of the sketch and its place."""
        sketch = self._empty.copy()
        sketch.update_batch(hashes.tolist())
        values = sketch.hashvalues
        for band in range(self._bands):
            part = values[band * self._rows : (band + 1) * self._rows].tobytes()
            yield int.from_bytes(hashlib.blake2b(part, digest_size=8, salt=band.to_bytes(16)).digest())
