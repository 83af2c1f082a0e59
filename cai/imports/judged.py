"""Answers that were judged one by one, joined to pairs: a good and a bad one to the same prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from cai.human_preferences.shapes import Ranked
from cai.imports.pairs import Judged, p_chosen
from cai.prompts.files import Row
from cai.prompts.shapes import UnusableRow
from cai.prompts.spec import PromptFile

Item = tuple[Row, PromptFile, Judged]


def join_judged(
    items: Sequence[Item], reject: Callable[[Row, object], None]
) -> Iterator[tuple[Row, PromptFile, Ranked]]:
    """Every good answer with every bad one to its prompt, within one `id` where rows have one, in the file's order.

    An answer that finds no partner is rejected. The pair has the label of the good one's row.
    """
    groups: dict[object, list[Item]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    for group in groups.values():
        good = [item for item in group if item[2].good]
        bad = [item for item in group if not item[2].good]
        if not good or not bad:
            missing = "bad" if good else "good"
            for row, _, _ in group:
                reject(row, f"no answer that was called {missing} to the same prompt, so no pair")
        for (row, spec, better), (_, _, worse) in product(good, bad):
            try:
                yield row, spec, Ranked(better.messages, better.answer, worse.answer, p_chosen(row.value))
            except UnusableRow as reason:
                reject(row, reason)


def _group(item: Item) -> object:
    row, _, judged = item
    own = row.value.get("id")
    return judged.messages, own if isinstance(own, str) else None
