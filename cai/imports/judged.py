"""Answers that were judged one by one, joined to pairs: a good and a bad one to the same prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from cai.human_preferences.shapes import Ranked
from cai.imports.answers import Answers
from cai.imports.cells import Cells
from cai.imports.pairs import p_chosen, share
from cai.prompts.files import Row
from cai.prompts.shapes import UnusableRow
from cai.prompts.spec import PromptFile

PARTNERS = 8


def join_judged(answers: Answers, reject: Callable[[Row, object], None]) -> Iterator[tuple[Row, PromptFile, Ranked]]:
    """Every good answer with the bad ones to its prompt, at most `PARTNERS` for each answer of the larger side.

    Rows that were made of a pair (`label_from`) are joined to that pair again. An answer without a partner is rejected.
    """
    for good, bad in answers.by_prompt():
        of_pair = answers.numbered((good or bad)[0]).pair is not None
        paired = (min if of_pair or not good or not bad else max)(len(good), len(bad))
        for number in (*good[paired:], *bad[paired:]):
            row, _, one = answers.numbered(number)
            missing = "bad" if one.good else "good"
            reject(row, f"no answer that was called {missing} to the same prompt, so no pair")
        for pair in zip(good, bad, strict=False) if of_pair else _crossed(good, bad):
            (row, spec, better), (other, _, worse) = map(answers.numbered, pair)
            try:
                yield row, spec, Ranked(better.messages, better.answer, worse.answer, _p_better(row.value, other.value))
            except UnusableRow as reason:
                reject(row, reason)


def _crossed(good: Sequence[int], bad: Sequence[int]) -> Iterator[tuple[int, int]]:
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
