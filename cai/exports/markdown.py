"""Text that somebody else wrote, put into Markdown so that it stays text: in a sentence, a code span, a block."""

from __future__ import annotations

import re

from markupsafe import Markup

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_TICKS = re.compile("`+")


def visible(text: str) -> str:
    """Control characters, marks that turn the direction of writing and halves of surrogate pairs as their escapes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n").replace("\u2028", "\n")
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text.replace("\u2029", "\n"))


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(visible(text).split())


def plain(text: str) -> Markup:
    """Text inside a sentence or a table's cell: nothing in it marks anything up."""
    return Markup(_SPECIAL.sub(r"\\\1", one_line(text)))


def code(text: str) -> Markup:
    """A code span for a cell of a table, where a pipe has to be escaped even inside it."""
    line = one_line(text).replace("|", "\\|")
    ticks = "`" * (_longest(line) + 1)
    space = " " if len(ticks) > 1 or not line else ""
    return Markup(f"{ticks}{space}{line}{space}{ticks}")


def block(text: str, language: str = "") -> Markup:
    """A fenced block, whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, _longest(text) + 1)
    return Markup(f"{fence}{language}\n{visible(text).rstrip()}\n{fence}")


def _longest(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
