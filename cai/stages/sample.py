"""Sample: K answers to a prompt, for comparison (paper §4.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from cai.draws import draw_seed
from cai.errors import ParseError
from cai.records import Answer, Candidates, GenerateRequest, Json, Kind, Prompt, Request, Sampling
from cai.stages import whole_text


@dataclass(frozen=True, slots=True)
class Sample:
    """`num_samples` answers at one temperature; equal answers count once, and at least two must remain."""

    VERSION: ClassVar[int] = 1
    sampling: Sampling
    num_samples: int = 2
    kinds: tuple[Kind, ...] = ("red_team",)
    seed: int = 0

    def read(self, row: Json) -> Iterable[Prompt]:
        prompt = Prompt.from_json(row)
        if prompt.kind in self.kinds:
            yield prompt

    def requests(self, prompt: Prompt) -> list[Request]:
        seeds = (draw_seed(self.seed, prompt.id, "sample", index) for index in range(self.num_samples))
        return [GenerateRequest(prompt.messages, self.sampling, seed) for seed in seeds]

    def parse(self, prompt: Prompt, answers: list[Answer]) -> Candidates:
        texts, problems = self._read(answers)
        distinct = tuple(dict.fromkeys(texts))
        if len(distinct) < 2:
            raise ParseError(problems[-1] if len(texts) < 2 else f"all {len(texts)} answers are the same text")
        return Candidates(prompt, distinct)

    def tally(self, answers: list[Answer]) -> dict[str, int]:
        """What of the answers to one kept prompt is not among its candidates, by reason."""
        texts, problems = self._read(answers)
        return {"equal to another": len(texts) - len(set(texts)), **Counter(problems)}

    def _read(self, answers: list[Answer]) -> tuple[list[str], list[str]]:
        texts: list[str] = []
        problems: list[str] = []
        for answer in answers:
            try:
                texts.append(whole_text(answer))
            except ParseError as error:
                problems.append(str(error))
        return texts, problems
