"""Dialogues and preferences as token ids that fit; what does not fit is counted, never dropped in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cai.chat import Chat
from cai.errors import ConfigError, TrainingError
from cai.records import Json, Messages, Preference, assistant

TooLong = Literal["truncate_left", "reject"]


@dataclass(frozen=True, slots=True)
class Row:
    """One dialogue; `answer` is True on the tokens that are learnt: the last turn with its EOS."""

    ids: list[int]
    answer: list[bool]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt; `p_a` is the probability that the first is better."""

    ids_a: list[int]
    ids_b: list[int]
    p_a: float
    weight: float

    @property
    def width(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.ids_a), len(self.ids_b))


@dataclass(slots=True)
class Counts:
    """What became of the rows given; `truncated` are among those used."""

    given: int = 0
    used: int = 0
    truncated: int = 0
    too_long: int = 0
    not_rendered: int = 0
    zero_weight: int = 0
    reason: str = ""

    def to_json(self) -> Json:
        names = ("given", "used", "truncated", "too_long", "not_rendered", "zero_weight")
        return {f"rows_{name}": getattr(self, name) for name in names}

    def check(self, max_length: int, max_rejected: float) -> None:
        """Raise `TrainingError` if nothing is left, or if more than the allowed share was rejected."""
        rejected = self.too_long + self.not_rendered
        if self.used and rejected <= max_rejected * self.given:
            return
        why = f"{self.too_long} too long for {max_length} tokens, {self.not_rendered} not rendered"
        first = f" (first: {self.reason})" if self.reason else ""
        raise TrainingError(
            f"{rejected} of {self.given} rows cannot be trained on: {why}{first}; "
            f"{self.used} are left, and max_rejected is {max_rejected:g}"
        )


def encode_dialogues(
    chat: Chat, dialogues: Sequence[Messages], max_length: int, too_long: TooLong
) -> tuple[list[Row], Counts]:
    """Every dialogue as a `Row` of at most `max_length` tokens; its answer is never cut."""
    rows, counts = [], Counts(given=len(dialogues))
    for messages in dialogues:
        row = _encoded(chat, messages, counts)
        if row is not None:
            rows += _fitted(chat, [row], max_length, too_long, counts)
    counts.used = len(rows)
    return rows, counts


def encode_pairs(
    chat: Chat, preferences: Sequence[Preference], max_length: int, too_long: TooLong
) -> tuple[list[Pair], Counts]:
    """Every preference as a `Pair`; both sides lose the same tokens of the prompt, so that only the answers differ."""
    pairs, counts = [], Counts(given=len(preferences))
    for one in preferences:
        if not (0.0 <= one.p_a <= 1.0 and 0.0 <= one.weight < float("inf")):
            raise TrainingError(
                f"preference {one.id}: p_a {one.p_a} must lie in 0 … 1 and weight {one.weight} in 0 … ∞"
            )
        if one.weight == 0.0:
            counts.zero_weight += 1
            continue
        a = _encoded(chat, (*one.prompt.messages, assistant(one.response_a)), counts)
        b = a and _encoded(chat, (*one.prompt.messages, assistant(one.response_b)), counts)
        if a and b and (fitted := _fitted(chat, [a, b], max_length, too_long, counts)):
            pairs.append(Pair(fitted[0].ids, fitted[1].ids, one.p_a, one.weight))
    counts.used = len(pairs)
    return pairs, counts


def _encoded(chat: Chat, messages: Messages, counts: Counts) -> Row | None:
    try:
        return Row(*chat.encode_supervised(messages))
    except ConfigError as error:
        counts.not_rendered += 1
        counts.reason = counts.reason or str(error)
        return None


def _fitted(chat: Chat, rows: Sequence[Row], max_length: int, too_long: TooLong, counts: Counts) -> list[Row]:
    """`rows` cut by one amount behind the BOS so that all fit; none, and counted, if that would reach an answer."""
    excess = max(len(row.ids) for row in rows) - max_length
    if excess <= 0:
        return list(rows)
    bos = chat.tokenizer.bos_token_id
    kept = int(bos is not None and rows[0].ids[0] == bos)
    if too_long == "reject" or any(kept + excess > row.answer.index(True) for row in rows):
        counts.too_long += 1
        return []
    counts.truncated += 1
    return [_without(row, kept, kept + excess) for row in rows]


def _without(row: Row, start: int, end: int) -> Row:
    return Row(row.ids[:start] + row.ids[end:], row.answer[:start] + row.answer[end:])
