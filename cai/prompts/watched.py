"""Which columns of a file something was taken from, and so which ones it left, also inside of messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cai.prompts.files import Row


class WatchedCells(dict[str, Any]):
    """The cells of a row; a column whose cell is asked for is added to `taken`. `dict.get(cells, name)` only looks.

    `left` counts the rows in which messages held more than was taken of them, by its name.
    """

    __slots__ = ("_told", "left", "taken")

    def __init__(self, cells: Mapping[str, Any], taken: set[str], left: Counter[str]) -> None:
        super().__init__(cells)
        self.taken, self.left = taken, left
        self._told: frozenset[str] = frozenset()

    def leave(self, names: Iterable[str]) -> None:
        """Count what the messages of this row hold beside what is taken of them, however often they are read."""
        if new := {*names} - self._told:
            self.left.update(sorted(new))
            self._told |= new

    def __getitem__(self, name: str) -> Any:
        self.taken.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.taken.add(name)
        return super().get(name, default)


@dataclass(slots=True)
class Watch:
    """The columns that any row was read by, and in how many rows each column, or more in its messages, was held."""

    taken: set[str] = field(default_factory=set)
    held: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def row(self, row: Row) -> Row:
        """The row, whose value must be an object, with its cells watched."""
        self.held.update(name for name, one in row.value.items() if one is not None)
        return self.again(row)

    def again(self, row: Row) -> Row:
        """As `row`, for one whose columns were counted when it came first."""
        return replace(row, value=WatchedCells(row.value, self.taken, self.left))

    @property
    def unread(self) -> Counter[str]:
        """The columns that held something and were never read, with the number of rows, in the file's order.

        After them what messages held beside their texts, as ``messages[].weight``, and answers that ended prompts.
        """
        return Counter({name: rows for name, rows in self.held.items() if name not in self.taken}) + self.left
