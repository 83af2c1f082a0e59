"""The batches that the embedded model is trained on, drawn ahead of the training.

A block of them is a function of (settings, block) alone, so it does not matter in which process it is drawn.
"""

from __future__ import annotations

import multiprocessing
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from cai.embedded import corpus, curriculum, trees
from cai.errors import TrainingError

if TYPE_CHECKING:
    from cai.embedded.train import TrainSettings

BLOCK = 8  # steps whose batches are drawn and packed together
_PROCESSES = 4  # that draw for a GPU, which takes a batch in less time than one process draws it


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, positions (rows, length); mask (rows, 1, length, length); edges as flat parents, targets, weights."""

    ids: Any
    positions: Any
    mask: Any
    parents: Any
    targets: Any
    weights: Any

    def to(self, device: Any) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def collate(packed: list[trees.Row], length: int, pad: int) -> Batch:
    """Rows as tensors; what is padded sees and is seen by itself alone."""
    import torch

    ids = torch.full((len(packed), length), pad)
    positions = torch.zeros(len(packed), length, dtype=torch.long)
    ends = torch.arange(1, length + 1).repeat(len(packed), 1)
    edges = []
    for index, row in enumerate(packed):
        size = len(row.tokens)
        ids[index, :size] = torch.tensor(row.tokens)
        positions[index, :size] = torch.tensor(row.positions)
        ends[index, :size] = torch.tensor(row.ends)
        edges += [(parent + index * length, child, weight) for parent, child, weight in row.edges]
    at = torch.arange(length)
    mask = (at[None, :, None] >= at[None, None, :]) & (at[None, :, None] < ends[:, None, :])
    parents, targets, weights = zip(*edges, strict=True)
    return Batch(ids, positions, mask[:, None], torch.tensor(parents), torch.tensor(targets), torch.tensor(weights))


def block_of_batches(settings: TrainSettings, tokenizer: Any, block: int, shards: int) -> list[list[Batch]]:
    """The batches of steps ``BLOCK * block`` onwards, each in `shards` parts."""
    first = block * BLOCK
    begun = bisect_right(settings.falls[:-1], first)
    phase = curriculum.LATER[begun - 1][1] if begun else curriculum.phase_at(first / settings.falls[0])

    def grown() -> Iterator[trees.Tree]:
        for group in corpus.groups(settings.seed * 1_000_003 + block, phase):
            yield from trees.fitting([corpus.render(turn, tokenizer) for turn in group], settings.length)

    packed = list(islice(trees.rows(grown(), settings.length), BLOCK * settings.rows))
    part = settings.rows // shards
    parts = [
        collate(packed[at : at + part], settings.length, tokenizer.pad_token_id) for at in range(0, len(packed), part)
    ]
    return [parts[at : at + shards] for at in range(0, len(parts), shards)]


def blocks(
    settings: TrainSettings, tokenizer: Any, first: int, shards: int, in_processes: bool
) -> Generator[list[list[Batch]]]:
    """The blocks from number `first` on, without end; a thread, or processes, draw the next ones meanwhile."""
    pool: Executor
    if in_processes:
        ahead = max(1, min(_PROCESSES, (os.cpu_count() or 1) - 1))
        pool = ProcessPoolExecutor(ahead, multiprocessing.get_context("spawn"), initializer=one_core)
    else:
        ahead, pool = 1, ThreadPoolExecutor(1, initializer=one_core)
    waiting: deque[Future[list[list[list[Any]]]]] = deque()
    try:
        for number in count(first):
            waiting.append(pool.submit(_arrays, settings, tokenizer, number, shards))
            if len(waiting) > ahead:
                yield [[Batch(*map(_tensor, part)) for part in parts] for parts in waiting.popleft().result()]
    except BrokenProcessPool as error:
        why = 'a script that trains wants its calls under `if __name__ == "__main__":`'
        raise TrainingError(f"the processes that draw what is taught have died; {why}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _arrays(settings: TrainSettings, tokenizer: Any, block: int, shards: int) -> list[list[list[Any]]]:
    """`block_of_batches` as arrays: tensors would come from a process through shared memory, which may be small."""
    drawn = block_of_batches(settings, tokenizer, block, shards)
    return [[[getattr(part, name).numpy() for name in Batch.__slots__] for part in parts] for parts in drawn]


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)


def one_core() -> None:
    """Let the operations of this thread or process use one core each."""
    import torch

    torch.set_num_threads(1)
