"""Prompts that overlap with files which must stay unseen, such as the questions of a benchmark.

Runs of 13 words, without case and punctuation, as Brown et al. 2020 (arXiv 2005.14165, appendix C) looked for their
evaluation sets in their training data. Their runs are shorter where a set's questions are, down to 8 words; here each
text of 8 to 12 words is looked for as a whole. A shorter one counts only where it is all that a prompt says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cai.exports.prompt_text import plain_text, turns_compared, words
from cai.records import Prompt

LONGEST, SHORTEST = 13, 8


def contaminated(prompts: Iterable[Prompt], against: Mapping[str, Iterable[Prompt]]) -> dict[str, str]:
    """Prompt id -> the key of the first of `against` that the prompt overlaps with.

    `against` is read once and its hashes are kept in memory; `prompts` are read once, nothing of them is kept.
    """
    unseen = {name: _Unseen(some) for name, some in against.items()}
    left_out: dict[str, str] = {}
    for prompt in prompts:
        name = next((name for name, one in unseen.items() if one.overlaps(prompt)), None)
        if name is not None:
            left_out[prompt.id] = name
    return left_out


class _Unseen:
    """The runs of words of one file, and its short texts whole."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._runs: set[bytes] = set()
        self._lengths: set[int] = set()
        self._whole: set[bytes] = set()
        for prompt in prompts:
            self._whole.add(_digest(plain_text(prompt)))
            for turn in _user_turns(prompt):
                self._add(words(turn))

    def _add(self, turn: Sequence[str]) -> None:
        length = min(LONGEST, len(turn))
        if length >= SHORTEST:
            self._lengths.add(length)
            self._runs.update(_runs(turn, length))

    def overlaps(self, prompt: Prompt) -> bool:
        if _digest(plain_text(prompt)) in self._whole:
            return True
        turns = [words(turn) for turn in turns_compared(prompt)]
        return any(run in self._runs for turn in turns for length in self._lengths for run in _runs(turn, length))


def _user_turns(prompt: Prompt) -> list[str]:
    return [message.content for message in prompt.messages if message.role == "user"]


def _runs(turn: Sequence[str], length: int) -> Iterator[bytes]:
    return (_digest(" ".join(turn[start : start + length])) for start in range(len(turn) - length + 1))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
