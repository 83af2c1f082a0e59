"""Pairs that people ranked: HH transcripts and TRL preference rows to `Preference` records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from cai.errors import InputError
from cai.prompts.files import Row, read_rows
from cai.prompts.kinds import find_kind
from cai.prompts.shapes import UnusableRow, check_messages, find_column, read_cell, read_messages
from cai.prompts.spec import PromptFile, parse_spec
from cai.prompts.splits import check_share, given_split, opening_turn, split_of
from cai.records import Json, Kind, Message, Preference, Prompt, Split, content_id

_CHOSEN = ("chosen", "chosen_messages")
_REJECTED = ("rejected", "rejected_messages")
_PROMPT = ("prompt", "messages", "conversations", "conversation", "question", "instruction")


@dataclass(slots=True)
class PairNotes:
    """How a file was read: `kept` + `duplicates` + Σ `skipped` = `rows`.

    `skipped` counts rows by reason, `first` gives the place of the first of each; `contradicting` counts repeated pairs
    that were ranked the other way, whose label is then the mean; `kinds` counts rows by (kind, what it rests on).
    """

    rows: int = 0
    kept: int = 0
    duplicates: int = 0
    contradicting: int = 0
    moved: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    kinds: Counter[tuple[Kind, str]] = field(default_factory=Counter)

    def to_json(self) -> Json:
        kinds = [{"kind": kind, "from": ground, "rows": rows} for (kind, ground), rows in self.kinds.items()]
        return {
            "rows": self.rows, "kept": self.kept, "duplicates": self.duplicates, "contradicting": self.contradicting,
            "moved_to_test": self.moved, "skipped": dict(self.skipped), "first": self.first, "kinds": kinds,
        }  # fmt: skip


class HumanPreferences(NamedTuple):
    """The pairs of a file, in its order, each once, and how it was read."""

    preferences: list[Preference]
    notes: PairNotes


@dataclass(slots=True)
class _Pair:
    """A pair as it stands while the file is read, and the label of each row that ranked it."""

    preference: Preference
    split: Split | None
    labels: list[float]


def read_human_preferences(file: str, *, test_share: float = 0.2) -> HumanPreferences:
    """Read ranked pairs: ``PATH`` or ``PATH?key=value&…``, as for prompts (kind, split, source, tags, format).

    Rows are HH transcripts under `chosen` and `rejected`, or TRL preference rows with the prompt explicit or implicit,
    plain or conversational; a `p_chosen` column is kept as a soft label. Which answer is response_a is drawn by hash,
    so p_a is near 0 as often as near 1. The side of the split is drawn by the opening user turn. Rows whose two
    dialogues differ before the last answer, or whose answers are equal or empty, are left out and counted. Raises
    `InputError` for rows that are not pairs.
    """
    check_share(test_share)
    spec = parse_spec(file)
    if spec.column or spec.drop_answer or spec.first_turn:
        raise InputError(
            "column=, answers= and turns= are for prompt files; pairs are read from chosen and rejected", file
        )
    pairs: dict[str, _Pair] = {}
    notes = PairNotes()
    for row in read_rows(spec):
        notes.rows += 1
        try:
            new = _read_pair(row, spec, notes)
        except UnusableRow as reason:
            notes.skipped[str(reason)] += 1
            notes.first.setdefault(str(reason), row.place)
            continue
        known = pairs.setdefault(new.preference.id, new)
        if known is not new:
            notes.duplicates += 1
            notes.contradicting += (known.labels[0] - 0.5) * (new.labels[0] - 0.5) < 0
            known.labels += new.labels
    if not pairs:
        raise InputError("holds no pairs" + (": every row was left out" if notes.rows else ""), spec.path)
    notes.kept = len(pairs)
    return HumanPreferences(_settled(list(pairs.values()), test_share, notes), notes)


def _settled(pairs: Sequence[_Pair], test_share: float, notes: PairNotes) -> list[Preference]:
    """Each pair with the mean of its labels, on the side where its opening turn is."""
    sides = [pair.split or split_of(pair.preference.prompt.messages, test_share) for pair in pairs]
    openings = [opening_turn(pair.preference.prompt.messages) for pair in pairs]
    held_out = {opening for opening, side in zip(openings, sides, strict=True) if side == "test"}
    settled = []
    for pair, opening, side in zip(pairs, openings, sides, strict=True):
        final: Split = "test" if opening in held_out else "train"
        notes.moved += final != side
        prompt = replace(pair.preference.prompt, split=final)
        settled.append(replace(pair.preference, prompt=prompt, p_a=sum(pair.labels) / len(pair.labels)))
    return settled


def _read_pair(row: Row, spec: PromptFile, notes: PairNotes) -> _Pair:
    cells = row.value
    if not isinstance(cells, dict):
        raise row.error("expected an object with the columns 'chosen' and 'rejected'")
    columns = [next((name for name in names if name in cells), names[0]) for names in (_CHOSEN, _REJECTED)]
    messages, chosen, rejected = _dialogues(row, cells, *[find_column(row, cells, (name,)) for name in columns])
    if not chosen.strip() or not rejected.strip():
        raise UnusableRow("an answer is empty")
    if chosen == rejected:
        raise UnusableRow("both answers are the same text")
    check_messages(row, (*messages, Message("assistant", chosen), Message("assistant", rejected)))
    kind, ground = find_kind(row, spec, default="helpful")
    notes.kinds[kind, ground] += 1
    prompt = Prompt.make(messages, kind, spec.name, tags=spec.tags)
    preference = _placed(row, prompt, chosen, rejected, cells)
    return _Pair(preference, given_split(row, spec), [preference.p_a])


def _number(row: Row, cells: dict[str, Any], name: str, most: float) -> float:
    value = cells.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= most:
        raise row.error(f"{name} is {value!r}, expected a number from 0 to {most:g}")
    return float(value)


def _placed(row: Row, prompt: Prompt, chosen: str, rejected: str, cells: dict[str, Any]) -> Preference:
    """The pair with its sides ordered by a hash of their texts, which knows nothing of the label."""
    source: Literal["ai", "human"] = "ai" if cells.get("source") == "ai" else "human"
    weight = _number(row, cells, "weight", math.inf)
    straight = Preference(prompt, chosen, rejected, _number(row, cells, "p_chosen", 1.0), weight, source)
    first = min((chosen, rejected), key=lambda text: content_id("side", prompt.id, text))
    return straight if first == chosen else straight.swap()


# ------------------------------------------------------------------------------------------------ shapes of a pair


def _dialogues(row: Row, cells: dict[str, Any], chosen: str, rejected: str) -> tuple[tuple[Message, ...], str, str]:
    """The prompt's turns and the two answers."""
    column = next((name for name in _PROMPT if cells.get(name) is not None), None)
    if column is not None:
        messages = read_cell(row, cells[column], column).messages
        if messages and messages[-1].role != "user":
            raise row.error(f"the prompt must end with a user turn, this one ends with the role {messages[-1].role}")
        if not messages:
            raise row.error(f"'{column}' has no turns")
        return (
            messages,
            _answer(row, cells[chosen], chosen, messages),
            _answer(row, cells[rejected], rejected, messages),
        )
    better, worse = _whole(row, cells[chosen], chosen), _whole(row, cells[rejected], rejected)
    if better[-1].role != "assistant" or worse[-1].role != "assistant":
        raise UnusableRow("an answer is empty")
    if better[:-1] != worse[:-1]:
        raise UnusableRow("the two dialogues differ before the last answer")
    if len(better) < 2 or better[-2].role != "user":
        raise UnusableRow("no user turn comes before the answer")
    return better[:-1], better[-1].content, worse[-1].content


def _answer(row: Row, cell: Any, column: str, prompt: tuple[Message, ...]) -> str:
    """One answer beside an explicit prompt: a text, one assistant message, or the whole dialogue again."""
    if isinstance(cell, str):
        return cell.strip()
    messages = read_messages(row, cell, column)
    if len(messages) > 1 and messages[:-1] == prompt:
        messages = messages[-1:]
    if len(messages) != 1 or messages[0].role != "assistant":
        raise row.error(f"'{column}' must be one assistant message after the prompt, found {len(messages)} messages")
    return messages[0].content


def _whole(row: Row, cell: Any, column: str) -> tuple[Message, ...]:
    """A dialogue that ends with the answer: a transcript or a list of messages."""
    messages = read_cell(row, cell, column).messages
    if isinstance(cell, str) and len(messages) == 1 and messages[0].content == cell:
        raise row.error(f"no prompt: no 'prompt' column, and '{column}' is not a Human:/Assistant: transcript")
    if not messages:
        raise row.error(f"'{column}' has no turns")
    return messages
