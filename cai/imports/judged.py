"""Answers that were judged one by one, joined to pairs: a good and a bad one to the same prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from cai.human_preferences.shapes import Ranked
from cai.imports.cells import Cells
from cai.imports.pairs import Judged, p_chosen, share
from cai.prompts.files import Row
from cai.prompts.shapes import UnusableRow
from cai.prompts.spec import PromptFile

Item = tuple[Row, PromptFile, Judged]
PARTNERS = 8


def join_judged(
    items: Sequence[Item], reject: Callable[[Row, object], None]
) -> Iterator[tuple[Row, PromptFile, Ranked]]:
    """Every good answer with the bad ones to its prompt, at most `PARTNERS` for each answer of the larger side.

    Rows that were made of a pair (`label_from`) are joined to that pair again. An answer without a partner is rejected.
    """
    groups: dict[object, list[Item]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    for group in groups.values():
        good = [item for item in group if item[2].good]
        bad = [item for item in group if not item[2].good]
        joined = list(zip(good, bad, strict=False) if _of_pair(group[0]) else _crossed(good, bad))
        paired = len(joined) if _of_pair(group[0]) or not joined else len(group)
        for row, _, one in (*good[paired:], *bad[paired:]):
            missing = "bad" if one.good else "good"
            reject(row, f"no answer that was called {missing} to the same prompt, so no pair")
        for (row, spec, better), (other, _, worse) in joined:
            try:
                yield row, spec, Ranked(better.messages, better.answer, worse.answer, _p_better(row.value, other.value))
            except UnusableRow as reason:
                reject(row, reason)


def _crossed(good: Sequence[Item], bad: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Every pair where a side has up to `PARTNERS` answers, else a round robin in which every answer has a part."""
    if min(len(good), len(bad)) <= PARTNERS:
        yield from product(good, bad)
        return
    for at in range(max(len(good), len(bad))):
        for step in range(PARTNERS):
            yield (good[at], bad[(at + step) % len(bad)]) if len(good) >= len(bad) else (
                good[(at + step) % len(good)], bad[at])  # fmt: skip


def _p_better(good: Cells, bad: Cells) -> float:
    """The probability that the good answer is the wanted one, given that one of the two is, by their `p_desirable`."""
    if good.get("p_chosen") not in (None, "") or good.get("label_from") == "pair":
        return p_chosen(good)
    p, q = (share(one, "p_desirable") if one.get("p_desirable") not in (None, "") else None for one in (good, bad))
    if p is None or q is None:
        return p_chosen(good)
    wanted, other = p * (1.0 - q), q * (1.0 - p)
    return wanted / (wanted + other) if wanted + other else 0.5


def _group(item: Item) -> object:
    row, _, judged = item
    return judged.messages, row.value["id"] if _of_pair(item) else None


def _of_pair(item: Item) -> bool:
    cells = item[0].value
    return cells.get("label_from") == "pair" and isinstance(cells.get("id"), str)
