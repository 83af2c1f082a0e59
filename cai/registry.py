"""Name -> "module:attribute", imported when asked for: how engines, stages, exports and trainers are found."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from cai.errors import ConfigError, did_you_mean


class Registry(Mapping[str, str]):
    """A table of names. Reading it imports nothing; `load` imports one entry's module.

    Raises `ConfigError` for a name that is not in the table, naming the nearest.
    """

    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self.noun = noun
        self._entries = entries

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> str:
        """`name` itself, if it is in the table."""
        if name not in self._entries:
            near = did_you_mean(name, self._entries)
            raise ConfigError(f"no {self.noun} is named '{name}'{near} ({self.noun}s: {', '.join(self._entries)})")
        return name

    def load(self, name: str) -> Any:
        """The object that `name` stands for."""
        module, attribute = self._entries[self.check(name)].split(":")
        return getattr(importlib.import_module(module), attribute)
