"""Datasets for other trainers: a format makes rows from records of a run and knows nothing of files.

A format is one `Export` in the module of its consumer, and one line of the table here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal

from cai.errors import ConfigError
from cai.recipe import Recipe
from cai.records import Json, Prompt
from cai.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa

EXPORTS = Registry(
    "export format",
    {
        "sft": "cai.exports.trl:SFT",
        "prompt_completion": "cai.exports.trl:PROMPT_COMPLETION",
        "preference": "cai.exports.trl:PREFERENCE",
        "preference_implicit": "cai.exports.trl:IMPLICIT_PREFERENCE",
        "unpaired_preference": "cai.exports.trl:UNPAIRED_PREFERENCE",
        "prompts": "cai.exports.trl:PROMPTS",
        "openrlhf_preference": "cai.exports.openrlhf:PREFERENCE",
        "openrlhf_sft": "cai.exports.openrlhf:SFT",
        "openrlhf_prompts": "cai.exports.openrlhf:PROMPTS",
        "verl_rl": "cai.exports.verl:RL",
        "verl_sft": "cai.exports.verl:SFT",
        "nemo_rl_preference": "cai.exports.nemo_rl:PREFERENCE",
        "nemo_rl_binary": "cai.exports.nemo_rl:BINARY",
        "llamafactory_sharegpt": "cai.exports.llamafactory:SHAREGPT",
        "llamafactory_alpaca": "cai.exports.llamafactory:ALPACA",
        "llamafactory_kto": "cai.exports.llamafactory:KTO",
        "llamafactory_sft": "cai.exports.llamafactory:SFT",
        "axolotl_preference": "cai.exports.axolotl:PREFERENCE",
        "axolotl_kto": "cai.exports.axolotl:KTO",
        "axolotl_reward": "cai.exports.axolotl:REWARD",
        "axolotl_sft": "cai.exports.axolotl:SFT",
        "hh": "cai.exports.hh:TRANSCRIPTS",
        "ultrafeedback": "cai.exports.ultrafeedback:BINARIZED",
        "annotated_pairs": "cai.exports.annotated_pairs:ANNOTATED_PAIRS",
        "native": "cai.exports.native:NATIVE",
    },
)

Row = dict[str, Any]
Source = Literal["demonstrations", "pairs", "answers", "comparisons", "prompts"]
FileType = Literal["jsonl", "parquet", "json"]
Labels = Literal["argmax", "threshold", "bernoulli", "duplicate"]
LABELS: tuple[Labels, ...] = ("argmax", "threshold", "bernoulli", "duplicate")
Reason = Literal[
    "ties", "under_threshold", "identical_answers", "no_revision", "repeated_revision", "helpful", "abstained",
    "beyond_mix", "near_duplicate", "contaminated", "several_turns", "system_turn", "not_alternating",
    "turn_marker_in_text", "not_utf8",
    "near_duplicate_of_test",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Stands in a stream of rows for one that was not made, so that it is counted; `id` and `split` say whose it is."""

    reason: Reason
    id: str = field(default="", compare=False)
    split: str = field(default="", compare=False)

    def of(self, id: str, split: str) -> LeftOut:
        """The same of the row that has this id and split."""
        return LeftOut(self.reason, id, split)


@dataclass(frozen=True, slots=True)
class Carries:
    """Which dialogues a format can hold: of several turns, with a system turn first, with turns in any order.

    Without `any_order` the turns after the system's alternate and begin and end with the user's.
    """

    turns: bool = True
    system: bool = True
    any_order: bool = True

    def why_not(self, prompt: Prompt) -> LeftOut | None:
        """Why a prompt has no place in the format; None if it has one."""
        messages = prompt.messages
        if self.any_order or len(messages) == 1:
            return None
        if messages[0].role == "system":
            if not self.system or not messages[0].content:  # an empty text is how a `system` column says "none"
                return LeftOut("system_turn")
            messages = messages[1:]
        if any(one.role != ("assistant" if at % 2 else "user") for at, one in enumerate(messages)):
            return LeftOut("not_alternating")
        return None if self.turns or len(messages) == 1 else LeftOut("several_turns")


EVERY_DIALOGUE = Carries()
ALTERNATING = Carries(any_order=False)
CANNOT_CARRY: tuple[Reason, ...] = ("several_turns", "system_turn", "not_alternating")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is made of the records before any format; the same for all formats of one export.

    `labels` turns a soft label into pairs, see `cai.exports.pairs`: `threshold` is the least |p − ½| that is kept, in
    probability, and `copies` the rows that each preference becomes. `margin` adds a column for reward trainers that
    read one. `rounds` and `helpful` say which demonstrations there are, as in a recipe's `sft`. `principles` are texts
    by id and `provenance` what is written into every native row.
    """

    labels: Labels = "argmax"
    threshold: float = 0.1
    copies: int = 10
    margin: bool = False
    seed: int = 0
    rounds: Literal["all", "last", "first"] = "all"
    helpful: bool = True
    principles: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Export:
    """One consumer's format: how an item of its `source` (`cai.exports.items`) becomes a row.

    `row` gives the consumer's own `columns`; those that say where a row comes from (`items.COLUMNS`) follow them. A row
    has the same columns every time, none of them null, and a `split`. `margin`: the consumer reads a margin.
    `beside` gives the files that the consumer wants beside the data, from the names of the folder and of the data
    files; `document` opens the one file of a format that is no list of rows. `usage` is what the consumer is told to
    read the format: its own options, with FOLDER for where the format lies and `data` for what `datasets` loads there.
    """

    consumer: str
    source: Source
    row: Callable[[Any], Row | LeftOut]
    columns: Mapping[str, str]
    carries: Carries = EVERY_DIALOGUE
    files: tuple[FileType, ...] = ("jsonl", "parquet")
    margin: bool = False
    usage: str = ""
    beside: Callable[[str, Sequence[str]], dict[str, Json]] | None = None
    document: Callable[[IO[bytes], ExportOptions], Any] | None = None
    options: ExportOptions = field(default_factory=ExportOptions)

    @property
    def with_margin(self) -> bool:
        """Whether its rows have a margin: it was asked for and the consumer reads one."""
        return self.margin and self.options.margin

    def rows(self, records: Iterable[Any]) -> Iterator[Row | LeftOut]:
        """Rows in the order of the records of a stage, one record at a time."""
        from cai.exports.items import items_of

        for record in records:
            for item in items_of(self.source, record, self.options):
                yield self.row_of(item)

    def row_of(self, item: Any) -> Row | LeftOut:
        """One item's row with all its columns, or why it has none."""
        row = self.own_columns(item)
        if isinstance(row, dict):
            row.update(item.columns)
        return row

    def own_columns(self, item: Any) -> Row | LeftOut:
        """A row without the columns that all formats of the source share and that stand at its end."""
        if isinstance(item, LeftOut):
            return item
        if not self.carries.any_order and (why := self.carries.why_not(item.prompt)):
            return why
        row = self.row(item)
        if self.margin and self.options.margin and isinstance(row, dict):
            row["margin"] = item.margin
        return row

    def schema(self) -> pa.Schema:
        """The Arrow schema of a row, column by column in its order."""
        from cai.exports.columns import arrow_schema
        from cai.exports.items import COLUMNS

        margin = {"margin": "float"} if self.with_margin else {}
        return arrow_schema({**self.columns, **margin, **COLUMNS[self.source]})


def check_format(name: str) -> str:
    """`name` itself, if it is a format; else raises `ConfigError` with those that the words of it point to.

    Whoever asks for "dpo" or "trl-kto" means the formats whose reader is called so.
    """
    if name in EXPORTS:
        return name
    asked = set(re.findall("[a-z]+", name.lower()))
    readers = {one: {*re.findall("[a-z]+", EXPORTS.load(one).consumer.lower())} for one in EXPORTS if asked}
    meant = [one for one, words in readers.items() if asked <= words]
    if meant:
        nearest = ", ".join(meant[:-1]) + (" or " if meant[1:] else "") + meant[-1]
        raise ConfigError(f"no export format is named '{name}'; did you mean {nearest}? (cai export --list names all)")
    return EXPORTS.check(name)


def load_export(name: str, recipe: Recipe | None = None, options: ExportOptions | None = None) -> Export:
    """The export of that name with the recipe's settings; raises `ConfigError` for a name that is not known."""
    export: Export = EXPORTS.load(name)
    sft = (recipe or Recipe()).sft
    options = options or ExportOptions(seed=(recipe or Recipe()).seed)
    return replace(export, options=replace(options, rounds=sft.rounds, helpful=sft.helpful))
