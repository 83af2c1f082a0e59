"""A journal beside the call store: an answer is one appended line, in the kernel's hands before the next is awaited.

Commits to SQLite then come in groups. A process that is killed between two commits leaves its journal; whoever opens
the store next finds it unlocked and takes its answers in. Each process has its own file, locked while it lives.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from cai.records import ChoiceScores, Completion

Line = tuple[bytes, str]
KEY_BYTES = 32


class Journal:
    """Append-only lines of (key, answer); `clear` empties it once they are safe elsewhere. Raises `OSError`."""

    def __init__(self, store: Path) -> None:
        self._size = 0
        while True:
            self.path = store.with_name(f"{store.name}-{os.getpid()}-{os.urandom(4).hex()}.journal")
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if self.path.exists():
                return
            os.close(self._file)

    def add(self, key: bytes, answer: str) -> None:
        """Append one line, whole or not at all; `answer` is JSON and so has no line break."""
        line = f"{key.hex()} {answer}\n".encode()
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(line)

    def clear(self) -> None:
        os.ftruncate(self._file, 0)
        self._size = 0

    def close(self, keep: bool = False) -> None:
        """Remove the file, its lines being safe elsewhere, or `keep` it for whoever opens the store next."""
        if not keep:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def abandoned(store: Path) -> Iterator[tuple[Path, list[Line]]]:
    """Each journal of `store` whose process is dead, with its whole lines; locked until the caller goes on.

    A line that holds no key and answer, such as one cut short by a power cut, is left out.
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
        try:
            found = bytes.fromhex(key.decode()), answer.decode()
            read_answer(found[1])
        except ValueError:
            continue
        if len(found[0]) == KEY_BYTES:
            yield found


def read_answer(text: str) -> Completion | ChoiceScores:
    """The answer that was stored as this JSON; raises `ValueError` for any other text."""
    row = json.loads(text)
    try:
        if "logprobs" in row:
            return ChoiceScores(tuple(row["logprobs"]), row["prompt_tokens"], row.get("told"))
        return Completion(row["text"], row["finish_reason"], row["prompt_tokens"], row["completion_tokens"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an answer: {error!r}") from None
