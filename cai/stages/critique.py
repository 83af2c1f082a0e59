"""Critique: what is wrong with the latest text under one drawn principle (paper §3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from cai.constitution import Constitution, Principle
from cai.dialogues import RevisionExample, critique_messages
from cai.draws import draw_seed
from cai.errors import ParseError
from cai.records import Answer, Draft, GenerateRequest, Json, Kind, Request, Round, Sampling
from cai.stages import whole_text


@dataclass(frozen=True, slots=True)
class Critique:
    """Draws a principle for this round, with replacement between rounds, and asks for a critique under it.

    Records of other kinds pass through unasked. `round` counts from 1.
    """

    VERSION: ClassVar[int] = 1
    constitution: Constitution
    sampling: Sampling
    round: int = 1
    kinds: tuple[Kind, ...] = ("red_team",)
    examples: tuple[RevisionExample, ...] = ()
    seed: int = 0

    def read(self, row: Json) -> Iterable[Draft]:
        yield Draft.from_json(row)

    def principle(self, draft: Draft) -> Principle | None:
        """The principle of this round, or None when none reaches the prompt."""
        reaching = self.constitution.for_form("critique", draft.prompt)
        if not reaching:
            return None
        return self.constitution.draw(self.seed, draft.id, "critique", self.round, among=reaching)

    def requests(self, draft: Draft) -> list[Request]:
        principle = self.principle(draft) if draft.prompt.kind in self.kinds else None
        if principle is None:
            return []
        messages = critique_messages(draft.prompt.messages, draft.latest, principle.critique, self.examples)
        return [GenerateRequest(messages, self.sampling, draw_seed(self.seed, draft.id, "critique", self.round))]

    def parse(self, draft: Draft, answers: list[Answer]) -> Draft:
        if draft.prompt.kind not in self.kinds:
            return draft
        principle = self.principle(draft)
        if principle is None:
            raise ParseError("no principle of the constitution reaches this prompt")
        [answer] = answers
        return replace(draft, rounds=(*draft.rounds, Round(principle.id, whole_text(answer))))
