"""Label: the judge's votes on pairs of answers, under principles, in both orders (paper §4.1)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar, Literal

from cai.constitution import Constitution, Principle
from cai.dialogues import LABELS, ComparisonExample, TemplateName, comparison_messages, verdict_prefix
from cai.draws import draw_bits, draw_items, draw_seed
from cai.errors import ParseError
from cai.records import (
    Answer,
    Candidates,
    ChoiceRequest,
    ChoiceScores,
    Completion,
    Failure,
    GenerateRequest,
    Json,
    Judgement,
    Order,
    Request,
    Sampling,
    Vote,
)  # fmt: skip

ORDERS: tuple[Order, ...] = ("ab", "ba")
VERDICT_TOKENS = 16
"""Enough for a server that cannot go on with "The answer is: (" and writes it itself."""
_AGAIN = r"(?i:(?:the\s+)?answer(?:\s+is)?\s*:?)"
_ENDED = r"\)(?!\w)|(?=[*_]*(?:[.,:;!?]+(?:\s|$)|[^\S\n]*(?:\n|$)))"
_VERDICT = re.compile(rf"[\s*_]*(?:{_AGAIN})?[\s*_]*\(?([AB])(?:{_ENDED})")
_JOINED = re.compile(r"[\s*_]*(?:,\s*(?:and\b|or\b)?|/|&|and\b|or\b)[\s*_]*\(?([AB])\b")


@dataclass(frozen=True, slots=True)
class Label:
    """Both orders, always; the log-probabilities of both labels at the answer position, stored as they are.

    `principles_per_pair`: that many drawn without replacement, or every one that reaches the prompt ("all").
    `pairs`: comparisons per prompt, or "all" pairs of its answers. `fallback_samples` > 0 is for an engine without
    log-probabilities: that many sampled verdicts an order, read as (k + 1)/(n + 2), where n counts those that
    `read_verdict` can read and `mass` is the share of them.
    """

    VERSION: ClassVar[int] = 2
    constitution: Constitution
    principles_per_pair: int | Literal["all"] = 1
    pairs: int | Literal["all"] = 1
    template: TemplateName = "principle_last"
    examples: tuple[ComparisonExample, ...] = ()
    fallback_samples: int = 0
    seed: int = 0

    def read(self, row: Json) -> Iterable[Judgement]:
        candidates = Candidates.from_json(row)
        pairs = list(combinations(range(len(candidates.responses)), 2))
        if self.pairs != "all":
            pairs.sort(key=lambda pair: draw_bits(self.seed, candidates.id, "pair", *pair))
            pairs = sorted(pairs[: self.pairs])
        for a, b in pairs:
            yield Judgement(candidates.prompt, candidates.responses[a], candidates.responses[b], ())

    def principles(self, pair: Judgement) -> tuple[Principle, ...]:
        """The principles that this pair is judged under, in the order of the votes."""
        reaching = self.constitution.for_form("comparison", pair.prompt)
        if self.principles_per_pair == "all":
            return reaching
        return tuple(draw_items(reaching, self.principles_per_pair, self.seed, pair.id, "label"))

    def requests(self, pair: Judgement) -> list[Request]:
        return [
            request
            for principle in self.principles(pair)
            for order in ORDERS
            for request in self._ask(pair, principle.comparison, order)
        ]

    def _ask(self, pair: Judgement, comparison: str, order: Order) -> list[Request]:
        first, second = (pair.response_a, pair.response_b) if order == "ab" else (pair.response_b, pair.response_a)
        messages = comparison_messages(pair.prompt.messages, first, second, comparison, self.template, self.examples)
        prefix = verdict_prefix(self.template)
        if not self.fallback_samples:
            return [ChoiceRequest(messages, LABELS, prefix)]
        sampling = Sampling(max_tokens=VERDICT_TOKENS, temperature=1.0)
        seeds = (draw_seed(self.seed, pair.id, f"verdict {order}", n) for n in range(self.fallback_samples))
        return [GenerateRequest(messages, sampling, seed, prefix) for seed in seeds]

    def parse(self, pair: Judgement, answers: list[Answer]) -> Judgement:
        principles = self.principles(pair)
        if not principles:
            raise ParseError("no principle of the constitution reaches this prompt")
        each = self.fallback_samples or 1
        votes: list[Vote] = []
        for index, (principle, order) in enumerate((p, o) for p in principles for o in ORDERS):
            votes.append(self._vote(principle.id, order, answers[index * each : (index + 1) * each]))
        return replace(pair, votes=tuple(votes))

    def _vote(self, principle_id: str, order: Order, answers: list[Answer]) -> Vote:
        first, second, mass = _sampled(answers) if self.fallback_samples else _scored(answers[0])
        a, b = (first, second) if order == "ab" else (second, first)
        return Vote(principle_id, order, 0, a, b, mass)


def _scored(answer: Answer) -> tuple[float, float, float]:
    match answer:
        case ChoiceScores(logprobs=(first, second)):
            return first, second, answer.mass
        case Failure(reason=reason):
            raise ParseError(reason)
    raise TypeError(f"a choice request was answered with {type(answer).__name__}")


def _sampled(answers: list[Answer]) -> tuple[float, float, float]:
    counts = dict.fromkeys(LABELS, 0)
    for answer in answers:
        if isinstance(answer, Failure):
            raise ParseError(answer.reason)
        assert isinstance(answer, Completion)
        if label := read_verdict(answer.text):
            counts[label] += 1
    first, second = (counts[label] for label in LABELS)
    total = first + second
    share = (first + 1) / (total + 2)
    return math.log(share), math.log1p(-share), total / len(answers)


def read_verdict(text: str) -> str | None:
    """The label that a sampled text begins with, after the asked-for beginning if it repeats that; None if unclear.

    A label is in brackets, or stands alone on its line or before punctuation: "A better choice" is none, and neither
    is one that is joined to the other label ("A, B", "(A) and (B)").
    """
    found = _VERDICT.match(text)
    if not found:
        return None
    joined = _JOINED.match(text, found.end())
    return None if joined and joined[1] != found[1] else found[1]
