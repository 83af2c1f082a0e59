"""How a prompt file is named: ``PATH``, or ``PATH?key=value&key=value`` to say what the file itself does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from cai.errors import InputError, did_you_mean, nearest_path
from cai.records import KINDS, SPLITS, Kind, Split

KEYS = {
    "kind": "red_team, helpful or lookalike, for every prompt of the file",
    "split": "train or test, for every prompt of the file",
    "column": "the column that holds the prompt",
    "source": "the name of the source, in place of the file's",
    "tags": "tags for every prompt, with commas between them",
    "format": "jsonl, json, csv, tsv, txt, parquet or dataset, in place of the file's ending",
    "answers": "drop: leave off the assistant turn that a dialogue ends with",
    "turns": "first: of a list of user turns, read only the first",
}
FORMATS = ("jsonl", "json", "csv", "tsv", "txt", "parquet", "dataset")
_ALLOWED: dict[str, tuple[str, ...]] = {
    "kind": KINDS, "split": SPLITS, "format": FORMATS, "answers": ("drop",), "turns": ("first",),
}  # fmt: skip
_ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".txt": "txt",
    ".text": "txt", ".parquet": "parquet",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One file of prompts and what was said about it on the command line or in a recipe."""

    path: Path
    format: str
    kind: Kind | None = None
    split: Split | None = None
    column: str | None = None
    source: str | None = None
    tags: tuple[str, ...] = ()
    drop_answer: bool = False
    first_turn: bool = False

    @property
    def name(self) -> str:
        """What prompts of this file give as their source."""
        return self.source or self.path.name.split(".")[0]


def parse_spec(text: str) -> PromptFile:
    """Read ``PATH`` or ``PATH?key=value&…``; a ``%26`` in a value is a ``&``. The keys are those of `KEYS`.

    Raises `InputError` for a file that is not there, a key or value that is not known, and a format nobody reads.
    """
    path, settings = _split(text)
    if not path.exists():
        raise InputError(f"no such file or folder{nearest_path(path)}", path)
    given = settings.get("format")
    return PromptFile(
        path,
        given or _format(path),
        cast("Kind | None", settings.get("kind")),
        cast("Split | None", settings.get("split")),
        settings.get("column"),
        settings.get("source"),
        tuple(tag.strip() for tag in settings.get("tags", "").split(",") if tag.strip()),
        "answers" in settings,
        "turns" in settings,
    )


def check_source(spec: PromptFile) -> None:
    """Raise `InputError` where the `source` given for a file of pairs says who ranked them, and not what it is named.

    That is a row's own `source`, and another thing than the `source` of its prompt.
    """
    if spec.source and spec.source.lower() in ("ai", "human"):
        raise InputError(
            f"?source={spec.source} would name the data set that the prompts are from, not who ranked the pairs; "
            f"`cai import FILE --source {spec.source.lower()}` says that",
            spec.path,
        )


def _split(text: str) -> tuple[Path, dict[str, str]]:
    if "?" not in text or Path(text).exists():
        return Path(text), {}
    path, _, query = text.rpartition("?")
    settings: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        if key not in KEYS:
            raise InputError(f"unknown key '{key}'{did_you_mean(key, KEYS)} (allowed: {', '.join(KEYS)})", text)
        if not equals:
            raise InputError(f"'{part}' is not key=value", text)
        if key in settings:
            raise InputError(f"'{key}' is given twice", text)
        settings[key] = _check(key, unquote(value), text)
    return Path(path), settings


def _check(key: str, value: str, text: str) -> str:
    allowed = _ALLOWED.get(key)
    if allowed and value not in allowed:
        raise InputError(f"{key}={value}{did_you_mean(value, allowed)} (allowed: {', '.join(allowed)})", text)
    if not value:
        raise InputError(f"'{key}=' has no value", text)
    return value


def _format(path: Path) -> str:
    if path.is_dir():
        return "dataset"
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in _ENDINGS:
        known = ", ".join(_ENDINGS)
        raise InputError(f"no reader for '{ending}' files (known: {known}); say which with ?format=jsonl", path)
    return _ENDINGS[ending]
