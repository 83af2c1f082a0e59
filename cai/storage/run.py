"""A run folder: atomic files, the manifest of what each step read and wrote, the lock that keeps two runs apart."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from cai.errors import InputError, RunError
from cai.storage.temporary import is_temporary, replacing

FORMAT = 1
MANIFEST = "manifest.json"
Entry = dict[str, Any]
Made = TypeVar("Made")


def _is_passing(name: str) -> bool:
    """Whether a kill before the first manifest may have left a file of this name."""
    return name == ".lock" or is_temporary(name)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is complete and on the disk; on an error nothing is left.

    Raises `RunError` when the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, mode) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(f"{path}: cannot write: {_why(error)}") from None


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again"
    return error.strerror or str(error)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """One JSON document, indented, atomically."""
    with atomic_write(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes; of a folder, of its files' names and bytes."""
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(one for one in path.rglob("*") if one.is_file()):
            digest.update(f"{file.relative_to(path)}\0{file_sha256(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_way(folder: Path, out: Path) -> None:
    """Raise `RunError` where `folder`, into which `out` is written, cannot be made: it or one around it is a file."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if there is None or there.is_dir():
        return
    if there == out:
        raise RunError(f"{out}: this is a file, and a folder is to be written; name another")
    raise RunError(f"{out}: nothing can be written below {there}, which is a file; name another path")


class Run:
    """`outputs/<name>/`: its files and its manifest.

    Raises `RunError` for a folder that holds something else, or a run of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Entry = {"format": FORMAT, "steps": {}}
        file = folder / MANIFEST
        if file.exists():
            self.manifest = self._read(file)
            return
        check_way(folder, folder)
        if folder.is_dir() and any(not _is_passing(one.name) for one in folder.iterdir()):
            raise RunError(f"{folder}: not a run folder (it has files but no {MANIFEST}); choose another --out")

    @staticmethod
    def _read(file: Path) -> Entry:
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            found = manifest["format"]
            if found == FORMAT and not isinstance(manifest["steps"], dict):
                raise TypeError("its steps are no mapping")
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: not a manifest of cai ({error}); choose another --out") from None
        if found != FORMAT:
            raise RunError(
                f"{file}: the folder was made by another version (format {found}, this one writes {FORMAT}); "
                "choose another --out, or use that version"
            )
        return manifest  # type: ignore[no-any-return]

    @classmethod
    def existing(cls, folder: Path) -> Run:
        """The run in `folder`, which must be there."""
        if not (folder / MANIFEST).exists():
            raise RunError(f"{folder}: no run is there (no {MANIFEST})")
        return cls(folder)

    @property
    def steps(self) -> dict[str, Entry]:
        """What the manifest says of each finished step, in order."""
        return self.manifest["steps"]  # type: ignore[no-any-return]

    def path(self, name: str) -> Path:
        return self.folder / name

    def save(self) -> None:
        write_json(self.folder / MANIFEST, self.manifest)

    def finish(self, step: str, entry: Entry) -> None:
        """Record a finished step. Its files are already in place, so a kill before this line only repeats the step."""
        self.steps[step] = entry
        self.save()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; raises `RunError` if another one has it. The system frees it on any death."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"{self.folder}: another process is working on this run") from None
            yield


def signature(path: Path) -> Entry:
    """What tells that a file is as it was: its size, time and sha256; of a folder, those of each of its files."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
        return {"files": {str(one.relative_to(path)): signature(one) for one in files}}
    stat = path.stat()
    return {"sha256": file_sha256(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def untouched(path: Path, known: Entry) -> bool:
    """Whether a file still is what `signature` saw; a moved time alone is settled by the sha256."""
    if "files" in known:
        names = {
            str(one.relative_to(path)) for one in path.rglob("*") if one.is_file() and not one.name.startswith(".")
        }
        return names == set(known["files"]) and all(untouched(path / name, one) for name, one in known["files"].items())
    try:
        stat = path.stat()
    except OSError:
        return False
    if stat.st_size == known["size"] and stat.st_mtime_ns == known["mtime_ns"]:
        return True
    return bool(file_sha256(path) == known["sha256"])


def read_rows(path: Path) -> Iterator[Entry]:
    """The rows of a stage file, streamed; raises `InputError` with the line for one that is not a JSON object."""
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"not a JSON object: {error}", path, number) from None
            yield row


def read_records(path: Path, make: Callable[[Entry], Made]) -> Iterator[Made]:
    """What `make` makes of the rows of a stage file; raises `InputError` with the line for a row of something else."""
    for number, row in enumerate(read_rows(path), 1):
        try:
            yield make(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"without {error}" if isinstance(error, KeyError) else f"that is not of this step: {error}"
            raise InputError(f"a row {what}", path, number) from None
