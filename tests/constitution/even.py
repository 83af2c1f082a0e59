"""A constitution with the weights taken out: each of its principles is drawn as often as any other."""

from __future__ import annotations

from dataclasses import replace

from cai.constitution import Constitution


def evenly_weighted(constitution: Constitution) -> Constitution:
    """The same with every weight 1."""
    return replace(constitution, principles=tuple(replace(one, weight=1.0) for one in constitution.principles))
