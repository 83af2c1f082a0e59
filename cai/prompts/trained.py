"""Which prompts a reward model was trained on: `trained_prompts.txt` in its folder, the hash of an opening a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cai.prompts.splits import opening_hash
from cai.records import Messages

_NAME = "trained_prompts.txt"


def write_trained_prompts(folder: Path, prompts: Iterable[Messages]) -> None:
    """Write the hashes of `prompts` into the folder of the model that learnt from them."""
    hashes = sorted({opening_hash(one) for one in prompts})
    (folder / _NAME).write_text("".join(f"{one}\n" for one in hashes), encoding="utf-8")


def trained_on(folder: Path, prompts: Iterable[Messages]) -> int | None:
    """How many of `prompts` the model in `folder` was trained on; None where its folder does not tell."""
    path = folder / _NAME
    if not path.is_file():
        return None
    known = frozenset(path.read_text(encoding="utf-8").split())
    return sum(opening_hash(one) in known for one in prompts)
