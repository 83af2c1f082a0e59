"""TRL's conversational language-modelling format: ``messages`` that end with the answer to learn (paper §3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from cai.exports import LeftOut, Row, Source
from cai.exports.columns import arrow_schema, turns
from cai.recipe import Recipe
from cai.records import Draft, assistant

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SFTExport:
    """Revisions of all rounds or of the last; a harmless prompt that was not revised gives its own first answer.

    `id` is the prompt's; `round` counts from 1 and is 0 for a first answer, whose `principle_id` is empty.
    """

    rounds: Literal["all", "last"] = "all"
    helpful: bool = True
    source: ClassVar[Source] = "revise"

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> SFTExport:
        return cls(recipe.sft.rounds, recipe.sft.helpful)

    def rows(self, records: Iterable[Draft]) -> Iterator[Row | LeftOut]:
        for draft in records:
            yield from self._rows(draft)

    def _rows(self, draft: Draft) -> Iterator[Row | LeftOut]:
        texts = [
            (n, one.principle_id, one.revision) for n, one in enumerate(draft.rounds, 1) if one.revision is not None
        ]
        if not texts and draft.prompt.kind != "red_team":
            yield _row(draft, draft.response, 0, "") if self.helpful else LeftOut("helpful")
            return
        if not texts:
            yield LeftOut("no_revision")
        seen: set[str] = set()
        for number, principle_id, text in texts if self.rounds == "all" else texts[-1:]:
            yield LeftOut("repeated_revision") if text in seen else _row(draft, text, number, principle_id)
            seen.add(text)

    def schema(self) -> pa.Schema:
        return arrow_schema(
            messages="turns", id="text", kind="text", source="text", split="text", round="int", principle_id="text"
        )


def _row(draft: Draft, text: str, number: int, principle_id: str) -> Row:
    prompt = draft.prompt
    return {
        "messages": turns((*prompt.messages, assistant(text))),
        "id": prompt.id,
        "kind": prompt.kind,
        "source": prompt.source,
        "split": prompt.split,
        "round": number,
        "principle_id": principle_id,
    }
