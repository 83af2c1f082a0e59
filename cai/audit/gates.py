"""The gates between the labels and the training: each a figure and the bound that it must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cai.audit.items import PLAIN, Planted
from cai.records import Json

Sense = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Gate:
    """`value` is None where the run holds nothing to measure it on; `passed` is then None too, and is not a pass."""

    name: str
    what: str
    value: float | None
    sense: Sense
    bound: float
    n: int

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound

    def to_json(self) -> Json:
        return {
            "gate": self.name, "what": self.what, "value": self.value, "sense": self.sense, "bound": self.bound,
            "n": self.n, "passed": self.passed,
        }  # fmt: skip


def gates(label: Json, planted: Json, truth: Json | None, bounds: Mapping[str, float | None]) -> list[Gate]:
    """Every gate whose bound is not None; keys of `bounds` are the names of the gates.

    `label` is `LabelFigures.to_json()`, `planted` what `planted_figures` gives, `truth` what `calibration` gives.
    """
    found = [*_of_votes(label), *_of_planted(planted), *_of_truth(truth)]
    return [
        Gate(one.name, one.what, one.value, one.sense, bound, one.n)
        for one in found
        if (bound := bounds[one.name]) is not None
    ]


class _Measured(NamedTuple):
    name: str
    what: str
    sense: Sense
    value: float | None
    n: int


def _of_votes(label: Json) -> Iterator[_Measured]:
    n, first = label["pairs"], label["p_first"]
    shares = [one["abstained"] / one["pairs"] for one in label["kinds"].values() if one["pairs"]]
    what = "pairs without a label, in the kind of prompt that has most"
    yield _Measured("abstained", what, "at most", max(shares, default=None), n)
    what = "clear verdicts that turn with the order"
    yield _Measured("clear_flip_rate", what, "at most", label["clear_flip_rate"], n)
    what = "lead of the first place over one half"
    yield _Measured("place", what, "at most", None if first is None else abs(first - 0.5), n)


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
    held = [planted[kind]["held"] for kind in PLAIN if kind in planted and planted[kind]["held"]["n"]]
    worst: Json = min(held, key=lambda one: one["value"], default=_NONE)
    what = "right verdicts that the worst of the attacks did not turn"
    yield _Measured("attacks", what, "at least", worst["value"], worst["n"])


def _of_truth(truth: Json | None) -> Iterator[_Measured]:
    accuracy: Json = truth["accuracy"] if truth else _NONE
    yield _Measured("accuracy", "agreement with the truth", "at least", accuracy["value"], accuracy["n"])
    error = truth["ece"] if truth else None
    yield _Measured("ece", "calibration error against the truth", "at most", error, accuracy["n"])
