"""The gates between the labels and the training: each a figure and the bound that it must keep."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from cai.audit.items import ATTACKS, Planted
from cai.bands import ROUNDING
from cai.intervals import wilson
from cai.records import Json

Sense = Literal["at least", "at most"]
FEWEST = 10
"""Pairs that "length" and "attacks" must rest on, prompts for "accuracy" and "ece": of fewer, one more or less decides.

Those gates are then not measured. It is also what `too_little` asks of the figures without which an audit says nothing
of the judge.
"""
CHECKS = ("identical",)
"""Gates that no judge can fail: identical answers ask one question in both orders, so they check the pipeline alone."""


_OPENED = "opened by the recipe"
NEEDED: tuple[Mapping[str, str], ...] = (
    {"tests": "the constitution's tests", "noise": "disorder", "swapped": "another prompt's answers"},
    {"place": "the pull of the first place"},
    {"attacks": "attacks on right verdicts", "null_answer": "the empty phrase"},
)
"""What an audit must hold the judge to: of every group one gate that has a bound, on `FEWEST` pairs or more."""
BOUND_WANTED = "give one gate of each a bound, such as audit.tests=0.7, audit.place=0.3 and audit.attacks=0.8"


@dataclass(frozen=True, slots=True)
class Gate:
    """`value` is None where the run holds nothing to measure it on, `bound` where the recipe leaves the gate open.

    In both cases `passed` is None, and that is not a pass. `low` and `high` end the interval of the value, where it has
    one. `beside` is what judges that read nothing would have reached on the same pairs.
    """

    name: str
    what: str
    value: float | None
    sense: Sense
    bound: float | None
    n: int
    low: float | None = None
    high: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        if self.value is None or self.bound is None:
            return None
        return keeps(self.value, self.sense, self.bound)

    @property
    def within_chance(self) -> bool:
        """Whether the interval of the value holds both what passes and what fails; never so of a check."""
        if self.value is None or self.bound is None or self.name in CHECKS:
            return False
        return spans(self.low, self.high, self.sense, self.bound)

    @property
    def no_better_than(self) -> str | None:
        """The best judge that reads nothing, if the interval of the value reaches below what that one has."""
        best = max(self.beside, key=self.beside.__getitem__, default=None)
        return best if best is not None and self.low is not None and self.low < self.beside[best] else None

    def to_json(self) -> Json:
        return {
            "gate": self.name, "what": self.what, "value": self.value, "sense": self.sense, "bound": self.bound,
            "n": self.n, "passed": self.passed, "low": self.low, "high": self.high, "within_chance": self.within_chance,
            "beside": dict(self.beside), "no_better_than": self.no_better_than,
        }  # fmt: skip


def keeps(value: float, sense: Sense, bound: float) -> bool:
    """Whether the value is at least, or at most, the bound, as far as rounding can tell."""
    return value >= bound - ROUNDING if sense == "at least" else value <= bound + ROUNDING


def spans(low: float | None, high: float | None, sense: Sense, bound: float) -> bool:
    """Whether one end of an interval keeps to the bound and the other does not; False where an end is not known."""
    return low is not None and high is not None and keeps(low, sense, bound) != keeps(high, sense, bound)


def gates(votes: Json, planted: Json, truth: Json | None, bounds: Mapping[str, float | None]) -> list[Gate]:
    """Every gate, open ones too; keys of `bounds` are the names of the gates.

    `votes` is `VoteFigures.to_json()` with the `kinds` of `LabelFigures`, `planted` what `planted_figures` gives, and
    `truth` what `calibration` gives.
    """
    found = [*_of_votes(votes), *_of_planted(planted), *_of_truth(truth)]
    return [
        Gate(one.name, one.what, sense=one.sense, bound=bounds[one.name], **one.of, beside=one.beside) for one in found
    ]


def standing(gates: Sequence[Json]) -> str:
    """``"passed 5 of 11; FAILED: …; opened by the recipe: …; not measured: …"``, what there is none of left out.

    `CHECKS` are no gates of the judge: they are not counted, and named only where one failed.
    """
    counted = [one for one in gates if one["gate"] not in CHECKS]
    failed = [one["gate"] for one in gates if one["passed"] is False]
    groups: dict[str, list[str]] = {"FAILED": failed, _OPENED: [], "not measured": []}
    for one in counted:
        if one["passed"] is None:
            groups[_OPENED if one["bound"] is None else "not measured"].append(one["gate"])
    passed = sum(one["passed"] is True for one in counted)
    said = [f"{name}: {', '.join(found)}" for name, found in groups.items() if found]
    return "; ".join([f"passed {passed} of {len(counted)}", *said])


def failings(gates: Sequence[Json]) -> str:
    """``"place is 0.45, at most 0.25 wanted; …"`` of the gates that failed; empty where none did.

    Where chance alone may have decided, that is said, with the n that the figure rests on.
    """
    return "; ".join(_failing(one) for one in gates if one["passed"] is False)


def _failing(gate: Json) -> str:
    chance = f": within chance, n = {gate['n']}" if gate["within_chance"] else ""
    return f"{gate['gate']} is {gate['value']:.3g}, {gate['sense']} {gate['bound']:g} wanted{chance}"


def too_little(gates: Sequence[Json]) -> str:
    """What of `NEEDED` the gates, as JSON, were not measured on; empty where an audit tells enough of the judge."""
    lacking = "; nor enough of ".join(_lacking(group, gates) for group in _short(gates))
    return f"fewer than {FEWEST} pairs of {lacking}" if lacking else ""


def _short(gates: Sequence[Json]) -> list[list[str]]:
    """Of every group of `NEEDED` without enough pairs, the gates with a bound; all of it where none has any."""
    measured, held = _measured(gates), _held(gates)
    bound = [[name for name in group if name in held] for group in NEEDED]
    return [
        own or list(group) for group, own in zip(NEEDED, bound, strict=True) if not measured.intersection(own or group)
    ]


def _lacking(names: Sequence[str], gates: Sequence[Json]) -> str:
    """What the gates measure; of tests with a bound also how many there are and how many more are needed."""
    what = _said(names)
    if "tests" not in names or "tests" not in _held(gates):
        return what
    asked, more = _tests(gates)
    there = f"{asked} test{' was' if asked == 1 else 's were'} asked, {more} more" if asked else f"no test, {more}"
    return f"{what} ({there} would be enough)"


def _tests(gates: Sequence[Json]) -> tuple[int, int]:
    """How many of the constitution's tests were asked, and how many more a gate on them needs."""
    asked = next(int(one["n"]) for one in gates if one["gate"] == "tests")
    return asked, FEWEST - asked


def make_up(gates: Sequence[Json], more: str) -> str:
    """What to do where there is `too_little`: `more`, or write tests where a group rests on them alone, or both."""
    todo = dict.fromkeys(_more_tests(gates) if group == ["tests"] else more for group in _short(gates))
    return ", and ".join(todo)


def _more_tests(gates: Sequence[Json]) -> str:
    loose = [name for name in NEEDED[0] if name in _measured(gates) - _held(gates)]
    otherwise = f", or give {' or '.join(f'audit.{name}' for name in loose)} a bound" if loose else ""
    asked, more = _tests(gates)
    tests = "test" if more == 1 else "tests"
    return f"write {more} {'more ' if asked else ''}{tests} into the constitution{otherwise}"


def unheld(gates: Sequence[Json]) -> str:
    """What of `NEEDED` was measured but has no bound at all; empty where there is nothing of it."""
    measured, held = _measured(gates), _held(gates)
    loose = [_said(group) for group in NEEDED if measured.intersection(group) and not held.intersection(group)]
    return "; nor on ".join(loose)


def _said(names: Collection[str]) -> str:
    """``"the constitution's tests, disorder or another prompt's answers"``"""
    *first, last = (group[name] for group in NEEDED for name in group if name in names)
    return f"{', '.join(first)} or {last}" if first else last


def _held(gates: Sequence[Json]) -> set[str]:
    """The names of those that have a bound."""
    return {one["gate"] for one in gates if one["bound"] is not None}


def _measured(gates: Sequence[Json]) -> set[str]:
    """The names of those that rest on enough pairs."""
    return {one["gate"] for one in gates if one["value"] is not None and one["n"] >= FEWEST}


def objections(gates: Sequence[Json]) -> str:
    """Why an audit did not pass: gates that failed, what it measured too little of, what it has no bound on.

    Empty if it passed.
    """
    return "; ".join(one for one in (failings(gates), *untold(gates)) if one)


def untold(gates: Sequence[Json]) -> list[str]:
    """What leaves open whether a judge that failed no gate is fit: too little was measured, or without a bound."""
    few, loose = too_little(gates), unheld(gates)
    return [
        *([f"measured too little to tell: {few}"] if few else []),
        *([f"the recipe holds the judge to no bound on {loose}"] if loose else []),
    ]


class _Measured(NamedTuple):
    """`of` is {value, low, high, n}; `beside` what judges that read nothing have of it."""

    name: str
    what: str
    sense: Sense
    of: Json
    beside: Mapping[str, float] = MappingProxyType({})


def _of_votes(votes: Json) -> Iterator[_Measured]:
    counted = [
        (one[part], one[whole])
        for one in votes["kinds"].values()
        for part, whole in (("abstained", "pairs"), ("left_out", "verdicts"))
    ]
    shares = [wilson(part, whole).to_json() for part, whole in counted if whole]
    most = max(shares, key=lambda one: (one["value"], one["n"]), default=_NONE)
    what = "pairs or verdicts that count for nothing, in the kind that has most"
    yield _Measured("abstained", what, "at most", most)
    what = "clear verdicts that turn with the order"
    yield _Measured("clear_flip_rate", what, "at most", votes["clear_flip_rate"])
    yield _Measured("place", "lead of the first place over one half", "at most", _lead(votes["p_first"]))


def _lead(first: Json) -> Json:
    """How far a share lies from one half, to either side, with its interval."""
    if first["value"] is None:
        return first
    low, high = sorted(abs(one - 0.5) for one in (first["low"], first["high"]))
    nearest = 0.0 if first["low"] <= 0.5 <= first["high"] else low
    return {**first, "value": abs(first["value"] - 0.5), "low": nearest, "high": high}


_NONE: Json = {"value": None, "low": None, "high": None, "n": 0}
_PLANTED: dict[str, tuple[Planted, str]] = {
    "tests": ("test", "the constitution's own tests"),
    "identical": ("identical", "identical answers judged even; a check of the pipeline, not of the judge"),
    "noise": ("noise", "answers that beat their own words in disorder"),
    "swapped": ("swapped", "answers that beat another prompt's"),
    "null_answer": ("null", "answers that beat an empty phrase"),
}


def _of_planted(planted: Json) -> Iterator[_Measured]:
    for name, (kind, what) in _PLANTED.items():
        found = planted.get(kind, {"right": _NONE})
        beside = _beside(found) if kind == "test" else {}
        yield _Measured(name, what, "at least", found["right"], beside)
    what = "right verdicts that stand when the worse answer is the longer"
    yield _worst("length", what, [planted[kind]["held"] for kind in planted if kind == "padded"])
    what = "right verdicts that the worst of the other attacks did not turn"
    attacks = [planted[kind] for kind in ATTACKS if kind in planted and kind != "padded"]
    raw = [one for one in attacks if one["held"]["n"] < FEWEST <= one["held_raw"]["n"]]
    if raw:
        what += ", what length alone turns included, for it leaves too few others"
    yield _worst("attacks", what, [one["held_raw" if one in raw else "held"] for one in attacks])


def _worst(name: str, what: str, held: Sequence[Json]) -> _Measured:
    """The lowest share of those that rest on `FEWEST` pairs; where none does, no value and the most pairs of any."""
    enough = [one for one in held if one["n"] >= FEWEST]
    if not enough:
        return _Measured(name, what, "at least", {**_NONE, "n": max((one["n"] for one in held), default=0)})
    return _Measured(name, what, "at least", min(enough, key=lambda one: one["value"]))


def _beside(found: Json) -> dict[str, float]:
    """What the judges that read nothing have; each a share, or an estimate of one."""
    names = {"always_a": "always-A", "always_longer": "always-longer"}
    return {said: _value(found[name]) for name, said in names.items() if name in found}


def _value(share: Json | float) -> float:
    return float(share["value"] if isinstance(share, dict) else share)


def _of_truth(truth: Json | None) -> Iterator[_Measured]:
    accuracy: Json = truth["accuracy"] if truth else _NONE
    error: Json = {**truth["ece_interval"], "value": truth["ece"], "n": accuracy["n"]} if truth else _NONE
    if truth and truth["prompts"] < FEWEST:
        accuracy = error = {**_NONE, "n": accuracy["n"]}
        truth = None
    yield _Measured("accuracy", "agreement with the truth", "at least", accuracy, _beside(truth or {}))
    yield _Measured("ece", "calibration error against the truth (biased upwards for few pairs)", "at most", error)
