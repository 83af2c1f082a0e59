"""Which prompts a reward model was trained on: `trained_prompts.txt` in its folder, the hash of an opening a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cai.prompts.splits import opening_hash
from cai.records import Messages

_NAME = "trained_prompts.txt"


def write_trained_prompts(folder: Path, openings: Iterable[str], before: Path) -> None:
    """Write what a model learnt from into its folder: `openings`, and those of the reward model `before` it, if any."""
    hashes = sorted({*openings, *(_read(before) or ())})
    (folder / _NAME).write_text("".join(f"{one}\n" for one in hashes), encoding="utf-8")


def trained_on(folder: Path, prompts: Iterable[Messages]) -> int | None:
    """How many of `prompts` the model in `folder` was trained on; None where its folder does not tell."""
    known = _read(folder)
    return None if known is None else sum(opening_hash(one) in known for one in prompts)


def _read(folder: Path) -> frozenset[str] | None:
    path = folder / _NAME
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else None
