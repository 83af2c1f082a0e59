"""What a judge's answers say: log-probabilities as they came, or sampled texts read and counted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from cai.dialogues import LABELS
from cai.errors import ParseError
from cai.records import Answer, ChoiceScores, Completion, Failure
from cai.refusals import refuses_to_judge
from cai.stages.stated import takes_back

VERDICT_TOKENS = 16
"""Enough for a server that cannot go on with "The answer is: (" and writes it itself."""
_AGAIN = r"(?i:(?:the\s+)?answer(?:\s+is)?\s*:?)"
_ENDED = r"\)(?!\w)|(?=[*_]*(?:[.,:;!?]+(?:\s|$)|[^\S\n]*(?:\n|$)))"
_VERDICT = re.compile(rf"[\s*_]*(?:{_AGAIN})?[\s*_]*\(?([AB])(?:{_ENDED})")
_JOINED = re.compile(r"[\s*_]*(?:,\s*(?:and\b|or\b)?|/|&|and\b|or\b)[\s*_]*\(?([AB])\b")
_YES_NO = re.compile(
    rf"[\s*_(]*(?:{_AGAIN})?[\s*_(]*(?i:(yes|no))(?![\w']|-\w)(?!\s*(?:/|,?\s*(?i:and|or|but))\s*(?i:yes|no)\b)"
    r"(?!\s*\?)(?!(?<=[Nn]o)\s+(?!(?:it|this|that|the|there|they|because|since|as)\b)[a-z])"
)
"""Not the "no" of "no one" and "no harm", which stands before a small letter."""


class Read(NamedTuple):
    """The log-probabilities of the first and the second choice, their mass, and the counts they rest on if sampled.

    `refused`: nothing could be read, and the judge said that it would not answer.
    """

    first: float
    second: float
    mass: float
    counts: tuple[int, int] | None = None
    refused: bool = False


def scored(answer: Answer) -> Read:
    """The two scores of a choice request; raises `ParseError` for one that was not answered."""
    match answer:
        case ChoiceScores(logprobs=(first, second)):
            return Read(first, second, answer.mass)
        case Failure(reason=reason):
            raise ParseError(reason)
    raise TypeError(f"a choice request was answered with {type(answer).__name__}")


def posterior(first: int, second: int, asked: int) -> Read:
    """Counted verdicts as the mean of their Beta posterior, (k + 1)/(n + 2); the mass is the share that was read."""
    total = first + second
    share = (first + 1) / (total + 2)
    return Read(math.log(share), math.log1p(-share), total / asked if asked else 0.0, (first, second))


def sampled_verdicts(answers: Sequence[Answer]) -> Read:
    """Sampled texts that name a label; raises `ParseError` for one that was not answered."""
    texts = _texts(answers)
    labels = [read_verdict(text) for text in texts]
    return _counted(labels.count(LABELS[0]), labels.count(LABELS[1]), texts)


def sampled_yes_no(answers: Sequence[Answer]) -> Read:
    """Sampled texts that say yes or no; raises `ParseError` for one that was not answered."""
    texts = _texts(answers)
    said = [read_yes_no(text) for text in texts]
    return _counted(said.count(True), said.count(False), texts)


def _counted(first: int, second: int, texts: Sequence[str]) -> Read:
    refused = not first + second and any(map(refuses_to_judge, texts))
    return posterior(first, second, len(texts))._replace(refused=refused)


def _texts(answers: Sequence[Answer]) -> list[str]:
    texts = []
    for answer in answers:
        if isinstance(answer, Failure):
            raise ParseError(answer.reason)
        assert isinstance(answer, Completion)
        texts.append(answer.text)
    return texts


def read_verdict(text: str) -> str | None:
    """The label that a sampled text begins with, after the asked-for beginning if it repeats that; None if unclear.

    A label is in brackets, or stands alone on its line or before punctuation: "A better choice" is none, and neither
    is one that is joined to the other label ("A, B", "(A) and (B)") or taken back ("(A) is worse", "(A)? No, (B)").
    """
    found = _VERDICT.match(text)
    if not found:
        return None
    joined = _JOINED.match(text, found.end())
    unclear = (joined and joined[1] != found[1]) or takes_back(found[1], text[found.end() :])
    return None if unclear else found[1]


def read_yes_no(text: str) -> bool | None:
    """Whether a sampled text begins with yes (True) or no (False); None if it is neither, or both ("yes and no")."""
    found = _YES_NO.match(text)
    return None if not found else found[1].lower() == "yes"
