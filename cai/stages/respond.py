"""Respond: the model's first answer to every prompt (paper §3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from cai.draws import draw_seed
from cai.records import Answer, Draft, GenerateRequest, Json, Prompt, Request, Sampling
from cai.stages import whole_text


@dataclass(frozen=True, slots=True)
class Respond:
    """One answer a prompt, of every kind: red-team answers will be revised, helpful ones are kept (paper §3.2)."""

    VERSION: ClassVar[int] = 1
    sampling: Sampling
    seed: int = 0

    def read(self, row: Json) -> Iterable[Prompt]:
        yield Prompt.from_json(row)

    def requests(self, prompt: Prompt) -> list[Request]:
        return [GenerateRequest(prompt.messages, self.sampling, draw_seed(self.seed, prompt.id, "respond"))]

    def parse(self, prompt: Prompt, answers: list[Answer]) -> Draft:
        [answer] = answers
        return Draft(prompt, whole_text(answer))
