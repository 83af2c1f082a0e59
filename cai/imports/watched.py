"""Which columns of a file an import took something from, and so which ones it left where they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cai.prompts.files import Row


class WatchedCells(dict[str, Any]):
    """The cells of a row; a column whose cell is asked for is added to `taken`. `dict.get(cells, name)` only looks."""

    __slots__ = ("taken",)

    def __init__(self, cells: Mapping[str, Any], taken: set[str]) -> None:
        super().__init__(cells)
        self.taken = taken

    def __getitem__(self, name: str) -> Any:
        self.taken.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.taken.add(name)
        return super().get(name, default)


@dataclass(slots=True)
class Watch:
    """The columns that any row was read by, and in how many rows each column held something."""

    taken: set[str] = field(default_factory=set)
    held: Counter[str] = field(default_factory=Counter)

    def row(self, row: Row) -> Row:
        """The row, whose value must be an object, with its cells watched."""
        self.held.update(name for name, one in row.value.items() if one is not None)
        return replace(row, value=WatchedCells(row.value, self.taken))

    @property
    def unread(self) -> Counter[str]:
        """The columns that held something and were never read, with the number of rows, in the file's order."""
        return Counter({name: rows for name, rows in self.held.items() if name not in self.taken})
