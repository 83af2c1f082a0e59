"""Agreement between principles: Cohen's κ of their verdicts on the pairs that both judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from cai.intervals import Estimate, ratio, wilson
from cai.records import Json

Table = tuple[int, int, int, int]
"""How many pairs of a prompt were judged (a, a), (a, b), (b, a), (b, b) by the first and the second rater."""


def kappa(tables: Iterable[Table]) -> Estimate:
    """κ of two raters from their verdicts on each prompt; n is the number of pairs.

    The 95 % interval is that of the observed agreement, with agreement by chance taken as it is (Cohen 1960): Wilson's
    where every pair is of a prompt of its own, else over the prompts (`ratio`), so it has a width even where all
    agreed. The value is NaN where nothing was judged, or where chance alone would always agree.
    """
    given = [one for one in tables if sum(one)]
    both_a, only_first, only_second, both_b = (sum(column) for column in zip(*given, strict=True)) if given else [0] * 4
    n = both_a + only_first + only_second + both_b
    first, second = both_a + only_first, both_a + only_second
    chance = (first * second + (n - first) * (n - second)) / n**2 if n else 1.0
    if chance == 1:
        return Estimate(math.nan, math.nan, math.nan, n)
    agreed, sizes = [one[0] + one[3] for one in given], [sum(one) for one in given]
    share = wilson(sum(agreed), n) if max(sizes) == 1 else ratio(agreed, sizes)
    value, low, high = ((one - chance) / (1 - chance) for one in (share.value, share.low, share.high))
    return Estimate(value, max(-1.0, low), high, n)


def principle_agreement(verdicts: Iterable[Sequence[Mapping[str, bool]]]) -> list[Json]:
    """``[{first, second, value, low, high, n}, …]``, from what each principle said of each pair (True for a).

    `verdicts` are those of a prompt's pairs, prompt by prompt: these resemble each other and count as one observation.
    """
    found: dict[tuple[str, str], Counter[Table]] = {}
    for pairs in verdicts:
        tables: dict[tuple[str, str], list[int]] = {}
        for one in pairs:
            for first, second in combinations(sorted(one), 2):
                cells = tables.setdefault((first, second), [0, 0, 0, 0])
                cells[2 * (not one[first]) + (not one[second])] += 1
        for names, (both_a, only_first, only_second, both_b) in tables.items():
            found.setdefault(names, Counter())[both_a, only_first, only_second, both_b] += 1
    return [
        {"first": first, "second": second, **kappa(prompts.elements()).to_json()}
        for (first, second), prompts in sorted(found.items())
    ]
