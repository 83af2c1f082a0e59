"""Files in the shape of RewardBench: a prompt, its right answers, its wrong ones, and the subset it belongs to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from cai.errors import InputError
from cai.prompts.files import Row, read_rows
from cai.prompts.mistakes import Mistakes
from cai.prompts.shapes import check_messages, find_column, kind_of, read_cell
from cai.prompts.spec import PromptFile, parse_spec
from cai.records import KINDS, Kind, Message, Messages, Preference, Prompt

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"should[-_ ]respond", "lookalike"),
    (r"should[-_ ]refuse|refusals?|do[-_ ]?not[-_ ]?answer", "red_team"),
)
"""Subsets of RewardBench whose names say of what kind their prompts are; the others count as helpful."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """A prompt with its right (`chosen`) and wrong (`rejected`) answers, at least one of each; `id` as in the file."""

    messages: Messages
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    subset: str
    id: str
    kind: Kind = "helpful"

    @property
    def preference(self) -> Preference | None:
        """The row as a pair, if it has one answer of each sort."""
        if len(self.chosen) > 1 or len(self.rejected) > 1:
            return None
        prompt = Prompt.make(self.messages, self.kind, self.subset)
        return Preference(prompt, self.chosen[0], self.rejected[0], 1.0, source="human")


@dataclass(slots=True)
class Benchmark:
    """The rows of a file, and how many were left out for what reason, with the place of the first of each."""

    rows: list[BenchmarkRow] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)


def is_benchmark(file: str) -> bool:
    """Whether the first row that can be read has a `subset` beside hard-labelled texts, or lists of texts."""
    row = next(read_rows(parse_spec(file), told=lambda error: None), None)
    cells = row.value if row else None
    if not isinstance(cells, dict) or not {"prompt", "chosen", "rejected"} <= cells.keys() or "p_chosen" in cells:
        return False
    sides = [cells["chosen"], cells["rejected"]]
    return any(map(_is_texts, sides)) or ("subset" in cells and all(isinstance(one, str) for one in sides))


def read_benchmark(file: str) -> Benchmark:
    """Read RewardBench rows (`prompt`, `chosen`, `rejected`, `subset`, `id`), JSONL, JSON or Parquet.

    The answers are a text each, or in the second version's shape lists of texts, which must be as many as `num_correct`
    and `total_completions` say where these are there. Repeated rows stay: the benchmark counts them. A row is left out,
    and counted, where a right answer is also a wrong one. Raises `InputError` at the place of a row that is of neither
    shape, `SeveralErrors` for several, and `InputError` for a file without rows. An empty answer stays as well.
    """
    spec, found = parse_spec(file), Benchmark()
    mistakes = Mistakes(spec.path)
    for row in mistakes.rows(spec):
        try:
            one = _row(row, spec)
        except InputError as error:
            mistakes.add(error)
            continue
        if set(one.chosen) & set(one.rejected):
            found.skipped["both answers are the same text"] += 1
            found.first.setdefault("both answers are the same text", row.place)
        else:
            found.rows.append(one)
    mistakes.check()
    if not found.rows:
        raise InputError("holds no rows" + (": every one was left out" if found.skipped else ""), spec.path)
    return found


def _row(row: Row, spec: PromptFile) -> BenchmarkRow:
    cells = row.value
    if not isinstance(cells, dict):
        raise row.error("expected an object with prompt, chosen, rejected and subset")
    messages = read_cell(row, cells[find_column(row, cells, ("prompt",))], "prompt").messages
    chosen, rejected = (_answers(row, cells, name) for name in ("chosen", "rejected"))
    if not messages or messages[-1].role != "user":
        raise row.error("the prompt must end with a user turn")
    check_messages(row, (*messages, *(Message("assistant", text) for text in (*chosen, *rejected) if text.strip())))
    _check_counts(row, cells, chosen, rejected)
    subset = cells.get("subset")
    subset = subset.strip() if isinstance(subset, str) and subset.strip() else "(none)"
    return BenchmarkRow(messages, chosen, rejected, subset, str(cells.get("id", "")), _kind(cells, spec, subset))


def _answers(row: Row, cells: dict[str, Any], name: str) -> tuple[str, ...]:
    cell = cells[find_column(row, cells, (name,))]
    if isinstance(cell, str):
        return (cell,)
    if not _is_texts(cell):
        raise row.error(f"'{name}' holds {_found(cell)}, expected a text or a list of texts")
    return tuple(cell)


def _found(cell: Any) -> str:
    """What a cell holds that is neither a text nor a list of texts."""
    if not isinstance(cell, list):
        return kind_of(cell)
    other = next((one for one in cell if not isinstance(one, str)), "")
    return f"a list with {kind_of(other)} in it" if cell else "an empty list"


def _is_texts(cell: Any) -> bool:
    return isinstance(cell, list) and bool(cell) and all(isinstance(one, str) for one in cell)


def _check_counts(row: Row, cells: dict[str, Any], chosen: tuple[str, ...], rejected: tuple[str, ...]) -> None:
    there = {
        "num_correct": len(chosen), "num_incorrect": len(rejected), "num_rejected": len(rejected),
        "total_completions": len(chosen) + len(rejected),
    }  # fmt: skip
    for name, count in there.items():
        if cells.get(name) is not None and cells[name] != count:
            raise row.error(f"{name} is {cells[name]!r}, but the row holds {count}")


def _kind(cells: dict[str, Any], spec: PromptFile, subset: str) -> Kind:
    given = spec.kind or cells.get("kind")
    if given in KINDS:
        return cast("Kind", given)
    return next((kind for pattern, kind in _KINDS if re.search(pattern, subset, re.IGNORECASE)), "helpful")
