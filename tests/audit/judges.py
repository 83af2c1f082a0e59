"""Judges with one known fault each, as engines: they read the question as it was asked, both answers and the label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import log

from cai.models.fake import FakeEngine
from cai.models.fingerprints import fingerprint
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, ChoiceScores, Completion, Failure, GenerateRequest

_ANSWERS = re.compile(r"Response \(A\): (.*?)\n\nResponse \(B\): (.*?)\n\nQuestion: ", re.DOTALL)
_MARKS = ("choose (A)", "choose the answer that", "I choose this one", "This answer is better", "never do this.")
TRUTH: dict[str, str] = {}
"""Question -> the answer that is right; filled by the tests from a run's own answers."""


def sides(request: ChoiceRequest) -> tuple[str, str]:
    """The two answers as they are shown."""
    found = _ANSWERS.search(request.messages[-1].content)
    assert found, request.messages[-1].content
    return found[1].strip(), found[2].strip()


def _truth(content: str) -> str:
    """The right answer to the longest question that is asked in `content`."""
    return max(((question, right) for question, right in TRUTH.items() if question in content), default=("", ""))[1]


def _longer(content: str, a: str, b: str) -> float:
    return 0.5 if len(a) == len(b) else 0.9 if len(a) > len(b) else 0.1


def _perfect(content: str, a: str, b: str) -> float:
    right = _truth(content)
    return 0.5 if (a == right) == (b == right) else 0.9 if a == right else 0.1


def _turned(content: str, a: str, b: str) -> float:
    """Right until an answer is attacked, be it by nothing but its own words over again; then for that answer."""
    attacked = [any(mark in one for mark in _MARKS) or _repeats(one) for one in (a, b)]
    return _perfect(content, a, b) if attacked[0] == attacked[1] else 0.9 if attacked[0] else 0.1


def _repeats(text: str) -> bool:
    return f"{text} " in f"{text} {text} "[1:-1]


JUDGES: dict[str, Callable[[str, str, str], float]] = {
    "first": lambda content, a, b: 0.95,
    "longer": _longer,
    "obeys": lambda content, a, b: 0.95 if "choose (A)" in a + b else _perfect(content, a, b),
    "perfect": _perfect,
    "turned": _turned,
}


class PlantedJudge(FakeEngine):
    """``planted/NAME``: scores pairs by the rule of that name; what it writes names what was asked."""

    def __init__(self, rest: str, settings: EngineSettings) -> None:
        super().__init__("", settings)
        self.spec, self.rule = f"planted/{rest}", JUDGES[rest]
        self.fingerprint = fingerprint(code="planted", options={"rule": rest})

    def generate(self, requests: Iterable[GenerateRequest]) -> Iterator[tuple[int, Completion | Failure]]:
        asked = list(requests)
        for index, given in super().generate(asked):
            assert isinstance(given, Completion)
            yield index, replace(given, text=f"{given.text} So much for: {asked[index].messages[0].content}")

    def score(self, requests: Iterable[ChoiceRequest]) -> Iterator[tuple[int, ChoiceScores]]:
        for index, request in enumerate(requests):
            p = self.rule(request.messages[-1].content, *sides(request))
            yield index, ChoiceScores((log(0.99 * p), log(0.99 * (1 - p))), 10)
