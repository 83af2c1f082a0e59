"""A trained model's folder: weights, tokenizer and a record of how it came about, put in place in one step."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from cai.records import Json
from cai.training.checkpoint import publish

LIBRARIES = ("cai", "torch", "transformers", "trl", "peft", "accelerate")


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` to write in, which takes the place of `out` if the block ends well."""
    staged = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        publish(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def versions() -> Json:
    """Versions of Python and of the libraries that a training result depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def mean_loss_at_ends(losses: list[float]) -> tuple[float, float]:
    """Mean loss over the first and over the last tenth of the steps, at least one step each."""
    share = max(1, len(losses) // 10)
    return sum(losses[:share]) / share, sum(losses[-share:]) / share
