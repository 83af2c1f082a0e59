"""JSON of any length, read value by value: what has been read is let go, and an error names its line and column."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cai.errors import InputError, json_limit

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 16
"""Bytes that are read at once, or as many as there are characters of a value that goes on."""
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_OF_NUMBERS = tuple("0123456789.eE+-")
_OVER_A_NUMBER = len("e+1")
_LONGEST_WORD = 32


class JsonText:
    """The text of a file from where it is read on. Methods raise `InputError` for what is no UTF-8 or no JSON."""

    def __init__(self, handle: IO[bytes], path: Path) -> None:
        self.line = 1
        self._handle, self._path = handle, path
        self._text, self._at = "", 0
        self._line_start = 0
        self._bytes = b""
        self._ended = False
        self._first = True

    def next(self) -> str:
        """The next character that is no space; the empty string at the end of the file."""
        while True:
            self._go(_space(self._text, self._at))
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def step(self) -> None:
        """Go over one character."""
        self._go(self._at + 1)

    def value(self) -> Any:
        """The value that starts here."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not _may_go_on(error) or not self._more():
                    raise self.error(error.msg, error.pos) from None
            except (RecursionError, ValueError) as error:
                if self._text[-1:] in _OF_NUMBERS and self._more():
                    continue
                raise InputError(f"JSON that cannot be read: {json_limit(error)}", self._path, self.line) from None
            else:
                if end + _OVER_A_NUMBER < len(self._text) or not self._more():
                    self._go(end)
                    return value

    def items(self, strict: bool = True) -> Iterator[tuple[int, Any]]:
        """Line and value of each item of the array that starts here; a comma may end it where it is not `strict`."""
        self.step()
        comma = False
        while self.next() != "]" or (comma and strict):
            yield self.line, self.value()
            comma = self.next() == ","
            if comma:
                self.step()
            elif self.next() != "]":
                raise self.error("Expecting ',' or ']'")
        self.step()

    def names(self) -> Iterator[str]:
        """The names in the object that starts here; whoever asks for the next must have read the value."""
        self.step()
        comma = False
        while self.next() != "}" or comma:
            key = self.value()
            if not isinstance(key, str) or self.next() != ":":
                raise self.error("Expecting a text and ':'")
            self.step()
            self.next()
            yield key
            comma = self.next() == ","
            if comma:
                self.step()
            elif self.next() != "}":
                raise self.error("Expecting ',' or '}'")
        self.step()

    def error(self, message: str, position: int | None = None) -> InputError:
        """What is wrong, with the place: here, or at a position of the text that is held."""
        position = self._at if position is None else position
        return bad_json(json.JSONDecodeError(message, self._text, position), self._path, *self._place(position))

    def _place(self, position: int) -> tuple[int, int]:
        """Line and column."""
        start = self._text.rfind("\n", self._at, position) + 1 or self._line_start
        return self.line + self._text.count("\n", self._at, position), position - start + 1

    def _go(self, to: int) -> None:
        passed = self._text.count("\n", self._at, to)
        if passed:
            self.line += passed
            self._line_start = self._text.rindex("\n", self._at, to) + 1
        self._at = to

    def _more(self) -> bool:
        """Read on, and let go of what lies before; False at the end of the file."""
        if self._ended:
            return False
        read = self._handle.read(max(CHUNK, len(self._text) - self._at))
        self._ended = not read
        raw = self._bytes + (read.removeprefix(BOM) if self._first else read)
        self._first = False
        try:
            text, used = codecs.utf_8_decode(raw, "strict", self._ended)
        except UnicodeDecodeError as error:
            raise bad_utf8(error, self._path, *self._place(len(self._text))) from None
        self._bytes = raw[used:]
        self._text = self._text[self._at :] + text
        self._line_start -= self._at
        self._at = 0
        return True


def _space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _may_go_on(error: json.JSONDecodeError) -> bool:
    """Whether more text may mend the error: a text that is not closed, or one at the end of what is held."""
    return error.msg.startswith("Unterminated string") or error.pos > len(error.doc.rstrip()) - _LONGEST_WORD


def bad_json(error: json.JSONDecodeError, path: Path, line: int, column: int) -> InputError:
    """A text that is no JSON at that line and column, or that was cut off."""
    cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    what = "JSON that ends half-way (was the file cut off?)" if cut else "not JSON"
    return InputError(f"{what}: {error.msg}", path, line, column)


def bad_utf8(error: UnicodeDecodeError, path: Path, line: int, column: int = 1) -> InputError:
    """Bytes that are no UTF-8; `line` and `column` are those of the first of the bytes that were to be read."""
    raw = bytes(error.object)
    before = raw[: error.start].decode("utf-8")
    column = len(before) - before.rfind("\n") if "\n" in before else column + len(before)
    hint = "; it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    found = f"invalid UTF-8: byte 0x{raw[error.start]:02x}{hint}; save the file as UTF-8"
    return InputError(found, path, line + before.count("\n"), column)
