"""What a row means: which column holds the dialogue, and its turns, whatever shape they are written in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cai.errors import did_you_mean
from cai.prompts.files import Row
from cai.prompts.spec import PromptFile
from cai.prompts.transcripts import UnusableRow, is_transcript, parse_transcript
from cai.records import Message, Role, user

__all__ = [
    "ALWAYS_LISTS", "Dialogue", "UnusableRow", "alpaca", "check_messages", "find_column", "keys_beside", "kind_of",
    "read_cell", "read_dialogue", "read_messages",
]  # fmt: skip

COLUMNS = (
    "messages", "prompt", "conversations", "conversation", "rl_prompt", "turns", "goal", "question", "instruction",
    "behavior", "forbidden_prompt", "query", "text", "chosen", "transcript", "chosen_messages",
)  # fmt: skip
WHOLE_DIALOGUES = ("chosen", "rejected", "transcript", "chosen_messages", "rejected_messages")
ALWAYS_LISTS = ("messages", "conversations")
"""Columns in which a plain text is a mistake, and not one user turn."""
_LISTS = ("messages", "prompt", "conversations", "conversation", "turns", "chosen", "rejected", "reference", "tags")
_ROLES: dict[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
}  # fmt: skip
_MESSAGE = ("role", "content", "from", "value", "name")
_MORE_THAN_TEXT = (
    "tool_calls", "tool_call", "function_call", "image", "images", "image_url", "audio", "audios", "video", "videos",
    "file", "files", "attachments",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The turns of a row, the column they came from, and what a reader ought to be told about how they were read.

    `plain`: a text that is one user turn as it stands.
    """

    messages: tuple[Message, ...]
    column: str
    notes: tuple[str, ...] = ()
    plain: bool = False


def read_dialogue(row: Row, spec: PromptFile) -> Dialogue:
    """The prompt in a row: ends with a user turn. Raises `InputError` at the row's place, or `UnusableRow`."""
    if isinstance(row.value, dict):
        dialogue = _from_columns(row, row.value, spec)
    elif isinstance(row.value, list | str):
        dialogue = read_cell(row, row.value, "messages" if isinstance(row.value, list) else "text", spec.first_turn)
    else:
        raise row.error(f"the row is {kind_of(row.value)}, expected an object, a text or a list of messages")
    check_messages(row, dialogue.messages)
    last = dialogue.messages[-1].role if dialogue.messages else None
    if last == "assistant" and (spec.drop_answer or dialogue.column in WHOLE_DIALOGUES):
        dialogue = Dialogue(dialogue.messages[:-1], dialogue.column, (*dialogue.notes, "last answer left off"))
        last = dialogue.messages[-1].role if dialogue.messages else None
    if last != "user":
        cut = last == "assistant" and len(dialogue.messages) > 1
        hint = "; add ?answers=drop to the file's name to leave that answer off" if cut else ""
        raise row.error(f"a prompt must end with a user turn, this one ends with {_an(last)}{hint}")
    return dialogue


def _an(role: str | None) -> str:
    return "no turn at all" if role is None else f"an {role} turn" if role == "assistant" else f"a {role} turn"


def _from_columns(row: Row, cells: dict[str, Any], spec: PromptFile) -> Dialogue:
    column = find_column(row, cells, (spec.column,) if spec.column else COLUMNS)
    dialogue = read_cell(row, cells[column], column, spec.first_turn, cells.get("reference"))
    if dialogue.plain and column in ALWAYS_LISTS and spec.column is None:
        hint = f"; where each is a whole prompt, ?column={column} behind the file's name says so"
        raise row.error(f"'{column}' holds a text, expected a list of messages{hint}")
    if dialogue.plain and column.lower().startswith("chosen") and spec.column is None:
        raise row.error(f"'{column}' holds an answer alone, and no column its prompt; name that with ?column=NAME")
    messages, notes = dialogue.messages, list(dialogue.notes)
    if joined := _joined(row, cells, column, messages):
        messages = joined
        notes.append("texts that go with a prompt (context, input, history) joined to it")
    system = cells.get("system") or cells.get("system_prompt")
    if isinstance(system, str) and system.strip() and messages and messages[0].role != "system":
        messages = (Message("system", system), *messages)
    return Dialogue(messages, column, tuple(notes))


def find_column(row: Row, cells: dict[str, Any], names: Sequence[str]) -> str:
    """The first of `names` among the row's columns, in any case of letters, that holds something."""
    by_lower = {name.lower(): name for name in reversed(cells)}
    there = [found for name in names if (found := name if name in cells else by_lower.get(name.lower())) is not None]
    there = there if len(names) == 1 else [name for name in there if dict.get(cells, name) is not None]
    if there:
        return next((name for name in there if dict.get(cells, name) != ""), there[0])
    columns = ", ".join(repr(name[:40]) for name in list(cells)[:12])
    near = next((hint for name in names if (hint := did_you_mean(name, cells))), "")
    wanted = f"no column '{names[0]}'" if len(names) == 1 else "no column that holds a prompt"
    say = "" if len(names) == 1 else "; name it with ?column=NAME"
    raise row.error(f"{wanted} (columns: {columns}){near if len(names) == 1 else ''}{say}")


def _joined(row: Row, cells: dict[str, Any], column: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The prompt with its HarmBench context, or Alpaca's input and earlier turns; nothing if it has none."""
    context = cells.get("ContextString")
    if column == "Behavior" and isinstance(context, str) and context.strip() and len(messages) == 1:
        return (user(f"{context}\n\n---\n\n{messages[0].content}"),)
    if column != "instruction":
        return ()
    given, instances = cells.get("input"), cells.get("instances")
    if given is None and isinstance(instances, list) and instances and isinstance(instances[0], dict):
        given = instances[0].get("input")
    whole = alpaca(row, messages, given, cells.get("history"))
    return whole if whole != messages else ()


def alpaca(row: Row, messages: tuple[Message, ...], given: Any, earlier: Any) -> tuple[Message, ...]:
    """An instruction with Alpaca's `input` on the next line, after the turns of its `history`, as LLaMA-Factory reads.

    Raises `InputError` at the row's place for a history that is not pairs of texts.
    """
    if isinstance(given, str) and given and len(messages) == 1:
        messages = (user(f"{messages[0].content}\n{given}"),)
    if not isinstance(earlier := earlier or [], list) or not all(
        isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one) for one in earlier
    ):
        raise row.error("'history' is not a list of pairs of texts")
    return (*(turn for asked, said in earlier for turn in (user(asked), Message("assistant", said))), *messages)


def read_cell(row: Row, cell: Any, column: str, first_turn: bool = False, reference: Any = None) -> Dialogue:
    """The turns in one cell: a plain text, a transcript, a list of messages or, under `turns`, of user turns."""
    if isinstance(cell, str) and column.lower() in _LISTS and cell.lstrip().startswith("["):
        cell = _list_in_text(cell)
    if column == "turns" and isinstance(cell, list):
        return _user_turns(row, cell, reference, first_turn)
    if isinstance(cell, str):
        if not is_transcript(cell):
            return Dialogue((user(cell),), column, plain=True)
        read = parse_transcript(cell)
        return Dialogue(read.messages, column, ("turns of one speaker in a row joined",) if read.joined else ())
    return Dialogue(read_messages(row, cell, column), column)


def _list_in_text(cell: str) -> Any:
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return value if isinstance(value, list) and all(isinstance(one, dict | str) for one in value) else cell


def _user_turns(row: Row, cell: list[Any], reference: Any, first_only: bool) -> Dialogue:
    """User turns alone (MT-Bench): with reference answers between them the whole dialogue, else the first turn."""
    found = [one.get("content") if isinstance(one, dict) else one for one in cell]
    turns = [turn for turn in found if isinstance(turn, str)]
    if not turns or len(turns) < len(found):
        raise row.error("'turns' must be a list of texts, one for each user turn")
    if len(turns) == 1:
        return Dialogue((user(turns[0]),), "turns")
    answers = reference[: len(turns) - 1] if isinstance(reference, list) else []
    if first_only or len(answers) < len(turns) - 1 or not all(isinstance(one, str) and one.strip() for one in answers):
        return Dialogue((user(turns[0]),), "turns", ("later user turns not read: the answers between are not there",))
    messages = [user(turns[0])]
    for answer, turn in zip(answers, turns[1:], strict=True):
        messages += [Message("assistant", answer), user(turn)]
    return Dialogue(tuple(messages), "turns", ("reference answers read as the assistant's turns",))


def read_messages(row: Row, cell: Any, column: str) -> tuple[Message, ...]:
    """Messages as chat APIs and TRL (`role`, `content`) or ShareGPT (`from`, `value`) write them; one or a list."""
    cell = _listed(cell)
    if not isinstance(cell, list):
        raise row.error(f"'{column}' holds {kind_of(cell)}, expected a text or a list of messages")
    return tuple(_message(row, one, f"'{column}' message {number}") for number, one in enumerate(cell, 1))


def _listed(cell: Any) -> Any:
    """One message as a list of one, and lists of roles and of contents as a list of messages."""
    if isinstance(cell, dict) and all(isinstance(one, list) for one in cell.values()):
        cell = [dict(zip(cell, ones, strict=False)) for ones in zip(*cell.values(), strict=False)]
    return [cell] if isinstance(cell, dict) else cell


def keys_beside(cell: Any) -> Iterator[str]:
    """What the messages of a cell hold something under, and `read_messages` takes nothing from; with repeats."""
    listed = _listed(cell)
    for turn in listed if isinstance(listed, list) else ():
        if isinstance(turn, dict):
            yield from (key for key, value in turn.items() if key not in _MESSAGE and value not in (None, "", [], {}))


def kind_of(cell: Any) -> str:
    """What a cell holds, in words: "a number", "a list", "nothing"."""
    names = {str: "a text", list: "a list", dict: "an object", bool: "a boolean", int: "a number", float: "a number"}
    return "nothing" if cell is None else names.get(type(cell), f"a {type(cell).__name__}")


def _message(row: Row, turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise row.error(f"{where} is {kind_of(turn)}, expected an object with role and content")
    name, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        near = did_you_mean(name, _ROLES) if isinstance(name, str) else ""
        raise row.error(f"{where} has the role {name!r}{near} (allowed: system, user, assistant; human, gpt)")
    if isinstance(content, list):
        content = _text_parts(row, content, where)
    if more := [key for key in _MORE_THAN_TEXT if turn.get(key) not in (None, "", [], {})]:
        raise row.error(f"{where} has {' and '.join(more)} beside its text; only messages that are text alone are read")
    if not isinstance(content, str):
        raise row.error(f"{where} has {kind_of(content)} as its content, expected a text")
    return Message(role, content)


def _text_parts(row: Row, parts: list[Any], where: str) -> str:
    texts = [part.get("text", part.get("value")) if isinstance(part, dict) else part for part in parts]
    kinds = {part.get("type", "text") for part in parts if isinstance(part, dict)}
    if kinds - {"text"} or not all(isinstance(text, str) for text in texts):
        raise row.error(f"{where} has a part that is not text ({', '.join(sorted(map(str, kinds))) or 'unknown'})")
    return "".join(text for text in texts if isinstance(text, str))


def check_messages(row: Row, messages: Sequence[Message]) -> None:
    """Refuse turns that no engine could be given: empty, with NUL or half a surrogate pair, a late system turn."""
    for number, message in enumerate(messages, 1):
        turn = f"the {message.role} turn" if len(messages) == 1 else f"turn {number} ({message.role})"
        if not message.content.strip():
            raise row.error(f"{turn} is empty")
        if "\0" in message.content:
            raise row.error(f"{turn} contains a NUL character (U+0000)")
        try:
            message.content.encode()
        except UnicodeEncodeError as error:
            code = ord(message.content[error.start])
            raise row.error(f"{turn} contains half of a surrogate pair (U+{code:04X})") from None
        if message.role == "system" and number > 1:
            raise row.error(f"{turn}: a system turn can only come first")
