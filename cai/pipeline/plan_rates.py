"""What answers have told: tokens a character, tokens an answer, how many records go on; each with its uncertainty."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from cai.pipeline.plan_nodes import PLACEHOLDER, characters
from cai.records import Answer, ChoiceScores, Completion, Request

GUESSED_RATE = 0.3
"""Tokens a character, where no answer has told yet."""


@dataclass(slots=True)
class Moments:
    """Count, sum and sum of squares of some numbers."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.n, self.total, self.squares = self.n + 1, self.total + value, self.squares + value * value

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; the mean itself where one number, or none, cannot tell."""
        if self.n < 2:
            return self.mean
        return math.sqrt(max(0.0, self.squares / self.n - self.mean**2) / (self.n - 1))


@dataclass(slots=True)
class Sums:
    """What a ratio of two sums over records, part to whole, is told by, and how sure (Cochran 1977, §6.3)."""

    n: int = 0
    part: float = 0.0
    whole: float = 0.0
    _part2: float = 0.0
    _cross: float = 0.0
    _whole2: float = 0.0

    def add(self, part: float, whole: float) -> None:
        self.n, self.part, self.whole = self.n + 1, self.part + part, self.whole + whole
        self._part2 += part * part
        self._cross += part * whole
        self._whole2 += whole * whole

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.n + other.n, self.part + other.part, self.whole + other.whole,
            self._part2 + other._part2, self._cross + other._cross, self._whole2 + other._whole2,
        )  # fmt: skip

    def _spread(self) -> float:
        """Standard error of the part that records of this whole have."""
        ratio = self.part / self.whole if self.whole else 0.0
        rest = max(0.0, self._part2 - 2 * ratio * self._cross + ratio * ratio * self._whole2)
        return math.sqrt(rest * self.n / max(1, self.n - 1))


class Rate(Sums):
    """Tokens (the part) to characters (the whole) of what records have a model read."""

    __slots__ = ()

    @property
    def value(self) -> float:
        return self.part / self.whole if self.whole else GUESSED_RATE

    @property
    def error(self) -> float:
        """Standard error relative to the value; 1 where one record, or none, cannot tell."""
        return self._spread() / self.part if self.n > 1 and self.part else 1.0


class Share(Sums):
    """Calls that records lead to, of those that they would if no answer were rejected or like another."""

    __slots__ = ()

    @property
    def value(self) -> float:
        """1 where nothing is known."""
        return self.part / self.whole if self.whole else 1.0

    @property
    def error(self) -> float:
        """Standard error of the ratio; never less than that of a share of which n records have shown no exception."""
        if not self.n:
            return 0.5
        return max(self._spread() / self.whole if self.whole else 0.0, 1 / (self.n + 2))


_Key = tuple[str, str]


@dataclass(slots=True)
class Rates:
    """By step, and by step and kind of prompt where that matters; a kind that was not seen is taken as all of them."""

    read: dict[str, Rate] = field(default_factory=lambda: defaultdict(Rate))
    written: dict[_Key, Moments] = field(default_factory=lambda: defaultdict(Moments))
    lengths: dict[_Key, Moments] = field(default_factory=lambda: defaultdict(Moments))
    goes_on: dict[tuple[str, str, str], Share] = field(default_factory=lambda: defaultdict(Share))
    longest: dict[_Key, int] = field(default_factory=lambda: defaultdict(int))
    """Bytes of the longest completion that was seen."""

    def learn(self, step: str, kind: str, requests: Sequence[Request], answers: Iterable[Answer]) -> None:
        """Take in the answers to one record."""
        letters = tokens = 0
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Completion | ChoiceScores) and answer.prompt_tokens:
                letters += characters(request)
                tokens += answer.prompt_tokens
            if isinstance(answer, Completion) and (answer.prompt_tokens or answer.completion_tokens):
                self.written[step, kind].add(answer.completion_tokens)
            if isinstance(answer, Completion):
                self.lengths[step, kind].add(len(answer.text))
                size = len(answer.text.encode("utf-8", "surrogatepass"))
                self.longest[step, kind] = max(self.longest[step, kind], size)
        if tokens:
            self.read[step].add(tokens, letters)

    def tokens_read(self, step: str, letters: float) -> float:
        """Prompt tokens of a request of so many characters."""
        return letters * self.reading(step).value

    def reading(self, step: str) -> Rate:
        """What a step's requests have told of their prompts; those of all steps where there is none."""
        return self.read[step] if step in self.read else sum(self.read.values(), Rate())

    @property
    def beyond(self) -> int:
        """Bytes by which the texts of a record, two answers or one with its critique, may pass usual ones."""
        over = (most - self.lengths[key].mean for key, most in self.longest.items())
        return 2 * round(max(over, default=PLACEHOLDER))

    def tokens_written(self, step: str, kind: str) -> Moments:
        """Of one completion."""
        return _of_kind(self.written, step, kind)

    def length(self, step: str, kind: str) -> float:
        """Characters of one completion."""
        return _of_kind(self.lengths, step, kind).mean or PLACEHOLDER

    def share(self, step: str, child: str, kind: str) -> Share:
        """Of the calls that records of `step` would lead `child` to."""
        if self.goes_on[step, child, kind].whole:
            return self.goes_on[step, child, kind]
        every = (one for (a, b, _), one in self.goes_on.items() if (a, b) == (step, child))
        return sum(every, Share())


def _of_kind(table: dict[_Key, Moments], step: str, kind: str) -> Moments:
    """Of the step and kind; else of the step; else of the same stage in any round."""
    if table[step, kind].n:
        return table[step, kind]
    own = sum((one for (name, _), one in table.items() if name == step), Moments())
    if own.n:
        return own
    stage = step.partition("-")[0]
    return sum((one for (name, _), one in table.items() if name.partition("-")[0] == stage), Moments())
