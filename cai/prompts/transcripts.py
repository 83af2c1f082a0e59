"""Dialogues written as one text: ``"\\n\\nHuman: …\\n\\nAssistant: …"`` (HH), or under ``## Human:`` headings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cai.records import Message, Role

_HH = re.compile(r"(?:\A|\n\n+)(Human|Assistant|\ASystem):")
_HEADED = re.compile(r"(?:\A|\n)## *(Human|Assistant|System):")
READS_SO = '(a "\\n\\nHuman:" mark inside of an answer reads so)'
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant", "System": "system"}


@dataclass(frozen=True, slots=True)
class Transcript:
    """The turns of a transcript; `joined` counts turns that followed one of the same speaker and were joined to it."""

    messages: tuple[Message, ...]
    joined: int = 0


class UnusableRow(Exception):
    """A row of real data that is whole but of no use (an empty turn): left out, counted and named, not an error."""


def is_transcript(text: str) -> bool:
    """Whether a text opens with a speaker's name and has a human turn."""
    marker = _markers(text)
    return marker is not None and "Human" in marker.findall(text.lstrip())


def _markers(text: str) -> re.Pattern[str] | None:
    text = text.lstrip()
    return next((marker for marker in (_HH, _HEADED) if marker.match(text)), None)


def parse_transcript(text: str) -> Transcript:
    """The turns of a text that `is_transcript`, without the whitespace around each.

    An "Assistant:" at the end with nothing after it is no turn. Raises `UnusableRow` for any other turn without text.
    """
    marker = _markers(text)
    if marker is None:
        raise ValueError("not a transcript")
    pieces = marker.split(text.lstrip())[1:]
    turns = [(_ROLES[name], content.strip()) for name, content in zip(pieces[::2], pieces[1::2], strict=True)]
    if turns[-1] == ("assistant", ""):
        turns.pop()
    messages: list[Message] = []
    joined = 0
    if turns[-1:] == [("user", "")] and len(turns) > 1:
        raise UnusableRow(f"a transcript ends with a Human turn that is empty {READS_SO}")
    for role, content in turns:
        if not content:
            raise UnusableRow(f"a transcript with an empty {role} turn")
        if messages and messages[-1].role == role:
            messages[-1] = Message(role, f"{messages[-1].content}\n\n{content}")
            joined += 1
        else:
            messages.append(Message(role, content))
    return Transcript(tuple(messages), joined)
