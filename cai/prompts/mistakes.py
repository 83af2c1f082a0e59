"""The mistakes in a file that is read to its end, told together: each once, with the rows that have it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cai.errors import InputError, raise_all
from cai.prompts.files import Row, read_rows
from cai.prompts.spec import PromptFile

MOST = 20
"""So many different mistakes of a file are told; the others are counted."""
_PLACES = 5
_ROW = re.compile(r"row (\d+): ")
_FIGURE = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
_NUMBER = re.compile(rf"(?<![\w'\"]){_FIGURE}(?![\w'\"])|(?<= is )'{_FIGURE}'")
"""A number as a value, as a text too, as in a CSV, and not one in a name."""


@dataclass(slots=True)
class _Mistake:
    error: InputError
    again: list[int] = field(default_factory=list)
    more: int = 0

    def told(self) -> InputError:
        """The error at its first place, which says where else the file has it."""
        if not self.again:
            return self.error
        noun = "line" if self.error.line is not None else "row"
        also = ", ".join(map(str, self.again)) + (f" and {self.more:,} more" if self.more else "")
        text = f"{self.error.message} (also in {noun}{'s' * (len(self.again) > 1)} {also})"
        return InputError(text, self.error.path, self.error.line, self.error.column)


class Mistakes:
    """The mistakes in the rows of one file, in their order; those that differ in numbers are one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, _Mistake] = {}
        self._beyond = 0

    def add(self, error: InputError) -> None:
        """Keep an error that does not keep the rest of the file from being read."""
        row = _ROW.match(error.message)
        what, place = (error.message[row.end() :], int(row[1])) if row else (error.message, error.line)
        what = _NUMBER.sub("#", what)
        known = self._found.get(what)
        if known is None and len(self._found) < MOST:
            self._found[what] = _Mistake(error)
        elif known is None:
            self._beyond += 1
        elif len(known.again) < _PLACES and place is not None:
            known.again.append(place)
        else:
            known.more += 1

    def rows(self, spec: PromptFile) -> Iterator[Row]:
        """The rows of the file that can be read; those that cannot are mistakes.

        Raises as `check` does at one after which the rest of the file cannot be read.
        """
        try:
            yield from read_rows(spec, self.add)
        except InputError as error:
            raise_all([*self._told(), error])

    def check(self) -> None:
        """Raise `InputError` for the one mistake that was found, `SeveralErrors` for several."""
        raise_all(self._told())

    def _told(self) -> list[InputError]:
        told = [one.told() for one in self._found.values()]
        if self._beyond:
            noun = "mistake" if self._beyond == 1 else "mistakes"
            told.append(InputError(f"and {self._beyond:,} more {noun}", self._path))
        return told
