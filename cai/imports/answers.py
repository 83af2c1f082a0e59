"""Answers that were judged one by one, held until all rows are read: by number, and by the prompt that they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from cai.imports.pairs import Judged
from cai.imports.scratch import Scratch, digest
from cai.prompts.files import Row
from cai.prompts.spec import PromptFile
from cai.prompts.watched import Watch
from cai.records import Message

_AT_HAND = 32
_TABLES = (
    "CREATE TABLE asked (key BLOB PRIMARY KEY, first INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE answers (
        number INTEGER PRIMARY KEY, first INTEGER NOT NULL, bad INTEGER NOT NULL, foreign_cells INTEGER NOT NULL,
        held TEXT NOT NULL
    )""",
    "CREATE INDEX answers_of ON answers (first, bad)",
)


class Answer(NamedTuple):
    """A row, what was said about its file, and the judged answer that it holds."""

    row: Row
    spec: PromptFile
    judged: Judged

    @property
    def pair(self) -> str | None:
        """The id of the pair that the row was made of (`label_from`), None where it was made of none."""
        cells = self.row.value
        if cells.get("label_from") != "pair" or not isinstance(cells.get("id"), str):
            return None
        return str(cells["id"])


class Answers:
    """Judged answers in the order in which they came. Every method raises `RunError` as those of `Scratch` do."""

    def __init__(self, scratch: Scratch, watch: Watch) -> None:
        self._scratch, self._watch = scratch, watch
        self._specs: list[PromptFile] = []
        self._count = 0
        self.numbered = lru_cache(_AT_HAND)(self._numbered)
        scratch.create(_TABLES)

    def add(self, one: Answer) -> None:
        """Hold an answer with the others to its prompt, or with the other of its pair."""
        row, spec, judged = one
        if not self._specs or self._specs[-1] is not spec:
            self._specs.append(spec)
        self._count += 1
        messages = [[turn.role, turn.content] for turn in judged.messages]
        key = digest(json.dumps([messages, one.pair]))
        place = [str(row.path), row.line, row.number, row.part]
        held, foreign = _written([place, len(self._specs) - 1, messages, judged.answer, row.value])
        self._scratch.run("INSERT OR IGNORE INTO asked VALUES (?, ?)", key, self._count)
        values = (self._count, not judged.good, foreign, held, key)
        self._scratch.run("INSERT INTO answers SELECT ?, first, ?, ?, ? FROM asked WHERE key = ?", *values)

    def by_prompt(self) -> Iterator[tuple[list[int], list[int]]]:
        """The numbers of the good and of the bad answers to each prompt, prompts in the order of their first answer."""
        rows = self._scratch.each("SELECT first, bad, number FROM answers ORDER BY first, bad, number")
        for _, group in groupby(rows, key=itemgetter(0)):
            sides: tuple[list[int], list[int]] = ([], [])
            for _, bad, number in group:
                sides[bad].append(number)
            yield sides

    def _numbered(self, number: int) -> Answer:
        """The answer of a number, as it came; `numbered` has the last few at hand."""
        row = self._scratch.run("SELECT bad, foreign_cells, held FROM answers WHERE number = ?", number).fetchone()
        bad, foreign, held = row
        (path, *place), spec, messages, answer, cells = json.loads(held, object_hook=_foreign if foreign else None)
        came = self._watch.again(Row(Path(path), cells, *place))
        turns = tuple(Message(role, content) for role, content in messages)
        return Answer(came, self._specs[spec], Judged(turns, answer, not bad))


@dataclass(frozen=True, slots=True, repr=False)
class _Foreign:
    """A cell that JSON has no form for (a date, bytes), of which no reader takes more than how it is written."""

    text: str
    shown: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.shown


_MARK = "\0foreign"


def _written(value: Any) -> tuple[str, bool]:
    """The value as JSON, and whether it holds cells that are to be read back by `_foreign`."""
    try:
        return json.dumps(value), False
    except TypeError:
        return json.dumps(value, default=lambda one: {_MARK: [str(one), repr(one)]}), True


def _foreign(value: dict[str, Any]) -> Any:
    return _Foreign(*value[_MARK]) if _MARK in value else value
