"""What a user can cause and mend: one line each, printed without a traceback, exit status 2."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


class CAIError(Exception):
    """Base of every error whose message is meant for the user."""

    exit_code = 2


class InputError(CAIError):
    """A file that a user gave is wrong; says where (``path:line:column``), what was found, what is allowed."""

    def __init__(
        self, message: str, path: str | Path | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        message = " ".join(message.splitlines())
        self.message, self.path, self.line, self.column = message, path, line, column
        where = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)


class ConfigError(CAIError):
    """A recipe key, an option or a combination of options that cannot be run."""


class SeveralErrors(ConfigError):
    """Several mistakes that were found at once; its text has a line for each."""

    def __init__(self, errors: Sequence[CAIError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))


def raise_all(errors: Sequence[CAIError]) -> None:
    """Raise the errors, if there are any: one as it is, several as one; those that are several themselves are spread.

    The same text is told once.
    """
    spread = [one for some in errors for one in (some.errors if isinstance(some, SeveralErrors) else (some,))]
    told = list({str(one): one for one in spread}.values())
    if told:
        raise told[0] if len(told) == 1 else SeveralErrors(told)


def each(read: Callable[[_Item], _Read], items: Iterable[_Item]) -> list[_Read]:
    """What `read` makes of each of `items`; the mistakes in all of them are raised together (`raise_all`)."""
    found: list[_Read] = []
    wrong: list[CAIError] = []
    for item in items:
        try:
            found.append(read(item))
        except (InputError, SeveralErrors) as error:
            wrong.append(error)
    raise_all(wrong)
    return found


def json_limit(error: ValueError | RecursionError) -> str:
    """Which limit of the reader a JSON text passed: what `json.loads` raised, in own words."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    return f"a number of more than {sys.get_int_max_str_digits():,} digits"


class EngineError(CAIError):
    """An engine cannot be loaded, or stopped answering; what it has answered is kept."""


class StoreError(CAIError):
    """The call store cannot be read or written."""


class RunError(CAIError):
    """A run folder is locked, was made by another version, or its files are not what its manifest says."""


class TrainingError(CAIError):
    """Training cannot start, or a model that was trained fails the checks made before it is saved."""


class AuditError(CAIError):
    """The judge failed a gate of its audit: nothing is trained on its labels."""

    exit_code = 1


class BudgetError(CAIError):
    """The next call could pass the budget of the command; what was answered is kept."""


class ParseError(Exception):
    """An answer that a stage cannot use: the record is written to the rejects with this reason. Not a crash."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'critique'?"`` for the nearest allowed name, or the empty string."""
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def nearest_path(path: Path) -> str:
    """`did_you_mean` for a path where nothing is, of what lies beside it."""
    try:
        beside = [one.name for one in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    stems = {name: difflib.SequenceMatcher(None, path.stem, Path(name).stem).ratio() for name in beside}
    like = [name for name, ratio in stems.items() if ratio >= 0.6]
    near = difflib.get_close_matches(path.name, like, n=1, cutoff=0.5)
    return f"; did you mean '{path.with_name(near[0])}'?" if near else ""
