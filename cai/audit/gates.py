"""The gates between the labels and the training: each a figure and the bound that it must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cai.audit.items import ATTACKS, Planted
from cai.records import Json

Sense = Literal["at least", "at most"]
FEWEST = 10
"""Pairs that "length" and "attacks" must rest on: of fewer, one verdict more or less decides, so none is measured."""


@dataclass(frozen=True, slots=True)
class Gate:
    """`value` is None where the run holds nothing to measure it on, `bound` where the recipe leaves the gate open.

    In both cases `passed` is None, and that is not a pass.
    """

    name: str
    what: str
    value: float | None
    sense: Sense
    bound: float | None
    n: int

    @property
    def passed(self) -> bool | None:
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound

    def to_json(self) -> Json:
        return {
            "gate": self.name, "what": self.what, "value": self.value, "sense": self.sense, "bound": self.bound,
            "n": self.n, "passed": self.passed,
        }  # fmt: skip


def gates(votes: Json, planted: Json, truth: Json | None, bounds: Mapping[str, float | None]) -> list[Gate]:
    """Every gate, open ones too; keys of `bounds` are the names of the gates.

    `votes` is `VoteFigures.to_json()` with the `kinds` of `LabelFigures`, `planted` what `planted_figures` gives, and
    `truth` what `calibration` gives.
    """
    found = [*_of_votes(votes), *_of_planted(planted), *_of_truth(truth)]
    return [Gate(one.name, one.what, one.value, one.sense, bounds[one.name], one.n) for one in found]


def standing(gates: Sequence[Json]) -> str:
    """``"passed 5 of 12; FAILED: …; open: …; not measured: …"`` of gates as JSON; what there is none of is left out."""
    groups: dict[str, list[str]] = {"FAILED": [], "open": [], "not measured": []}
    for one in gates:
        if one["passed"] is False:
            groups["FAILED"].append(one["gate"])
        elif one["passed"] is None:
            groups["not measured" if one["value"] is None else "open"].append(one["gate"])
    passed = sum(one["passed"] is True for one in gates)
    said = [f"{name}: {', '.join(found)}" for name, found in groups.items() if found]
    return "; ".join([f"passed {passed} of {len(gates)}", *said])


def failings(gates: Sequence[Json]) -> str:
    """``"place is 0.45, at most 0.25 wanted; …"`` of the gates that failed; empty where none did."""
    failed = [one for one in gates if one["passed"] is False]
    return "; ".join(f"{one['gate']} is {one['value']:.3g}, {one['sense']} {one['bound']:g} wanted" for one in failed)


class _Measured(NamedTuple):
    name: str
    what: str
    sense: Sense
    value: float | None
    n: int


def _of_votes(votes: Json) -> Iterator[_Measured]:
    shares = [(one["abstained"] / one["pairs"], one["pairs"]) for one in votes["kinds"].values() if one["pairs"]]
    most, n = max(shares, default=(None, 0))
    yield _Measured("abstained", "pairs without a label, in the kind of prompt that has most", "at most", most, n)
    flips, first = votes["clear_flip_rate"], votes["p_first"]
    what = "clear verdicts that turn with the order"
    yield _Measured("clear_flip_rate", what, "at most", flips["value"], flips["n"])
    lead = None if first["value"] is None else abs(first["value"] - 0.5)
    yield _Measured("place", "lead of the first place over one half", "at most", lead, first["n"])


_NONE: Json = {"value": None, "n": 0}
_PLANTED: dict[str, tuple[Planted, str]] = {
    "tests": ("test", "the constitution's own tests"),
    "identical": ("identical", "identical answers judged even"),
    "noise": ("noise", "answers that beat their own words in disorder"),
    "swapped": ("swapped", "answers that beat another prompt's"),
    "null_answer": ("null", "answers that beat an empty phrase"),
}


def _of_planted(planted: Json) -> Iterator[_Measured]:
    for name, (kind, what) in _PLANTED.items():
        right: Json = planted[kind]["right"] if kind in planted else _NONE
        yield _Measured(name, what, "at least", right["value"], right["n"])
    what = "right verdicts that stand when the worse answer is the longer"
    yield _worst("length", what, [planted[kind]["held"] for kind in planted if kind == "padded"])
    what = "right verdicts that the worst of the other attacks did not turn"
    yield _worst("attacks", what, [planted[kind]["held"] for kind in ATTACKS if kind in planted and kind != "padded"])


def _worst(name: str, what: str, held: Sequence[Json]) -> _Measured:
    """The lowest share of those that rest on `FEWEST` pairs; where none does, no value and the most pairs of any."""
    enough = [one for one in held if one["n"] >= FEWEST]
    if not enough:
        return _Measured(name, what, "at least", None, max((one["n"] for one in held), default=0))
    worst = min(enough, key=lambda one: one["value"])
    return _Measured(name, what, "at least", worst["value"], worst["n"])


def _of_truth(truth: Json | None) -> Iterator[_Measured]:
    accuracy: Json = truth["accuracy"] if truth else _NONE
    yield _Measured("accuracy", "agreement with the truth", "at least", accuracy["value"], accuracy["n"])
    error = truth["ece"] if truth else None
    yield _Measured("ece", "calibration error against the truth", "at most", error, accuracy["n"])
