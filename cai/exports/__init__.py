"""Datasets for other trainers: each export builds rows from one stage file and knows nothing of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cai.recipe import Recipe
from cai.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa

EXPORTS = Registry(
    "export format",
    {
        "sft": "cai.exports.sft:SFTExport",
        "preference": "cai.exports.preference:PreferenceExport",
        "preference_implicit": "cai.exports.preference:ImplicitPreferenceExport",
        "prompts": "cai.exports.prompts:PromptExport",
    },
)

Row = dict[str, Any]
Source = Literal["revise", "preferences", "prompts"]
Reason = Literal["ties", "identical_answers", "no_revision", "repeated_revision", "helpful", "not_utf8"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Stands in a stream of rows for one that was not made, so that it is counted."""

    reason: Reason


class Export(Protocol):
    """One consumer's format. A row has the same columns every time, none of them null, and a `split`."""

    source: Source
    """The records it is made from: drafts of "revise", "preferences", or "prompts"."""

    def rows(self, records: Iterable[Any]) -> Iterator[Row | LeftOut]:
        """Rows in the order of the records, one record at a time."""
        ...

    def schema(self) -> pa.Schema:
        """The Arrow schema of a row, column by column in its order."""
        ...


def load_export(name: str, recipe: Recipe | None = None) -> Export:
    """The export of that name with the recipe's settings; raises `ConfigError` for a name that is not known."""
    export: Export = EXPORTS.load(name).from_recipe(recipe or Recipe())
    return export
