"""A journal beside the call store: an answer is one appended line, in the kernel's hands before the next is awaited.

Commits to SQLite then come in groups. A process that is killed between two commits leaves its journal; whoever opens
the store next finds it unlocked and takes its answers in. Each process has its own file, locked while it lives.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

Line = tuple[bytes, str]


class Journal:
    """Append-only lines of (key, answer); `clear` empties it once they are safe elsewhere. Raises `OSError`."""

    def __init__(self, store: Path) -> None:
        while True:
            self.path = store.with_name(f"{store.name}-{os.getpid()}-{os.urandom(4).hex()}.journal")
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if self.path.exists():
                return
            os.close(self._file)

    def add(self, key: bytes, answer: str) -> None:
        """Append one line; `answer` is JSON and so has no line break."""
        os.write(self._file, f"{key.hex()} {answer}\n".encode())

    def clear(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Remove the file; its lines must be safe elsewhere."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


def abandoned(store: Path) -> Iterator[tuple[Path, list[Line]]]:
    """Each journal of `store` whose process is dead, with its whole lines; locked until the caller goes on.

    A line that was cut short by a full disk or a power cut is left out.
    """
    for path in sorted(store.parent.glob(f"{store.name}-*.journal")):
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, list(_lines(path.read_bytes()))
        except (BlockingIOError, FileNotFoundError):
            continue
        finally:
            os.close(file)


def _lines(data: bytes) -> Iterator[Line]:
    for line in data.split(b"\n")[:-1]:
        key, _, answer = line.partition(b" ")
        if len(key) == 64 and answer.endswith(b"}"):
            yield bytes.fromhex(key.decode()), answer.decode()
