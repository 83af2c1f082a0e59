"""The cells of a row, read exactly as they are written: nothing is stripped, joined or guessed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai.prompts.files import Row
from cai.prompts.shapes import ALWAYS_LISTS, UnusableRow, keys_beside, kind_of, read_messages
from cai.prompts.watched import WatchedCells
from cai.records import Message, Messages, assistant, user

Cells = dict[str, Any]
OR_TEXT = "a text or "


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file calls the parts of a message; the empty table of roles stands for the usual names."""

    role: str = "role"
    content: str = "content"
    roles: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that hold a row's parts; None where a format has no such column.

    `system` becomes the first turn where it is not empty.
    `query` is joined to the prompt's text (Alpaca's input), `history` are earlier turns as pairs of texts.
    """

    prompt: str | None = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"
    completion: str | None = None
    label: str = "label"
    system: str | None = "system"
    query: str | None = None
    history: str | None = None
    tags: Tags | None = None


def cell(cells: Cells, name: str) -> Any:
    """What stands in a column; raises `UnusableRow` where the column is missing or holds nothing."""
    if cells.get(name) is None:
        raise UnusableRow(f"no column '{name}'" if name not in cells else f"'{name}' holds nothing")
    return cells[name]


def text(cells: Cells, name: str) -> str:
    """The text of a column, to the letter."""
    value = cell(cells, name)
    if not isinstance(value, str):
        raise UnusableRow(f"'{name}' holds {kind_of(value)}, expected a text")
    return value


def number(value: Any) -> float | None:
    """A number, also one written as text, as a CSV has it; None for what is none or is larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def truth(value: Any) -> bool | None:
    """Whether a label calls its answer good: true or 1, false or 0, also as text; None for anything else."""
    return _TRUTHS.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None


def optional_text(cells: Cells, name: str | None) -> str:
    """The text of a column that may be missing, hold nothing or be empty."""
    return "" if name is None or cells.get(name) is None else text(cells, name)


def turns(row: Row, value: Any, name: str, tags: Tags | None = None, or_text: str = "") -> Messages:
    """Messages in a cell: one or a list, as chat APIs, ShareGPT or `tags` name their parts.

    Raises `UnusableRow` for anything else; `or_text` names what else its column may hold, which the caller has read.
    """
    if tags is not None:
        value = [_translated(one, tags) for one in (value if isinstance(value, list) else [value])]
    if not isinstance(value, list | dict):
        more = "" if isinstance(value, str) else or_text
        raise UnusableRow(f"'{name}' holds {kind_of(value)}, expected {more}a list of messages")
    messages = read_messages(row, value, name)
    if isinstance(row.value, WatchedCells):
        row.value.leave(f"{name}[].{key}" for key in keys_beside(value))
    return messages


def _translated(turn: Any, tags: Tags) -> Any:
    if not isinstance(turn, dict):
        return turn
    role = turn.get(tags.role)
    known = tags.roles or {}
    rest = {key: value for key, value in turn.items() if key not in (tags.role, tags.content)}
    return {**rest, "role": known.get(role, role) if isinstance(role, str) else role, "content": turn.get(tags.content)}


def prompt_turns(row: Row, cells: Cells, columns: Columns) -> Messages:
    """The prompt's turns from its own columns: a list of messages, or a text that is the user's whole turn.

    Raises `UnusableRow` for a text where only a list can be meant (`ALWAYS_LISTS`, ShareGPT).
    """
    if columns.prompt is None:
        raise UnusableRow("the format has no column for the prompt")
    value = cell(cells, columns.prompt)
    if isinstance(value, str) and columns.tags is None and columns.prompt not in ALWAYS_LISTS:
        query = optional_text(cells, columns.query)
        messages: Messages = (*_history(cells, columns), user(f"{value}\n{query}" if query else value))
    else:
        plain = columns.tags is None and columns.prompt not in ALWAYS_LISTS
        messages = turns(row, value, columns.prompt, columns.tags, OR_TEXT * plain)
    return with_system(messages, cells, columns)


def with_system(messages: Messages, cells: Cells, columns: Columns) -> Messages:
    """The turns after what the system column says, unless it says nothing or they have a system turn of their own."""
    system = optional_text(cells, columns.system)
    if system and (not messages or messages[0].role != "system"):
        return (Message("system", system), *messages)
    return messages


def _history(cells: Cells, columns: Columns) -> Messages:
    earlier = cells.get(columns.history) if columns.history else None
    if not earlier:
        return ()
    pairs = earlier if isinstance(earlier, list) else [earlier]
    if not all(
        isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(t, str) for t in one) for one in pairs
    ):
        raise UnusableRow(f"'{columns.history}' is not a list of pairs of texts")
    return tuple(turn for asked, answered in pairs for turn in (user(asked), assistant(answered)))


def answer(row: Row, cells: Cells, name: str, prompt: Messages, tags: Tags | None = None) -> str:
    """One answer beside its prompt: a text, one assistant message, or the whole dialogue again."""
    value = cell(cells, name)
    if isinstance(value, str):
        return value
    messages = turns(row, value, name, tags, OR_TEXT)
    if len(messages) > 1 and messages[:-1] in (prompt, without_system(prompt)):
        messages = messages[-1:]
    if len(messages) != 1 or messages[0].role != "assistant":
        raise UnusableRow(f"'{name}' is not one assistant message after the prompt")
    return messages[0].content


def without_system(prompt: Messages) -> Messages:
    """The turns after a system turn, which a row may hold in a column of its own."""
    return prompt[1:] if prompt and prompt[0].role == "system" else prompt


def check_prompt(messages: Sequence[Message]) -> None:
    """Refuse a prompt that no stage could ask: turns of no text, a late system turn, a last turn not the user's."""
    if not messages:
        raise UnusableRow("the prompt has no turns")
    if messages[-1].role != "user":
        raise UnusableRow(f"the prompt ends with the role {messages[-1].role}, expected user")
    if any(one.role == "system" for one in messages[1:]):
        raise UnusableRow("a system turn that is not the first")
    if not all(one.content.strip() for one in messages):
        raise UnusableRow("a turn of the prompt is empty")
    for one in messages:
        check_text(one.content)


def check_text(written: str) -> None:
    """Refuse a text that no engine could be given."""
    if "\0" in written:
        raise UnusableRow("a text contains a NUL character (U+0000)")
    try:
        written.encode()
    except UnicodeEncodeError:
        raise UnusableRow("a text contains half of a surrogate pair") from None
