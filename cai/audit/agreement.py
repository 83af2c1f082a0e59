"""Agreement between principles: Cohen's κ of their verdicts on the pairs that both judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

from cai.records import Json

Table = Counter[tuple[bool, bool]]


def kappa(table: Mapping[tuple[bool, bool], int]) -> float | None:
    """κ of two raters from the counts of (first says a, second says a); None where chance alone would always agree."""
    n = sum(table.values())
    if not n:
        return None
    agreed = (table.get((True, True), 0) + table.get((False, False), 0)) / n
    first = (table.get((True, True), 0) + table.get((True, False), 0)) / n
    second = (table.get((True, True), 0) + table.get((False, True), 0)) / n
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def principle_agreement(verdicts: Iterable[Mapping[str, bool]]) -> list[Json]:
    """``[{first, second, kappa, n}, …]`` from what each principle said of each pair: True for a."""
    tables: dict[tuple[str, str], Table] = {}
    for one in verdicts:
        for first, second in combinations(sorted(one), 2):
            tables.setdefault((first, second), Counter())[one[first], one[second]] += 1
    return [
        {"first": first, "second": second, "kappa": kappa(table), "n": table.total()}
        for (first, second), table in sorted(tables.items())
    ]
