"""Reason and ReasonedLabel: the judge thinks aloud before its verdict (paper §4.1, chain of thought).

Two stages on the one loop, because what the second asks depends on what the first was told: `reason` samples
reasonings, `label` then reads the log-probabilities of the verdict right after each of them. So a reasoning is stored,
resumed and replayed like any other answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from cai.constitution import Constitution, Principle
from cai.dialogues import (
    AB,
    LABELS,
    REASONING_PREFIX,
    ComparisonExample,
    Naming,
    TemplateName,
    comparison_messages,
    reasoned_verdict_prefix,
    reasoning_of,
    told_how_to_end,
)  # fmt: skip
from cai.draws import draw_seed
from cai.errors import ParseError
from cai.judge_records import Deliberation, Reasoning
from cai.records import (
    Answer,
    Candidates,
    ChoiceRequest,
    Completion,
    Failure,
    GenerateRequest,
    Json,
    Judgement,
    Order,
    Request,
    Sampling,
)  # fmt: skip
from cai.refusals import refuses_to_judge
from cai.stages.comparisons import ORDERS, Count, in_order, order_drawn, pairs_of, principles_for
from cai.stages.label import vote_of
from cai.stages.stated import plainly, stated_verdict
from cai.stages.verdicts import Read, posterior, scored

REFUSED = "the judge refused"


@dataclass(frozen=True, slots=True)
class Reason:
    """`samples` reasonings for each principle and order of a pair; the pairs and principles are those of `Label`.

    A reasoning is what comes before the verdict that the judge goes on to give. One that is empty, is cut off at
    `max_tokens` before a verdict, or says that it gives none, is kept as None: it abstains. `scores` False is for an
    engine without log-probabilities, whose verdict is what it states: the question then says how to state it.
    """

    VERSION: ClassVar[int] = 3
    constitution: Constitution
    sampling: Sampling
    samples: int = 1
    principles_per_pair: Count = 1
    pairs: Count = 1
    template: TemplateName = "principle_last"
    examples: tuple[ComparisonExample, ...] = ()
    seed: int = 0
    naming: Naming = AB
    scores: bool = True

    def read(self, row: Json) -> Iterable[Deliberation]:
        for pair in pairs_of(Candidates.from_json(row), self.pairs, self.seed):
            yield Deliberation(pair.prompt, pair.response_a, pair.response_b, ())

    def _principles(self, pair: Deliberation) -> tuple[Principle, ...]:
        bare = Judgement(pair.prompt, pair.response_a, pair.response_b, ())
        return principles_for(self.constitution, self.principles_per_pair, bare, self.seed)

    def _asked(self, pair: Deliberation) -> Iterator[tuple[Principle, Order, int]]:
        for principle in self._principles(pair):
            for order in ORDERS:
                for sample in range(self.samples):
                    yield principle, order, sample

    def requests(self, pair: Deliberation) -> list[Request]:
        requests: list[Request] = []
        for principle, order, sample in self._asked(pair):
            first, second = in_order(pair.response_a, pair.response_b, order)
            messages = comparison_messages(
                pair.prompt.messages, first, second, principle.comparison, self.template, self.examples, self.naming
            )
            if not self.scores:
                messages = told_how_to_end(messages, self.template, self.naming)
            drawn = order_drawn(pair.response_a, pair.response_b, order)
            seed = draw_seed(self.seed, pair.id, f"reason {principle.id} {drawn}", sample)
            requests.append(GenerateRequest(messages, self.sampling, seed, REASONING_PREFIX))
        return requests

    def parse(self, pair: Deliberation, answers: list[Answer]) -> Deliberation:
        asked = list(self._asked(pair))
        if not asked:
            raise ParseError("no principle of the constitution reaches this prompt")
        found = []
        for (principle, order, sample), answer in zip(asked, answers, strict=True):
            text, problem = self._read(answer)
            stated = self._stated(answer, order) if text is not None else None
            found.append(Reasoning(principle.id, order, sample, text, stated, problem == REFUSED))
        return replace(pair, reasonings=tuple(found))

    def tally(self, answers: list[Answer]) -> Counter[str]:
        """How many reasonings of one kept pair count for nothing, by reason."""
        return Counter(problem for answer in answers if (problem := self._read(answer)[1]))

    def _read(self, answer: Answer) -> tuple[str | None, str]:
        """The reasoning, None if it is none; and what is wrong with it."""
        if isinstance(answer, Failure):
            raise ParseError(answer.reason)
        assert isinstance(answer, Completion)
        said = reasoning_of(answer.text, self.template)
        if not said or not (self.scores or reasoning_of(plainly(answer.text), self.template)):
            return None, "no reasoning before the verdict"
        verdict = None if self.scores else _verdict(answer)
        alone = said == answer.text.strip() and not verdict
        if alone and refuses_to_judge(said) and not any(name in said for name in self.naming.shown):
            return None, REFUSED
        if alone and answer.finish_reason != "stop":
            return None, "reasoning cut off before a verdict"
        return said, "" if self.scores or verdict else "no clear verdict at the end of a reasoning"

    def _stated(self, answer: Answer, order: Order) -> Literal["a", "b"] | None:
        assert isinstance(answer, Completion)
        label = _verdict(answer)
        if label is None or self.naming.first != LABELS[0]:
            return None
        return "a" if (label == LABELS[0]) == (order == "ab") else "b"


@dataclass(frozen=True, slots=True)
class ReasonedLabel:
    """Votes read after the reasonings of `Reason`, each vote with its rationale.

    `scores` False is for an engine without log-probabilities: nothing more is asked, and the verdict that each
    reasoning went on to state is one counted sample. A reasoning that cannot be used gives a vote without mass.
    """

    VERSION: ClassVar[int] = 3
    constitution: Constitution
    template: TemplateName = "principle_last"
    examples: tuple[ComparisonExample, ...] = ()
    scores: bool = True
    naming: Naming = AB

    def read(self, row: Json) -> Iterable[Deliberation]:
        yield Deliberation.from_json(row)

    def requests(self, pair: Deliberation) -> list[Request]:
        if not self.scores:
            return []
        return [self._ask(pair, one, one.text) for one in pair.reasonings if one.text is not None]

    def _ask(self, pair: Deliberation, reasoning: Reasoning, text: str) -> ChoiceRequest:
        first, second = in_order(pair.response_a, pair.response_b, reasoning.order)
        comparison = self.constitution.by_id(reasoning.principle_id).comparison
        messages = comparison_messages(
            pair.prompt.messages, first, second, comparison, self.template, self.examples, self.naming
        )
        return ChoiceRequest(messages, self.naming.choices, reasoned_verdict_prefix(text, self.template, self.naming))

    def parse(self, pair: Deliberation, answers: list[Answer]) -> Judgement:
        coming = iter(answers)
        votes = []
        for one in pair.reasonings:
            if not self.scores:
                read = _counted(one)
            elif one.text is None:
                read = posterior(0, 0, 1)._replace(counts=None, refused=one.refused)
            else:
                read = scored(next(coming))
            votes.append(vote_of(one.principle_id, one.order, one.sample, read, one.text or ""))
        return Judgement(pair.prompt, pair.response_a, pair.response_b, tuple(votes))


def _verdict(answer: Completion) -> str | None:
    return stated_verdict(answer.text, answer.finish_reason == "stop")


def _counted(one: Reasoning) -> Read:
    """The stated verdict as a count of one, of the first and the second answer as they were shown."""
    first = "a" if one.order == "ab" else "b"
    read = posterior(int(one.stated == first), int(one.stated not in (None, first)), 1)
    return read._replace(refused=one.refused)
