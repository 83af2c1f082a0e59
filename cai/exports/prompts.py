"""TRL's conversational prompt-only format, which GRPO, RLOO and other online trainers read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cai.exports import LeftOut, Row, Source
from cai.exports.columns import arrow_schema, turns
from cai.recipe import Recipe
from cai.records import Prompt

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PromptExport:
    """`prompt` as a list of messages that ends with the user's."""

    source: ClassVar[Source] = "prompts"

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> PromptExport:
        return cls()

    def rows(self, records: Iterable[Prompt]) -> Iterator[Row | LeftOut]:
        for prompt in records:
            yield {
                "prompt": turns(prompt.messages),
                "id": prompt.id,
                "kind": prompt.kind,
                "source": prompt.source,
                "split": prompt.split,
            }

    def schema(self) -> pa.Schema:
        return arrow_schema(prompt="turns", id="text", kind="text", source="text", split="text")
