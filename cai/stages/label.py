"""Label: the judge's votes on pairs of answers, under principles, in both orders (paper §4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from cai.constitution import Constitution, Principle
from cai.dialogues import AB, ComparisonExample, Naming, TemplateName, comparison_messages, verdict_prefix
from cai.draws import draw_seed
from cai.errors import ParseError
from cai.records import (
    Answer,
    Candidates,
    ChoiceRequest,
    GenerateRequest,
    Json,
    Judgement,
    Order,
    Request,
    Sampling,
    Vote,
)  # fmt: skip
from cai.stages.comparisons import ORDERS, Count, in_order, order_drawn, pairs_of, principles_for
from cai.stages.verdicts import VERDICT_TOKENS, Read, read_verdict, sampled_verdicts, scored

__all__ = ["ORDERS", "VERDICT_TOKENS", "Label", "read_verdict", "vote_of"]


@dataclass(frozen=True, slots=True)
class Label:
    """Both orders, always; the log-probabilities of both labels at the answer position, stored as they are.

    `principles_per_pair`: that many drawn without replacement, or every one that reaches the prompt ("all").
    `pairs`: comparisons per prompt along a schedule that is balanced, and connected where they suffice; or "all".
    `fallback_samples` > 0 is for an engine without log-probabilities: that many sampled verdicts an order, read as
    (k + 1)/(n + 2), where n counts those that `read_verdict` can read and `mass` is the share of them.
    """

    VERSION: ClassVar[int] = 5
    constitution: Constitution
    principles_per_pair: Count = 1
    pairs: Count = 1
    template: TemplateName = "principle_last"
    examples: tuple[ComparisonExample, ...] = ()
    fallback_samples: int = 0
    seed: int = 0
    naming: Naming = AB

    def read(self, row: Json) -> Iterable[Judgement]:
        yield from pairs_of(Candidates.from_json(row), self.pairs, self.seed)

    def principles(self, pair: Judgement) -> tuple[Principle, ...]:
        """The principles that this pair is judged under, in the order of the votes."""
        return principles_for(self.constitution, self.principles_per_pair, pair, self.seed)

    def requests(self, pair: Judgement) -> list[Request]:
        return [
            request
            for principle in self.principles(pair)
            for order in ORDERS
            for request in self._ask(pair, principle.comparison, order)
        ]

    def _ask(self, pair: Judgement, comparison: str, order: Order) -> list[Request]:
        first, second = in_order(pair.response_a, pair.response_b, order)
        messages = comparison_messages(
            pair.prompt.messages, first, second, comparison, self.template, self.examples, self.naming
        )
        prefix = verdict_prefix(self.template, self.naming)
        if not self.fallback_samples:
            return [ChoiceRequest(messages, self.naming.choices, prefix)]
        sampling = Sampling(max_tokens=VERDICT_TOKENS, temperature=1.0)
        drawn = order_drawn(pair.response_a, pair.response_b, order)
        seeds = (draw_seed(self.seed, pair.id, f"verdict {drawn}", n) for n in range(self.fallback_samples))
        return [GenerateRequest(messages, sampling, seed, prefix) for seed in seeds]

    def parse(self, pair: Judgement, answers: list[Answer]) -> Judgement:
        principles = self.principles(pair)
        if not principles:
            raise ParseError("no principle of the constitution reaches this prompt")
        each = self.fallback_samples or 1
        votes: list[Vote] = []
        for index, (principle, order) in enumerate((p, o) for p in principles for o in ORDERS):
            mine = answers[index * each : (index + 1) * each]
            read = sampled_verdicts(mine) if self.fallback_samples else scored(mine[0])
            votes.append(vote_of(principle.id, order, 0, read))
        return replace(pair, votes=tuple(votes))


def vote_of(principle_id: str, order: Order, sample: int, read: Read, rationale: str | None = None) -> Vote:
    """What was read of the first and the second shown answer, as a vote on answers a and b."""
    a, b = (read.first, read.second) if order == "ab" else (read.second, read.first)
    counts = read.counts if read.counts is None or order == "ab" else (read.counts[1], read.counts[0])
    return Vote(principle_id, order, sample, a, b, read.mass, rationale, counts, read.refused)
