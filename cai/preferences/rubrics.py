"""Grades of single answers to one probability and to an unpaired label, for KTO, thresholds and evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cai.bands import within
from cai.errors import ParseError
from cai.judge_records import Graded
from cai.preferences.votes import sigmoid
from cai.records import Json, Kind


def p_yes(answer: Graded, mass_floor: float = 0.5, weights: Mapping[str, float] | None = None) -> float:
    """The probability of yes, averaged over the rubrics by `weights`; 0 … 1.

    Raises `ParseError` ("abstained: …") when under no rubric yes and no have at least `mass_floor` together.
    """
    total = mean = 0.0
    for grade in answer.grades:
        if grade.mass < mass_floor or not grade.mass:
            continue
        weight = 1.0 if weights is None else weights.get(grade.principle_id, 1.0)
        mean += weight * sigmoid(grade.logprob_yes - grade.logprob_no)
        total += weight
    if not total:
        raise ParseError(f"abstained: no rubric has mass {mass_floor:g} on yes and no")
    return mean / total


def unpaired_label(
    answer: Graded, threshold: float = 0.5, band: float = 0.0, mass_floor: float = 0.5,
    weights: Mapping[str, float] | None = None,
) -> bool | None:  # fmt: skip
    """Whether an answer is wanted, as KTO asks; None within `band` of the `threshold`. Raises as `p_yes`."""
    p = p_yes(answer, mass_floor, weights)
    return None if band and within(p, band, threshold) else p >= threshold


@dataclass(slots=True)
class RubricFigures:
    """How the answers of a file were graded: by principle, and abstentions by kind of prompt."""

    answers: int = 0
    _kinds: dict[str, Counter[str]] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)
    _counted: Counter[str] = field(default_factory=Counter)
    _yes: dict[str, float] = field(default_factory=dict)
    _mass: dict[str, float] = field(default_factory=dict)

    def add(self, answer: Graded, mass_floor: float) -> None:
        """Count one answer; grades under the floor abstain."""
        self.answers += 1
        self._count(answer.prompt.kind, not any(one.mass and one.mass >= mass_floor for one in answer.grades))
        for one in answer.grades:
            self._asked[one.principle_id] += 1
            self._mass[one.principle_id] = self._mass.get(one.principle_id, 0.0) + one.mass
            if one.mass and one.mass >= mass_floor:
                self._counted[one.principle_id] += 1
                yes = sigmoid(one.logprob_yes - one.logprob_no)
                self._yes[one.principle_id] = self._yes.get(one.principle_id, 0.0) + yes

    def add_unanswered(self, kind: Kind) -> None:
        """Count an answer that never got its grades."""
        self.answers += 1
        self._count(kind, True)

    def _count(self, kind: Kind, abstained: bool) -> None:
        counts = self._kinds.setdefault(kind, Counter(answers=0, abstained=0))
        counts["answers"] += 1
        counts["abstained"] += abstained

    def to_json(self) -> Json:
        """`p_yes` and `mass` are means, 0 … 1; `p_yes` is None for a principle whose every grade abstained."""
        principles = {
            id: {
                "asked": asked,
                "counted": self._counted[id],
                "p_yes": self._yes[id] / self._counted[id] if self._counted[id] else None,
                "mass": self._mass[id] / asked,
            }
            for id, asked in sorted(self._asked.items())
        }
        kinds = {kind: dict(one) for kind, one in sorted(self._kinds.items())}
        return {"answers": self.answers, "kinds": kinds, "principles": principles}
