"""Rubric: the judge's P(yes) to a principle's yes/no question about one answer, for thresholds and unpaired labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from cai.constitution import Constitution, Principle
from cai.dialogues import YES_NO, YesNo, rubric_messages
from cai.draws import draw_items, draw_seed
from cai.errors import ParseError
from cai.judge_records import Grade, Graded
from cai.records import Answer, Candidates, ChoiceRequest, GenerateRequest, Json, Request, Sampling
from cai.stages.comparisons import Count
from cai.stages.verdicts import VERDICT_TOKENS, sampled_yes_no, scored


@dataclass(frozen=True, slots=True)
class Rubric:
    """Every answer to a prompt by itself, under `principles_per_answer` drawn rubrics or all that reach the prompt.

    Answers of one prompt are graded under the same rubrics. `fallback_samples` is as for `Label`.
    """

    VERSION: ClassVar[int] = 3
    constitution: Constitution
    principles_per_answer: Count = "all"
    fallback_samples: int = 0
    seed: int = 0
    yes_no: YesNo = YES_NO

    def read(self, row: Json) -> Iterable[Graded]:
        candidates = Candidates.from_json(row)
        for response in candidates.responses:
            yield Graded(candidates.prompt, response, ())

    def principles(self, answer: Graded) -> tuple[Principle, ...]:
        """The principles whose rubric is asked, in the order of the grades."""
        reaching = self.constitution.for_form("rubric", answer.prompt)
        if self.principles_per_answer == "all":
            return reaching
        return tuple(draw_items(reaching, self.principles_per_answer, self.seed, answer.prompt.id, "rubric"))

    def requests(self, answer: Graded) -> list[Request]:
        return [request for principle in self.principles(answer) for request in self._ask(answer, principle)]

    def _ask(self, answer: Graded, principle: Principle) -> list[Request]:
        messages = rubric_messages(answer.prompt.messages, answer.response, principle.rubric)
        if not self.fallback_samples:
            return [ChoiceRequest(messages, self.yes_no.choices, self.yes_no.prefix)]
        sampling = Sampling(max_tokens=VERDICT_TOKENS, temperature=1.0)
        seeds = (draw_seed(self.seed, answer.id, f"grade {principle.id}", n) for n in range(self.fallback_samples))
        return [GenerateRequest(messages, sampling, seed, self.yes_no.prefix) for seed in seeds]

    def parse(self, answer: Graded, answers: list[Answer]) -> Graded:
        principles = self.principles(answer)
        if not principles:
            raise ParseError("no principle of the constitution reaches this prompt")
        each = self.fallback_samples or 1
        grades = []
        for index, principle in enumerate(principles):
            mine = answers[index * each : (index + 1) * each]
            read = sampled_yes_no(mine) if self.fallback_samples else scored(mine[0])
            grades.append(Grade(principle.id, read.first, read.second, read.mass, read.counts, read.refused))
        return replace(answer, grades=tuple(grades))
