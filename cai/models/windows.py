"""Taking requests a window at a time, and cutting a window into batches by their number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def windows(items: Iterable[T], size: int) -> Iterator[list[tuple[int, T]]]:
    """Lists of up to `size` numbered items; the next list is not touched before it is asked for."""
    numbered = enumerate(items)
    while window := list(islice(numbered, size)):
        yield window


def batches(items: Sequence[T], width: Callable[[T], int], tokens: int) -> Iterator[list[T]]:
    """Runs of `items`, in order, whose number of rows times the widest row is at most `tokens`; at least one row."""
    batch: list[T] = []
    widest = 0
    for item in items:
        wider = max(widest, width(item))
        if batch and wider * (len(batch) + 1) > tokens:
            yield batch
            batch, wider = [], width(item)
        batch.append(item)
        widest = wider
    if batch:
        yield batch
