"""Grades of single answers to one probability, and what they come to over a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class RubricFigures:
    """How the answers of a file were graded: by principle, and abstentions by kind of prompt and by reason.

    Reasons are those of `LabelFigures`: "low mass", "unparsed", "refused", "not answered", "no principle".
    """

    answers: int = 0
    _kinds: dict[str, Counter[str]] = field(default_factory=dict)
    _why: dict[str, Counter[str]] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)
    _counted: Counter[str] = field(default_factory=Counter)
    _yes: dict[str, float] = field(default_factory=dict)
    _mass: dict[str, float] = field(default_factory=dict)

    def add(self, answer: Graded, mass_floor: float) -> None:
        """Count one answer; grades under the floor abstain."""
        self._count(answer.prompt.kind)
        if not any(one.mass and one.mass >= mass_floor for one in answer.grades):
            silent = not any(one.mass for one in answer.grades)
            refused = any(one.refused for one in answer.grades)
            self._abstain(answer.prompt.kind, ("refused" if refused else "unparsed") if silent else "low mass")
        for one in answer.grades:
            self._asked[one.principle_id] += 1
            self._mass[one.principle_id] = self._mass.get(one.principle_id, 0.0) + one.mass
            if one.mass and one.mass >= mass_floor:
                self._counted[one.principle_id] += 1
                yes = sigmoid(one.logprob_yes - one.logprob_no)
                self._yes[one.principle_id] = self._yes.get(one.principle_id, 0.0) + yes

    def add_unanswered(self, kind: Kind, why: str) -> None:
        """Count an answer that never got its grades: `why` is "not answered" or "no principle"."""
        self._count(kind)
        self._abstain(kind, why)

    def _count(self, kind: Kind) -> None:
        self.answers += 1
        self._kinds.setdefault(kind, Counter(answers=0, abstained=0))["answers"] += 1

    def _abstain(self, kind: Kind, why: str) -> None:
        self._kinds[kind]["abstained"] += 1
        self._why.setdefault(why, Counter())[kind] += 1

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
        why = {reason: dict(sorted(counts.items())) for reason, counts in sorted(self._why.items())}
        return {"answers": self.answers, "kinds": kinds, "abstained_why": why, "principles": principles}
