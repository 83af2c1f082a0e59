"""How far a step has come, for `cai status` after a kill: a small file beside the manifest, gone when the step ends."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from cai.storage.temporary import replacing, sweep

FILE = ".progress.json"
SECONDS = 0.25


class Listener(Protocol):
    """Whatever else wants to hear of progress."""

    def __call__(self, done: int, total: int, /) -> None: ...


class Kept:
    """A progress listener that writes the count down four times a second, and once more when the step is cut off.

    So after a kill it is a quarter of a second behind at most, never ahead: an answer is counted when it is kept.
    """

    def __init__(self, folder: Path, step: str, settings: Any, listener: Listener) -> None:
        self._file = folder / FILE
        self._step, self._settings, self._listener = step, settings, listener
        self._counts = (0, 0)
        self._written = 0.0

    def __enter__(self) -> Kept:
        self._file.unlink(missing_ok=True)
        sweep(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._counts[1]:
            self._write()
        elif kind is None:
            self._file.unlink(missing_ok=True)

    def __call__(self, done: int, total: int) -> None:
        self._counts = (done, total)
        now = time.monotonic()
        if now - self._written > SECONDS:
            self._written = now
            self._write()
        self._listener(done, total)

    def _write(self) -> None:
        kept, expected = self._counts
        row = {"step": self._step, "settings": self._settings, "kept": kept, "expected": expected}
        with suppress(OSError), replacing(self._file) as handle:
            json.dump(row, handle)


def kept_answers(folder: Path, step: str, settings: Any) -> tuple[int, int] | None:
    """(answers kept, answers expected, about) of a step that was begun with these settings and did not end."""
    try:
        row = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if row["step"] == step and row["settings"] == settings:
            return int(row["kept"]), int(row["expected"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
