"""Folders that exports are written in before they take their place, and what a kill leaves of them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cai.exports import EXPORTS

PREFIX, SUFFIX, OLD, LOCK = ".new.", ".tmp", ".old", ".lock"
STALE_SECONDS = 3600.0
"""How long nothing was written in a staging folder without a lock, before it counts as left by a kill."""
_NAME = re.compile(rf"{re.escape(PREFIX)}[a-z0-9_]{{8}}{re.escape(SUFFIX)}")
_PLACES = ("datasets", *EXPORTS)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` to write in first; gone afterwards, with what is left in it.

    So is `folder` where it was made for this and nothing came into it, and each folder above that was made with it.
    What killed exports left in `folder` is tidied first.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    tidy(folder)
    work, lock = _locked_folder(folder)
    try:
        yield work
    finally:
        try:
            _put_back(work, folder)
            shutil.rmtree(work, ignore_errors=True)
        finally:
            os.close(lock)
        with suppress(OSError):
            for one in made:
                one.rmdir()


def take_place(new: Path, folder: Path) -> None:
    """Put `new`, which is in a `staging` folder, in the place of `folder`."""
    new.mkdir(exist_ok=True)
    if folder.exists():
        folder.rename(new.with_name(f"{folder.name}{OLD}"))
    new.rename(folder)


def tidy(folder: Path) -> None:
    """Remove the staging folders of exports that were killed.

    One that was killed while a folder was replaced, so that it lies in neither place, has the old one put back first.
    What a process still holds is left alone, and so is what cannot be moved.
    """
    for work in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        if not _NAME.fullmatch(work.name) or not _is_folder(work):
            continue
        with suppress(OSError), _abandoned(work) as abandoned:
            if abandoned:
                _put_back(work, folder)
                shutil.rmtree(work, ignore_errors=True)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new staging folder and the lock on it: the system frees it on any death.

    `tidy` of another export may find the folder before the lock is held; it then takes it away, and another is made.
    """
    while True:
        work = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=folder))
        lock = os.open(work / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return work, lock
        os.close(lock)


@contextmanager
def _abandoned(work: Path) -> Iterator[bool]:
    """Whether nobody works in a staging folder; if so, nobody else can say the same until the caller goes on."""
    try:
        lock = os.open(work / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        last = max(one.lstat().st_mtime for one in (work, *work.rglob("*")))
        yield time.time() - last > STALE_SECONDS
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield bool(os.fstat(lock).st_nlink)
    finally:
        os.close(lock)


def _put_back(work: Path, folder: Path) -> None:
    """Both the new and the old one of a folder are in `work` only if the kill came between the two renames."""
    for name in _PLACES:
        old, place = work / f"{name}{OLD}", folder / name
        if _is_folder(old) and _is_folder(work / name) and not place.exists() and not place.is_symlink():
            old.rename(place)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
