"""Dialogues that are longer than a model may read: which tokens of the prompt go, and what does not fit at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cai.chat import Chat
from cai.records import Messages

TooLong = Literal["truncate_left", "reject"]


def beginning(prompt: Messages) -> str:
    """The last turn's first eighty characters, on one line and in quotes, for people to find a prompt by."""
    return repr(" ".join(prompt[-1].content.split())[:80])


@dataclass(frozen=True, slots=True)
class Row:
    """One dialogue as token ids; `answer` is True on those of the last turn with its EOS."""

    ids: list[int]
    answer: list[bool]

    def without(self, lost: range) -> Row:
        """The row less the tokens at those places."""
        if not lost:
            return self
        start, end = lost.start, lost.stop
        return Row(self.ids[:start] + self.ids[end:], self.answer[:start] + self.answer[end:])


def lost_tokens(
    chat: Chat, prompt: Messages, rows: Sequence[Row], max_length: int | None, too_long: TooLong
) -> range | None:
    """The places behind the BOS that all rows must lose to have at most `max_length` tokens; often none.

    None if that would reach an answer, or leave nothing of the last user turn, or with `too_long` "reject".
    """
    excess = max(len(row.ids) for row in rows) - max_length if max_length else 0
    if excess <= 0:
        return range(0)
    kept = int(rows[0].ids[0] == chat.tokenizer.bos_token_id)
    if too_long == "reject" or any(kept + excess > row.answer.index(True) for row in rows):
        return None
    asked = chat.question_end(prompt)
    return None if asked is not None and kept + excess >= asked else range(kept, kept + excess)


def fitted(
    chat: Chat, prompt: Messages, rows: Mapping[str, Row], sets: Sequence[Sequence[str]], max_length: int | None,
    too_long: TooLong,
) -> tuple[list[int], range]:  # fmt: skip
    """Which sets of answers to one prompt fit, by number, and the places that every row of theirs loses.

    The same tokens of the prompt go from all, so that only the answers differ; where no such cut leaves some of the
    last user turn, the longest answer goes, with every set that it is in. `rows` has each answer's by its text.
    """
    left = list(range(len(sets)))
    while left:
        used = {text: rows[text] for at in left for text in sets[at]}
        lost = lost_tokens(chat, prompt, list(used.values()), max_length, too_long)
        if lost is not None:
            return left, lost
        longest = max(used, key=lambda text: len(used[text].ids))
        left = [at for at in left if longest not in sets[at]]
    return [], range(0)
