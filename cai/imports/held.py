"""What an import has read so far: each record once, with what later rows say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.imports.scratch import Scratch, digest
from cai.records import Json, Split

_TABLES = (
    """CREATE TABLE found (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, opening BLOB NOT NULL, given TEXT, drawn TEXT,
        record TEXT NOT NULL
    )""",
    "CREATE TABLE labels (number INTEGER NOT NULL, label REAL NOT NULL, weight REAL NOT NULL)",
    "CREATE INDEX labels_of ON labels (number)",
    "CREATE TABLE held_out (opening BLOB PRIMARY KEY) WITHOUT ROWID",
)
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
    """Records by key, in the order in which they came. Every method raises `RunError` as those of `Scratch` do."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._repeated = False
        scratch.create(_TABLES)

    def add(self, key: str, record: Json, opening: str, given: Split | None, drawn: Split | None) -> Known | None:
        """Hold a record with its `opening` turn, the side that was `given` and the one `drawn` where none was.

        Returns what is held already under that key; None where the record is the first.
        """
        values = (key, digest(opening), given, drawn, json.dumps(record))
        new = "INSERT OR IGNORE INTO found (key, opening, given, drawn, record) VALUES (?, ?, ?, ?, ?)"
        if self._scratch.run(new, *values).rowcount:
            return None
        known = self._scratch.run("SELECT number, record, given FROM found WHERE key = ?", key).fetchone()
        return Known(known[0], json.loads(known[1]), known[2])

    def add_label(self, known: Known, label: float, weight: float) -> None:
        """One more label of what is held, and its weight."""
        self._repeated = True
        self._scratch.run("INSERT INTO labels VALUES (?, ?, ?)", known.number, label, weight)

    def give(self, known: Known, side: Split) -> None:
        """Put what is held on a side."""
        self._scratch.run("UPDATE found SET given = ? WHERE number = ?", side, known.number)

    def settled(self) -> Iterator[Settled]:
        """Every record in order; on the test side with every other of its opening turn."""
        sides = "SELECT opening FROM found WHERE coalesce(given, drawn) = 'test'"
        self._scratch.run(f"INSERT OR IGNORE INTO held_out {sides}")
        for number, record, side, held_out in self._scratch.each(_SETTLED):
            labels, weights = self._labels(number) if self._repeated else ((), ())
            final: Split = "test" if held_out else "train"
            yield Settled(json.loads(record), labels, weights, final, final != side)

    def _labels(self, number: int) -> tuple[Sequence[float], Sequence[float]]:
        rows = "SELECT label, weight FROM labels WHERE number = ? ORDER BY rowid"
        found = [*self._scratch.each(rows, number)]
        return [label for label, _ in found], [weight for _, weight in found]
