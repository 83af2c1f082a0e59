"""TRL's conversational preference formats, with the prompt explicit or implicit, and the soft label beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cai.exports import LeftOut, Row, Source
from cai.exports.columns import arrow_schema, turns
from cai.recipe import Recipe
from cai.records import Preference, assistant

if TYPE_CHECKING:
    import pyarrow as pa

_LABELS = {
    "p_chosen": "float", "weight": "float", "id": "text", "kind": "text", "source": "text", "split": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PreferenceExport:
    """`prompt`, `chosen` and `rejected` as lists of messages, and `p_chosen`, 0.5 … 1.

    A tie has no chosen answer, and neither has a pair of equal texts: both are left out and counted.
    """

    source: ClassVar[Source] = "preferences"

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> PreferenceExport:
        return cls()

    def rows(self, records: Iterable[Preference]) -> Iterator[Row | LeftOut]:
        for one in records:
            yield _why_not(one) or {
                "prompt": turns(one.prompt.messages),
                "chosen": turns([assistant(one.chosen)]),
                "rejected": turns([assistant(one.rejected)]),
                **_label(one),
            }

    def schema(self) -> pa.Schema:
        return arrow_schema(prompt="turns", chosen="turns", rejected="turns", **_LABELS)


@dataclass(frozen=True, slots=True)
class ImplicitPreferenceExport:
    """The same with `chosen` and `rejected` as whole dialogues, which share their prompt."""

    source: ClassVar[Source] = "preferences"

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> ImplicitPreferenceExport:
        return cls()

    def rows(self, records: Iterable[Preference]) -> Iterator[Row | LeftOut]:
        for one in records:
            yield _why_not(one) or {
                "chosen": turns((*one.prompt.messages, assistant(one.chosen))),
                "rejected": turns((*one.prompt.messages, assistant(one.rejected))),
                **_label(one),
            }

    def schema(self) -> pa.Schema:
        return arrow_schema(chosen="turns", rejected="turns", **_LABELS)


def _why_not(one: Preference) -> LeftOut | None:
    if one.response_a == one.response_b:
        return LeftOut("identical_answers")
    return LeftOut("ties") if one.p_a == 0.5 else None


def _label(one: Preference) -> Row:
    return {
        "p_chosen": float(one.p_chosen),
        "weight": float(one.weight),
        "id": one.id,
        "kind": one.prompt.kind,
        "source": one.source,
        "split": one.prompt.split,
    }
