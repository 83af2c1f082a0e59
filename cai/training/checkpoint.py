"""Checkpoints that are whole or ignored: safetensors and JSON, with a marker that is written last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from cai.recipe import RewardSettings, SFTSettings
from cai.records import Json
from cai.storage.temporary import replacing, sweep

_IDLE = ("checkpoint_every", "max_truncated")
MARKER = "complete.json"
"""Present only in a folder whose other files are all on disk; holds the size of each, in bytes."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a run stands after `step` steps; `tensors` are named groups such as weights and optimizer moments."""

    step: int
    state: Json
    tensors: Mapping[str, Mapping[str, Tensor]]


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits over the canonical JSON of `parts`: what a checkpoint must share to be continued."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def decisive(settings: SFTSettings | RewardSettings) -> Json:
    """The settings without those that change no bit of the result: how often a checkpoint is written, and a limit."""
    return {name: value for name, value in asdict(settings).items() if name not in _IDLE}


def folder_fingerprint(folder: Path) -> str:
    """A hash of the name and content of every plain file directly in `folder`, such as a model's."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def rows_fingerprint(rows: Iterable[Sequence[float]]) -> str:
    """16 hexadecimal digits over the numbers of every row and where each row ends."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row).to_bytes(8, "big") + array("d", row).tobytes())
    return digest.hexdigest()[:16]


def claim(folder: Path, key: str) -> Path:
    """The folder for the run with this key, made if it is not there; those of runs with other keys are removed.

    `key` is a `fingerprint` of all that decides the result: rows, settings, seed, the model started from.
    """
    own = folder / key
    own.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        if other != own and other.is_dir() and len(other.name) == len(key):
            shutil.rmtree(other)
    return own


def release(own: Path) -> None:
    """Remove a run's folder, and the one around it if nothing else is in it."""
    shutil.rmtree(own, ignore_errors=True)
    with suppress(OSError):
        own.parent.rmdir()


class Checkpoints:
    """The checkpoints of the training run that `key` names, under `folder`; see `claim`.

    `replaced` says whether there were some of another run.
    """

    def __init__(self, folder: Path, key: str, keep: int = 1) -> None:
        self.replaced = any(one.parent.name != key for one in folder.glob("*/step-*") if is_complete(one))
        self.folder, self.keep = claim(folder, key), keep

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, then remove all but the newest `keep`; a kill at any point leaves one that is whole."""
        target = self.folder / f"step-{checkpoint.step:08d}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name, group in checkpoint.tensors.items():
            save_file({key: one.detach().contiguous() for key, one in group.items()}, target / f"{name}.safetensors")
        state = {"step": checkpoint.step, "groups": list(checkpoint.tensors), **checkpoint.state}
        (target / "state.json").write_text(json.dumps(state), encoding="utf-8")
        mark_complete(target)
        for old in self._complete()[: -self.keep]:
            remove_marked(old)

    def latest(self) -> Checkpoint | None:
        """The newest that is whole, or None; what a kill left half-written is removed."""
        complete = self._complete()
        for path in self.folder.iterdir():
            if path.is_dir() and path not in complete:
                shutil.rmtree(path)
        if not complete:
            return None
        state = json.loads((complete[-1] / "state.json").read_text(encoding="utf-8"))
        groups = {name: load_file(complete[-1] / f"{name}.safetensors") for name in state.pop("groups")}
        return Checkpoint(state.pop("step"), state, groups)

    def clear(self) -> None:
        """Remove all of them: the model they led to has been saved."""
        release(self.folder)

    def _complete(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if is_complete(path))


def mark_complete(folder: Path) -> None:
    """Flush every file of `folder` to disk, then write its marker in one step."""
    sweep(folder / MARKER)
    sizes = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        _flush(path)
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    with replacing(folder / MARKER) as marker:
        marker.write(json.dumps(sizes))
        marker.flush()
        _flush(Path(marker.name))
    _flush(folder)
    _flush(folder.parent)


def is_complete(folder: Path) -> bool:
    """Whether the marker is there and every file has the size that it names."""
    marker = folder / MARKER
    if not marker.is_file():
        return False
    sizes = json.loads(marker.read_text(encoding="utf-8"))
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def remove_marked(folder: Path) -> None:
    """Remove the marker first, so that a kill half-way leaves nothing that looks whole."""
    (folder / MARKER).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, out: Path) -> None:
    """Put the finished folder `staged` in the place of `out`, on the same file system; an older `out` goes last."""
    for path in staged.rglob("*"):
        if path.is_file():
            _flush(path)
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    staged.replace(out)
    _flush(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
