"""What a row says of itself beside its texts: kind, split, who ranked it, weight, where its prompt is from, tags."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

from cai.imports.cells import Cells, number
from cai.prompts.files import Row
from cai.prompts.shapes import UnusableRow

Ranker = Literal["ai", "human"]
_INNER = ("extra_info", "metadata", "prompt")


def labelled(row: Row) -> Row:
    """The row with its `kind` and `split` at the top, wherever its format keeps them."""
    cells = row.value
    missing = [key for key in ("kind", "split") if cells.get(key) is None]
    inner = {key: one for key in missing if (one := _said(cells, key)) is not None}
    return replace(row, value={**cells, **inner}) if inner else row


def ranker_of(cells: Cells, default: Ranker) -> Ranker:
    """Who ranked the pair: as the row's `source` says, where it says "ai" or "human"."""
    said = cells.get("source")
    if said is None:
        said = _inside(cells, "metadata", "source")
    return said if said in ("ai", "human") else default


def prompt_source(cells: Cells) -> str:
    """The name of the prompt's source, or the empty string where the row has none.

    A `source` of "ai" or "human" beside a ranking says who ranked it, and so nothing of the prompt.
    """
    own = [cells.get("prompt_source"), _inside(cells, "metadata", "prompt_source"), _inside(cells, "prompt", "source")]
    shared = [_inside(cells, "extra_info", "source"), _inside(cells, "metadata", "source"), cells.get("source")]
    found = [*own, *(one for one in shared if one not in ("ai", "human"))]
    return next((one for one in found if isinstance(one, str) and one), "")


def weight_of(cells: Cells) -> float:
    """The weight of a pair, 1 where there is none; raises `UnusableRow` for one that is no finite number from 0 up.

    Annotated pairs have it as `label_weight`, for `weight` is a column of their viewer's own.
    """
    value = _said(cells, "weight")
    value = _inside(cells, "metadata", "label_weight") if value is None else value
    weight = 1.0 if value in (None, "") else number(value)
    if weight is None or not 0.0 <= weight < math.inf:
        raise UnusableRow("'weight' is not a finite number from 0 up")
    return weight


def tags_of(cells: Cells) -> tuple[str, ...]:
    """The tags of the prompt: a list, or a text with one a line, as `native` is exported."""
    tags = cells.get("tags", _inside(cells, "prompt", "tags"))
    tags = tags.split("\n") if isinstance(tags, str) else tags
    return tuple(one for one in tags if isinstance(one, str) and one) if isinstance(tags, list) else ()


def _said(cells: Cells, key: str) -> Any:
    if cells.get(key) is not None:
        return cells[key]
    return next((one for name in _INNER if (one := _inside(cells, name, key)) is not None), None)


def _inside(cells: Cells, name: str, key: str) -> Any:
    """What an object in a column holds under `key`; a column without it does not count as read."""
    inner = dict.get(cells, name)
    return cells[name][key] if isinstance(inner, dict) and key in inner else None
