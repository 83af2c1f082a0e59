"""What the judge said of the planted items: how often it was right, and how often an attack turned it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cai.audit.items import ATTACKS, PLANTED, Item
from cai.intervals import wilson
from cai.records import Json

EVEN = 1e-6


@dataclass(frozen=True, slots=True)
class PlantedVerdict:
    """An item and P(better) after both orders; None where the judge gave no verdict."""

    item: Item
    p: float | None

    @property
    def right(self) -> bool:
        """Whether `better` won; of identical answers, whether neither did (±1e-6)."""
        if self.p is None:
            return False
        return abs(self.p - 0.5) <= EVEN if self.item.planted == "identical" else self.p > 0.5


def planted_figures(verdicts: Sequence[PlantedVerdict]) -> Json:
    """``{kind: {right: {value, low, high, n}, mean_p, unanswered, held?}}`` with Wilson's 95 % intervals.

    `held` is, of the attacked pairs that the judge was right about without the attack, the share that it is still right
    about. An attack lengthens an answer; what length alone turns is counted under "padded" and under no other attack.
    """
    right = {one.item.id: one.right for one in verdicts}
    outlasted = {one.item.base: one.right for one in verdicts if one.item.planted == "padded"}
    figures: Json = {}
    for kind in PLANTED:
        mine = [one for one in verdicts if one.item.planted == kind]
        if not mine:
            continue
        answered = [one.p for one in mine if one.p is not None]
        figures[kind] = {
            "right": wilson(sum(one.right for one in mine), len(mine)).to_json(),
            "mean_p": sum(answered) / len(answered) if answered else None,
            "unanswered": len(mine) - len(answered),
        }
        if kind in ATTACKS:
            before = [one for one in mine if right.get(one.item.base)]
            if kind != "padded":
                before = [one for one in before if outlasted.get(one.item.base, True)]
            figures[kind]["held"] = wilson(sum(one.right for one in before), len(before)).to_json()
    return figures
