"""Self-preference: does a judge take the answers of its own model for the better ones?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cai.intervals import wilson
from cai.records import Json


class Beside(NamedTuple):
    """P(the answer of the judge's own model is better) after both orders, and how much longer it is in characters."""

    p_own: float
    longer: int


def self_preference(pairs: Sequence[Beside]) -> Json:
    """``{preferred, mean_p, longer}``: shares with their intervals; a verdict of one half counts half.

    The interval of `mean_p` is as wide as if every p were 0 or 1: at least as wide as it must be.

    Which answers are in fact the better ones is not known here: the own ones may be, and `longer` says how often they
    are the longer ones.
    """
    n = len(pairs)
    return {
        "preferred": wilson(sum(_lead(one.p_own - 0.5) for one in pairs), n).to_json(),
        "mean_p": wilson(sum(one.p_own for one in pairs), n).to_json(),
        "longer": wilson(sum(_lead(one.longer) for one in pairs), n).to_json(),
    }


def _lead(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)
