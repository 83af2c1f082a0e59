"""What every reader does: run by a consumer's Python, it reads exported datasets and writes what it saw as JSON.

Arguments: the folder of the datasets, the folder of the tokenizer, a folder to work in, and the file to write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """Where the datasets, the tokenizer and a folder for caches are."""

    datasets: Path
    tokenizer: str
    work: Path

    def files(self, name: str, kind: str = "jsonl") -> dict[str, str]:
        """The file of each split of one format."""
        return {split: str(self.datasets / name / f"{split}.{kind}") for split in ("train", "test")}


def answer(read: Callable[[Task], dict[str, Rows]]) -> None:
    """Write what `read` saw: for each way of reading, the rows of the train split and then those of the test split."""
    datasets, tokenizer, work, out = sys.argv[1:]
    seen = read(Task(Path(datasets), tokenizer, Path(work)))
    Path(out).write_text(json.dumps(seen), encoding="ascii")
