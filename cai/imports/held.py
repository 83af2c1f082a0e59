"""What an import has read so far: each record once, with what later rows say of it, on the disk once it is much."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cai.errors import RunError
from cai.records import Json, Split

CACHE = 16_000
"""KiB of records that are held in memory."""
_TABLES = """
    PRAGMA journal_mode = OFF;
    CREATE TABLE found (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, opening BLOB NOT NULL, given TEXT, drawn TEXT,
        record TEXT NOT NULL
    );
    CREATE TABLE labels (number INTEGER NOT NULL, label REAL NOT NULL, weight REAL NOT NULL);
    CREATE INDEX labels_of ON labels (number);
    CREATE TABLE held_out (opening BLOB PRIMARY KEY) WITHOUT ROWID;
    BEGIN
"""
_SETTLED = """
    SELECT number, record, coalesce(given, drawn), held_out.opening IS NOT NULL
    FROM found LEFT JOIN held_out USING (opening) ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What was held already under the key of a record that comes again."""

    number: int
    record: Json
    given: Split | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A record at the end: further labels and weights in their order, its side, and whether it had to change sides."""

    record: Json
    labels: Sequence[float]
    weights: Sequence[float]
    side: Split
    moved: bool


class Held:
    """Records by key, in the order in which they came, in a database that goes with the process.

    Its file has no name and lies in the system's temporary folder, or where `SQLITE_TMPDIR` says; up to `CACHE` it is
    not even written. Every method raises `RunError` when that folder is full.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._repeated = False
        with _told():
            self._db.execute(f"PRAGMA cache_size = -{CACHE}")
            self._db.executescript(_TABLES)

    def add(self, key: str, record: Json, opening: str, given: Split | None, drawn: Split | None) -> Known | None:
        """Hold a record with its `opening` turn, the side that was `given` and the one `drawn` where none was.

        Returns what is held already under that key; None where the record is the first.
        """
        digest = hashlib.blake2b(opening.encode(), digest_size=16).digest()
        values = (key, digest, given, drawn, json.dumps(record))
        new = "INSERT OR IGNORE INTO found (key, opening, given, drawn, record) VALUES (?, ?, ?, ?, ?)"
        with _told():
            if self._db.execute(new, values).rowcount:
                return None
            known = self._db.execute("SELECT number, record, given FROM found WHERE key = ?", (key,)).fetchone()
        return Known(known[0], json.loads(known[1]), known[2])

    def add_label(self, known: Known, label: float, weight: float) -> None:
        """One more label of what is held, and its weight."""
        self._repeated = True
        self._run("INSERT INTO labels VALUES (?, ?, ?)", known.number, label, weight)

    def give(self, known: Known, side: Split) -> None:
        """Put what is held on a side."""
        self._run("UPDATE found SET given = ? WHERE number = ?", side, known.number)

    def settled(self) -> Iterator[Settled]:
        """Every record in order; on the test side with every other of its opening turn."""
        with _told():
            sides = "SELECT opening FROM found WHERE coalesce(given, drawn) = 'test'"
            self._db.execute(f"INSERT OR IGNORE INTO held_out {sides}")
            for number, record, side, held_out in self._db.execute(_SETTLED):
                labels, weights = self._labels(number) if self._repeated else ((), ())
                final: Split = "test" if held_out else "train"
                yield Settled(json.loads(record), labels, weights, final, final != side)

    def _labels(self, number: int) -> tuple[Sequence[float], Sequence[float]]:
        rows = "SELECT label, weight FROM labels WHERE number = ? ORDER BY rowid"
        found = self._db.execute(rows, (number,)).fetchall()
        return [label for label, _ in found], [weight for _, weight in found]

    def _run(self, statement: str, *values: Any) -> None:
        with _told():
            self._db.execute(statement, values)

    def close(self) -> None:
        """Forget all."""
        self._db.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise RunError(
            f"the temporary folder cannot hold what is read: {error}; free some space there, or name another with "
            "SQLITE_TMPDIR"
        ) from None
