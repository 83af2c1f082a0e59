"""Files and folders that are written under a name of their own before they take their place.

The name is drawn, is in the same folder, and is opened only if nothing has it: no link that lies there is followed, and
two processes that write one file do not share it. What a kill leaves is removed by whoever writes the same file next.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_NAMED = 40
_DRAWN = re.compile(r"\.(.{1,40})\.[0-9a-f]{16}\.tmp", re.DOTALL)
"""``.NAME.<16 hexadecimal digits>.tmp``, of a long name its first 40 characters."""


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file, UTF-8 if it is of text, that takes the place of `path` if the block ends well; else it is removed.

    Raises `OSError` where it cannot be written.
    """
    sweep(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    while True:
        temporary = _drawn(path)
        handle: IO[Any] = open(temporary, mode, opener=_new_file, **text)  # noqa: SIM115 - closed below
        if _is_held(temporary, handle.fileno()):
            break
        handle.close()
    try:
        with handle:
            yield handle
            handle.flush()
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def folder_for(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, for the block to fill and put in its place; removed after it if it still is there.

    Raises `OSError` where it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    while True:
        temporary = _drawn(path)
        temporary.mkdir()
        try:
            lock = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:  # a `sweep` took it
            continue
        if _is_held(temporary, lock):
            break
        os.close(lock)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def sweep(path: Path) -> None:
    """Remove what killed processes left that were writing `path`; what a process still writes is left alone."""
    with suppress(OSError):
        for one in [Path(entry) for entry in os.scandir(path.parent) if _of(entry.name) == path.name[:_NAMED]]:
            with suppress(OSError):
                _remove_abandoned(one)


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name may be one that has not yet taken its place."""
    return _of(name) is not None


def _drawn(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAMED]}.{os.urandom(8).hex()}.tmp")


def _of(name: str) -> str | None:
    found = _DRAWN.fullmatch(name)
    return found[1] if found else None


def _new_file(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _is_held(path: Path, descriptor: int) -> bool:
    """Lock what was just made, which the system frees on any death; False where a `sweep` was faster and took it."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_abandoned(path: Path) -> None:
    folder = path.is_dir()
    descriptor = os.open(path, (os.O_RDONLY if folder else os.O_RDWR | os.O_NONBLOCK) | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
