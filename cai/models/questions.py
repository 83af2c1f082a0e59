"""Choices to be scored as token ids, and which of them are read together: pure functions, no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.models.windows import batches

MIN_SHARED = 16
"""A shared beginning shorter than this many tokens is not worth a forward pass of its own."""
_MAX_GROUP = 128


@dataclass(frozen=True, slots=True)
class Question:
    """Token ids to read, and what to look up: (position from the end, 0 = last; token; choice), added up by choice."""

    index: int
    ids: tuple[int, ...]
    picks: tuple[tuple[int, int, int], ...]
    prompt_tokens: int

    @property
    def keep(self) -> int:
        return 1 + max(pick[0] for pick in self.picks)


@dataclass(slots=True)
class Group:
    """Questions of one stem; `stem` counts tokens, those that the whole window shares included."""

    questions: list[Question]
    stem: int

    @property
    def width(self) -> int:
        """Tokens in the cache when all questions are read as one batch."""
        return max(len(one.ids) for one in self.questions) * len(self.questions)

    def parts(self, tokens: int) -> Iterator[Group]:
        """The group, cut so that each part fits `tokens` if it can."""
        for some in batches(self.questions, lambda one: len(one.ids), tokens):
            yield Group(some, self.stem)


def questions_of(index: int, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> list[Question]:
    """One question for all options that are one token after `prompt`; one for each if any is written otherwise.

    `options` are the ids of prompt and choice written as one text. A choice whose text merges with the end of the
    prompt is scored from the first token that differs, all options from the same place.
    """
    if _one_token_each(prompt, options):
        picks = tuple((0, option[-1], choice) for choice, option in enumerate(options))
        return [Question(index, tuple(prompt), picks, len(prompt))]
    start = min(shared_length(prompt, option) for option in options)
    start = max(1, min(start, *(len(option) - 1 for option in options)))
    found = []
    for choice, option in enumerate(options):
        picks = tuple((len(option) - 1 - at, option[at], choice) for at in range(start, len(option)))
        found.append(Question(index, tuple(option[:-1]), picks, len(prompt)))
    return found


def _one_token_each(prompt: Sequence[int], options: Sequence[Sequence[int]]) -> bool:
    return all(len(option) == len(prompt) + 1 and list(option[:-1]) == list(prompt) for option in options)


def separate_tokens(prompt: Sequence[int], options: Sequence[Sequence[int]]) -> bool:
    """Whether every option is `prompt` and one more token, another for each: an unknown character is one for all."""
    return _one_token_each(prompt, options) and len({option[-1] for option in options}) == len(options)


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows have in common at their beginning."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(at for at in range(shorter) if one[at] != other[at])


def grouped(questions: Sequence[Question], common: int) -> list[Group]:
    """Cut sorted `questions` into runs that share a stem, so that the fewest tokens are read.

    A run from i to j reads its stem once: it saves (j − i) · (stem − common) tokens. Dynamic programming over the cuts.
    """
    shared = [0] + [shared_length(a.ids, b.ids) for a, b in pairwise(questions)]
    room = [len(one.ids) - one.keep for one in questions]
    best = [0.0] * (len(questions) + 1)
    cut = list(range(-1, len(questions)))
    for end in range(1, len(questions) + 1):
        best[end] = best[end - 1]
        stem = room[end - 1]
        for start in range(end - 2, max(-1, end - 1 - _MAX_GROUP), -1):
            stem = min(stem, room[start], shared[start + 1])
            if stem - common < MIN_SHARED:
                break
            saved = best[start] + (end - 1 - start) * (stem - common) - MIN_SHARED
            if saved > best[end]:
                best[end], cut[end] = saved, start
    groups = []
    end = len(questions)
    while end:
        start = cut[end]
        groups.append(_group(questions[start:end], shared[start + 1 : end], room[start:end], common))
        end = start
    return groups[::-1]


def _group(questions: Sequence[Question], shared: Sequence[int], room: Sequence[int], common: int) -> Group:
    stem = min([*shared, *room]) if len(questions) > 1 else common
    return Group(list(questions), stem)
