"""The guarded YAML reader: limits on size, and file, line and column (from 1) in every error.

Plain scalars are read by YAML 1.2's core schema: `no`, `on` and `2024-05-01` are texts, `1e-5` is a number. Anchors,
aliases, merge keys, tags, duplicate keys and a second document are refused, the first of them found or, where a caller
asks for all, one beside the other. Nothing is imported until a file is read.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from cai.errors import InputError, nearest_path

Where = tuple[str | int, ...]
Position = tuple[int, int]

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

UNREAD = float("nan")
"""What stands in a `Document` for a value that was refused."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most: bytes of the file, levels of nesting, and nodes (keys, values, lists and mappings)."""

    bytes: int = 256 * 1024
    depth: int = 20
    nodes: int = 5000


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its value in plain dicts and lists, and where each part of it stands.

    `refused` is what cannot be read of it, always empty unless that was asked for; `UNREAD` stands for such values.
    """

    path: Path
    value: dict[str, Any]
    sha256: str
    positions: dict[Where, Position] = field(repr=False)
    key_positions: dict[Where, Position] = field(repr=False)
    refused: tuple[InputError, ...] = ()

    def where(self, part: Sequence[str | int]) -> Position:
        """Line and column of the value at `part`; of the nearest mapping or list around it, if it is not there."""
        return _nearest(self.positions, tuple(part))

    def where_key(self, part: Sequence[str | int]) -> Position:
        """Line and column of the key that leads to `part`, else of the value."""
        return self.key_positions.get(tuple(part)) or self.where(part)

    def error(self, part: Sequence[str | int], message: str) -> InputError:
        """An error about the value at `part`."""
        return InputError(message, self.path, *self.where(part))


def _nearest(positions: dict[Where, Position], part: Where) -> Position:
    while part not in positions:
        part = part[:-1]
    return positions[part]


def read_yaml(path: str | Path, *, limit: Limits | None = None, all_refused: bool = False) -> Document:
    """The mapping in the YAML file at `path`. Raises `InputError` for the first thing that is wrong with it.

    With `all_refused`, values and keys that are refused are told in `Document.refused`, and the rest is read.
    """
    limit, path = limit or Limits(), Path(path)
    return parse_yaml(read_limited(path, limit.bytes), path, limit=limit, all_refused=all_refused)


def read_limited(path: Path, most: int) -> bytes:
    """The bytes of a file of at most `most` bytes. Raises `InputError`."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"there is no such file{nearest_path(path)}", path) from None
    except IsADirectoryError:
        raise InputError("this is a folder; a file is expected", path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot be read: {reason}", path) from None
    if len(data) > most:
        raise InputError(f"the file is larger than {most:,} bytes, the most that is read", path)
    return data


def decode(data: bytes, path: Path) -> str:
    """UTF-8 text without a byte order mark. Raises `InputError` with the line and column of the first bad byte."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        hint = " (the file looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        byte = f"0x{data[error.start]:02x}"
        raise InputError(f"invalid UTF-8: byte {byte}; save it as UTF-8{hint}", path, *_end_of(before)) from None


def _end_of(text: str) -> Position:
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1


def parse_yaml(data: bytes, path: str | Path, *, limit: Limits | None = None, all_refused: bool = False) -> Document:
    """As `read_yaml`, from bytes that are at hand; `path` is only for the messages."""
    import yaml

    limit, path = limit or Limits(), Path(path)
    if len(data) > limit.bytes:
        raise InputError(f"the file is larger than {limit.bytes:,} bytes, the most that is read", path)
    text = decode(data, path)
    if bad := _UNPRINTABLE.search(text):
        line, column = _end_of(text[: bad.start()])
        raise InputError(f"the control character U+{ord(bad.group()):04X} cannot stand in YAML", path, line, column)
    builder = _Builder(yaml, path, limit, all_refused)
    try:
        value = builder.document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, path, text) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"this is not YAML: {' '.join(str(error).split())}", path, 1, 1) from None
    digest, refused = hashlib.sha256(data).hexdigest(), tuple(builder.refused)
    return Document(path, value, digest, builder.positions, builder.key_positions, refused)


def _syntax_error(error: Any, path: Path, text: str) -> InputError:
    mark = error.problem_mark or error.context_mark
    if "quoted scalar" in (error.context or "") and "end of stream" in error.problem:
        line, column = error.context_mark.line + 1, error.context_mark.column + 1
        return InputError("the quotation mark that opens here is never closed", path, line, column)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line > (last := len(_BREAK.findall(text)) + 1):
        line, column = last, len(_BREAK.split(text)[-1]) + 1
    problem = " ".join(part for part in (error.context, error.problem) if part)
    return InputError(f"this is not YAML: {problem}{_hint(problem)}", path, line, column)


def _hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "; a text with ': ' in it needs quotes, or a block that begins with '>-'"
    if "cannot start any token" in problem:
        return "; indent with spaces, not tabs, and put a text that begins with a special character in quotes"
    if "did not find expected" in problem or "could not find expected" in problem:
        return "; look at the quotes, brackets and indentation here and on the line before"
    return ""


def resolve(text: str) -> Any:
    """What the plain scalar `text` stands for: None, a bool, an int, a float, or the text itself.

    Raises `ValueError` for infinity, not-a-number and an integer of more than 30 digits.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NOT_FINITE.match(text):
        raise ValueError("infinity and not-a-number are not read")
    if len(text) > 30 and (_INTEGER.match(text) or _OTHER_BASE.match(text)):
        raise ValueError("this number is too long")
    if _INTEGER.match(text):
        return int(text)
    if _OTHER_BASE.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        if not math.isfinite(number := float(text)):
            raise ValueError("this number is too large")
        return number
    return text


class _Builder:
    """Turns parser events into plain values, noting where each stands and counting against the limits."""

    def __init__(self, yaml: ModuleType, path: Path, limit: Limits, all_refused: bool) -> None:
        self.yaml, self.path, self.limit, self.nodes = yaml, path, limit, 0
        self.all_refused, self.refused = all_refused, list[InputError]()
        self.positions: dict[Where, Position] = {}
        self.key_positions: dict[Where, Position] = {}

    def refuse(self, event: Any, message: str) -> InputError:
        return InputError(message, self.path, *_position(event))

    def note(self, event: Any, message: str) -> None:
        """Of what can be read past."""
        error = self.refuse(event, message)
        if not self.all_refused:
            raise error from None
        self.refused.append(error)

    def document(self, events: Iterator[Any]) -> dict[str, Any]:
        next(events)
        if isinstance(next(events), self.yaml.StreamEndEvent):
            raise InputError("the file is empty; a mapping ('key: value') is expected", self.path, 1, 1)
        first = next(events)
        value = self.node(first, events, (), 1)
        if not isinstance(value, dict):
            found = "a list" if isinstance(value, list) else "one value alone"
            raise self.refuse(first, f"a mapping ('key: value') is expected at the top of the file, not {found}")
        next(events)
        if not isinstance(after := next(events), self.yaml.StreamEndEvent):
            raise self.refuse(after, "a second document begins here; one file holds one document")
        return value

    def node(self, event: Any, events: Iterator[Any], part: Where, depth: int) -> Any:
        self.count(event)
        self.positions[part] = _position(event)
        if isinstance(event, self.yaml.AliasEvent):
            return UNREAD
        if isinstance(event, self.yaml.ScalarEvent):
            return self.scalar(event)
        if depth > self.limit.depth:
            raise self.refuse(event, f"nested deeper than {self.limit.depth} levels")
        if isinstance(event, self.yaml.SequenceStartEvent):
            return self.sequence(events, part, depth)
        return self.mapping(events, part, depth)

    def count(self, event: Any) -> None:
        self.nodes += 1
        if self.nodes > self.limit.nodes:
            raise self.refuse(event, f"the file has more than {self.limit.nodes:,} values")
        if isinstance(event, self.yaml.AliasEvent):
            self.note(event, f"aliases ('*{event.anchor}') are not read; write the value out")
            return
        if event.anchor is not None:
            self.note(event, f"anchors ('&{event.anchor}') are not read; write the value out")
        if event.tag is not None:
            self.note(event, f"tags ('{event.tag}') are not read; a text goes in quotes")

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if bad := re.search("[\0\ud800-\udfff]", text):
            self.note(event, f"the character U+{ord(bad.group()):04X} cannot stand in a text")
            return UNREAD
        if event.tag is not None:
            return UNREAD
        if event.style:
            return text
        try:
            return resolve(text)
        except ValueError as error:
            self.note(event, f"{text[:40]}: {error}; put it in quotes if it is a text")
            return UNREAD

    def sequence(self, events: Iterator[Any], part: Where, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), self.yaml.SequenceEndEvent):
            items.append(self.node(event, events, (*part, len(items)), depth + 1))
        return items

    def mapping(self, events: Iterator[Any], part: Where, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(events), self.yaml.MappingEndEvent):
            key = self.key(event)
            if key in items:
                line, _ = self.key_positions[*part, key]
                self.note(event, f"the key '{key}' is here a second time; it is already on line {line}")
                self.pass_over(events, (*part, key), depth + 1)
                continue
            self.key_positions[*part, key] = _position(event)
            items[key] = self.node(next(events), events, (*part, key), depth + 1)
        return items

    def pass_over(self, events: Iterator[Any], part: Where, depth: int) -> None:
        """Read a value that is not kept, whose place in the document another has."""
        kept = self.positions, self.key_positions
        self.positions, self.key_positions = {}, {}
        self.node(next(events), events, part, depth)
        self.positions, self.key_positions = kept

    def key(self, event: Any) -> str:
        self.count(event)
        if not isinstance(event, self.yaml.ScalarEvent):
            raise self.refuse(event, "a key must be a plain text, not a list or a mapping")
        if event.value == "<<" and not event.style:
            self.note(event, "merge keys ('<<') are not read; write the values out")
        else:
            self.scalar(event)
        return str(event.value)


def _position(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1
