"""Agreement between principles: Cohen's κ of their verdicts on the pairs that both judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

from cai.intervals import Estimate, normal_quantile
from cai.records import Json

Table = Counter[tuple[bool, bool]]


def kappa(table: Mapping[tuple[bool, bool], int]) -> Estimate:
    """κ of two raters from the counts of (first says a, second says a), with Cohen's (1960) 95 % interval.

    The value is NaN where nothing was judged, or where chance alone would always agree.
    """
    n = sum(table.values())
    agreed = table.get((True, True), 0) + table.get((False, False), 0)
    first = table.get((True, True), 0) + table.get((True, False), 0)
    second = table.get((True, True), 0) + table.get((False, True), 0)
    chance = (first * second + (n - first) * (n - second)) / n**2 if n else 1.0
    if chance == 1:
        return Estimate(math.nan, math.nan, math.nan, n)
    value, share = (agreed / n - chance) / (1 - chance), agreed / n
    half = normal_quantile(0.95) * math.sqrt(share * (1 - share) / n) / (1 - chance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), n)


def principle_agreement(verdicts: Iterable[Mapping[str, bool]]) -> list[Json]:
    """``[{first, second, value, low, high, n}, …]`` from what each principle said of each pair: True for a."""
    tables: dict[tuple[str, str], Table] = {}
    for one in verdicts:
        for first, second in combinations(sorted(one), 2):
            tables.setdefault((first, second), Counter())[one[first], one[second]] += 1
    return [
        {"first": first, "second": second, **kappa(table).to_json()}
        for (first, second), table in sorted(tables.items())
    ]
