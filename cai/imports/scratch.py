"""The database in which an import waits for the rest of its rows; on the disk once it is much."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cai.errors import RunError

CACHE = 16_000
"""KiB that are held in memory."""


class Scratch:
    """Tables that go with the process.

    Their file has no name and lies in the system's temporary folder, or where `SQLITE_TMPDIR` says; up to `CACHE` it is
    not even written. Every method raises `RunError` when that folder is full.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for setting in (f"PRAGMA cache_size = -{CACHE}", "PRAGMA journal_mode = OFF", "BEGIN"):
            self.run(setting)

    def create(self, statements: Sequence[str]) -> None:
        """Make tables and their indices."""
        for statement in statements:
            self.run(statement)

    def run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """What a statement gives; the rows of one that gives many are for `each`."""
        with _told():
            return self._db.execute(statement, values)

    def each(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement, one at a time, also while other tables are written."""
        with _told():
            yield from self._db.execute(statement, values)

    def close(self) -> None:
        """Forget all."""
        self._db.close()


def digest(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise RunError(
            f"the temporary folder cannot hold what is read: {error}; free some space there, or name another with "
            "SQLITE_TMPDIR"
        ) from None
