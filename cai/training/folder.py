"""A trained model's folder: weights, tokenizer and a record of how it came about, put in place in one step."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from cai import __version__
from cai.errors import TrainingError
from cai.records import Json
from cai.storage.temporary import folder_for, replacing, sweep
from cai.training.checkpoint import publish

RECORD = "training.json"
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def checked_out(out: Path, model: Path) -> Path:
    """`out` as an absolute path, once it is sure that a trained model may take its place.

    Raises `TrainingError` for a file, for a folder that holds anything but a model trained here, and for one that
    holds `model`, which is trained from, or the folder that the process is in.
    """
    out = out.resolve()
    if model.resolve().is_relative_to(out):
        raise TrainingError(f"{out} holds the model to start from and would be replaced; choose another folder")
    if Path.cwd().is_relative_to(out):
        raise TrainingError(f"{out} is the folder you are in, or one around it; name a folder for the model alone")
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; name a folder for the model")
    if out.is_dir() and any(out.iterdir()) and "trainer" not in _record(out):
        raise TrainingError(f"{out} is not empty and holds no model trained by cai; choose another folder, or empty it")
    return out


def finished(out: Path, key: str) -> Json | None:
    """The report of the model in `out`, if it came from the training that `key` names and is as it was saved."""
    record = _record(out)
    if record.get("key") != key or not record["files"].items() <= _hashes(out).items():
        return None
    shutil.rmtree(out.with_name(f".{out.name}.old"), ignore_errors=True)
    sweep(out)
    sweep(out / RECORD)
    report: Json = record["report"]
    return report


def check_replaceable(out: Path) -> None:
    """Raise `TrainingError` where files that are not the model's own would go with the one in `out`."""
    own = {RECORD, *_record(out).get("files", {})}
    if foreign := sorted(path.name for path in out.iterdir() if path.name not in own) if out.is_dir() else []:
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise TrainingError(
            f"{out}: {foreign[0]}{more} would be deleted with the model there, and is not of it; "
            "move what you want to keep, or choose another folder"
        )


def write_record(folder: Path, key: str, about: Json, report: Json, losses: Sequence[float]) -> None:
    """`training.json`: what was trained, how, with which outcome, and the hash of every other file of `folder`."""
    record = {**about, "report": report, "losses": losses, "versions": versions(), "key": key, "files": _hashes(folder)}
    write_json(folder / RECORD, record)


def note(folder: Path, said: Json) -> None:
    """Add to `training.json` what only the command that trained knows."""
    path = folder / RECORD
    record = _record(folder) | said
    with replacing(path) as handle:
        handle.write(_text(record))


def _record(folder: Path) -> Json:
    """The content of a folder's `training.json`; empty if there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != RECORD:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` to write in, which takes the place of `out` if the block ends well."""
    with folder_for(out) as staged:
        yield staged
        _as_the_mask_says(staged)
        publish(staged, out)


def _as_the_mask_says(folder: Path) -> None:
    """Let files be read by whom the process lets read its files: safetensors keeps weights to their owner."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Indented JSON with a final newline."""
    path.write_text(_text(value), encoding="utf-8")


def _text(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def versions() -> Json:
    """Versions of Python and of the libraries that a training result depends on."""
    own = {"python": platform.python_version(), "cai": __version__}
    return {**own, **{name: version(name) for name in LIBRARIES}}


def mean_loss_at_ends(losses: list[float]) -> tuple[float, float]:
    """Mean loss over the first and over the last tenth of the steps, at least one step each."""
    share = max(1, len(losses) // 10)
    return sum(losses[:share]) / share, sum(losses[-share:]) / share
