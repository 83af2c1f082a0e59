"""Where a reward model agrees with its labels and where it does not: by margin, kind of prompt, length, source."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from cai.evaluation.scored import Scored
from cai.intervals import wilson
from cai.records import KINDS, Json

LABEL_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of |p − 1/2|; the last bin holds hard labels."""
MODEL_EDGES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, math.inf)
"""Of |d| in log-odds: at 1 the model gives its side 73 %, at 4 98 %."""
LENGTH_EDGES = (1.0, 1.25, 2.0, math.inf)
"""Of the longer answer's length over the shorter one's, in characters."""
SOURCES = ("human", "ai")


class _Bin(NamedTuple):
    """A named bin, what tells which pairs it holds, and its ends where it has any."""

    name: str
    holds: Callable[[Scored], bool]
    ends: Json


def breakdowns(rows: Sequence[Scored]) -> Json:
    """``{by: [{name, …, pairs, ties, accuracy}, …]}`` for label_margin, model_margin, kind, length and source.

    Bins hold their lower end and not their upper one, but for the last; those without pairs are left out. `pairs` are
    all of a bin; `accuracy` is that of those whose label prefers a side (`ties` prefer none). `length` goes by the
    preferred answer, so that ties are in no bin of it.
    """
    by = {
        "label_margin": _between("|p - 1/2|", LABEL_EDGES, lambda one: abs(one.preference.p_a - 0.5)),
        "model_margin": _between("|d|", MODEL_EDGES, lambda one: abs(one.margin)),
        "kind": [_Bin(kind, lambda one, kind=kind: one.preference.prompt.kind == kind, {}) for kind in KINDS],  # type: ignore[misc]
        "length": _by_length(),
        "source": [_Bin(name, lambda one, name=name: one.preference.source == name, {}) for name in SOURCES],  # type: ignore[misc]
    }
    return {name: [found for one in bins if (found := _figures(one, rows))] for name, bins in by.items()}


def _figures(into: _Bin, rows: Sequence[Scored]) -> Json | None:
    inside = [one for one in rows if into.holds(one)]
    if not inside:
        return None
    right = [one.right for one in inside if one.right is not None]
    accuracy = wilson(sum(right), len(right)).to_json()
    return {
        "name": into.name, **into.ends, "pairs": len(inside), "ties": len(inside) - len(right), "accuracy": accuracy,
    }  # fmt: skip


def _between(what: str, edges: Sequence[float], value: Callable[[Scored], float]) -> list[_Bin]:
    def bin_of(low: float, high: float) -> _Bin:
        last = high == edges[-1]
        name = f"{what} {low:g} to {high:g}" if math.isfinite(high) else f"{what} {low:g} or more"

        def holds(one: Scored) -> bool:
            found = round(value(one), 9)
            return low <= found < high or (last and found == high)

        return _Bin(name, holds, {"from": low, "to": high if math.isfinite(high) else None})

    return [bin_of(low, high) for low, high in pairwise(edges)]


def _by_length() -> list[_Bin]:
    """From the preferred answer much the longer to much the shorter."""
    ranges = list(pairwise(LENGTH_EDGES))
    bins = [_length_bin("longer", low, high) for low, high in reversed(ranges)]
    bins.append(_Bin("both of one length", lambda one: one.right is not None and one.longer == 0, {"side": "equal"}))
    return bins + [_length_bin("shorter", low, high) for low, high in ranges]


def _length_bin(side: str, low: float, high: float) -> _Bin:
    sign = 1 if side == "longer" else -1
    much = f"{low:g}x or more" if math.isinf(high) else f"less than {high:g}x" if low == 1 else f"{low:g}x to {high:g}x"

    def holds(one: Scored) -> bool:
        lead = one.longer if one.preference.p_a > 0.5 else -one.longer
        return one.right is not None and lead * sign > 0 and low <= _ratio(one) < high

    return _Bin(
        f"preferred {side}, {much}", holds, {"side": side, "from": low, "to": high if math.isfinite(high) else None}
    )


def _ratio(one: Scored) -> float:
    lengths = sorted((len(one.preference.response_a), len(one.preference.response_b)))
    return min(lengths[1] / max(lengths[0], 1), 1e9)
