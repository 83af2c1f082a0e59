"""Pairwise labels to one ranking a prompt: Bradley and Terry's model with Davidson's term for ties (Davidson 1970).

With d = s_i − s_j, i wins, j wins and neither does are as e^(d/2) : e^(−d/2) : ν. A soft label p counts as p wins and
1 − p losses; a label that is a tie counts as one tie. Weights are taken relative to their mean over a prompt's labels,
so that no prompt's ranking hangs on another's. ν is one number for all prompts, found together with the scores of
`FITTED` of them. A weak normal prior (s.d. 100 nats) keeps scores finite where one side always wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from cai.errors import RunError
from cai.judge_records import Ranking
from cai.preferences.votes import sigmoid
from cai.records import Preference, Prompt

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

FITTED = 1024
_PRIOR = 1e-4
_STEPS = 1000
_FLAT, _NEARLY_FLAT = 1e-9, 1e-6


@dataclass(slots=True)
class Compared:
    """The answers to one prompt and the labels of their pairs: (index, index, p that the first wins, weight)."""

    prompt: Prompt
    source: Literal["ai", "human"]
    responses: list[str] = field(default_factory=list)
    labels: list[tuple[int, int, float, float]] = field(default_factory=list)

    def add(self, preference: Preference) -> None:
        """One label more; with a weight of 0 it says nothing, and connects nothing."""
        first, second = (self._place(text) for text in (preference.response_a, preference.response_b))
        if preference.weight:
            self.labels.append((first, second, preference.p_a, preference.weight))

    def _place(self, text: str) -> int:
        if text not in self.responses:
            self.responses.append(text)
        return self.responses.index(text)

    @property
    def connected(self) -> bool:
        """Whether every answer is compared with every other, if only by way of others."""
        reached, new = {0}, [0]
        while new:
            at = new.pop()
            beside = {j if i == at else i for i, j, *_ in self.labels if at in (i, j)} - reached
            reached |= beside
            new += beside
        return len(reached) == len(self.responses)


def compared(preferences: Iterable[Preference], judged: int | None = None) -> Iterator[Compared]:
    """The labels of each prompt together; those of one prompt that the judge gave must come one after another.

    Others may be in any order, and come last: people's, and all after the first `judged`.
    """
    current: Compared | None = None
    others: dict[tuple[str, str], Compared] = {}
    for number, one in enumerate(preferences):
        if one.source == "human" or (judged is not None and number >= judged):
            others.setdefault((one.source, one.prompt.id), Compared(one.prompt, one.source)).add(one)
            continue
        if current is None or one.prompt.id != current.prompt.id:
            if current is not None:
                yield current
            current = Compared(one.prompt, "ai")
        current.add(one)
    if current is not None:
        yield current
    yield from others.values()


def tie_strength(some: Sequence[Compared]) -> float:
    """ν of Davidson's model for these prompts; 0 where no label is a tie."""
    ties = any(p == 0.5 for one in some for _, _, p, _ in one.labels)
    return _fitted(some, None)[1] if ties else 0.0


def rankings(groups: Iterable[Compared], nu: float, tie_band: float = 0.0) -> Iterator[Ranking]:
    """The ranking of each prompt, whose answers must be connected.

    Answers are tied when the one that leads their rank beats them with a probability within `tie_band` of one half.
    """
    coming = iter(groups)
    while some := list(islice(coming, FITTED)):
        scores, _ = _fitted(some, nu)
        start = 0
        for group in some:
            own = tuple(round(score, 6) + 0.0 for score in scores[start : start + len(group.responses)])
            start += len(group.responses)
            weight = sum(label[3] for label in group.labels) / len(group.labels)
            yield Ranking(
                group.prompt, tuple(group.responses), own, ranks(own, tie_band), len(group.labels), weight, group.source
            )


def ranks(scores: Sequence[float], tie_band: float = 0.0) -> tuple[int, ...]:
    """1 for the best; what lies within `tie_band` of the best of a rank shares it, and the next rank counts them."""
    found = [0] * len(scores)
    leader, rank = float("inf"), 0
    for place, at in enumerate(sorted(range(len(scores)), key=lambda at: -scores[at]), 1):
        if sigmoid(leader - scores[at]) - 0.5 > tie_band + _FLAT:
            leader, rank = scores[at], place
        found[at] = rank
    return tuple(found)


def _fitted(groups: Sequence[Compared], nu: float | None) -> tuple[list[float], float]:
    """The scores of all answers of `groups`, one after another, and ν: as given, or found if it is None.

    Raises `RunError` if the search does not come to its end.
    """
    from scipy.optimize import minimize

    model = _Davidson(groups, nu)
    found = minimize(
        model.value, model.start(), method="trust-ncg", jac=model.slope, hessp=model.bend,
        options={"gtol": _FLAT, "maxiter": _STEPS},
    )  # fmt: skip
    if abs(model.slope(found.x)).max() > _NEARLY_FLAT:
        raise RunError(f"no ranking was found for {len(groups):,} prompts: {found.message}")
    return model.read(found.x)


class _Davidson:
    """The negative log-likelihood of all labels of some prompts, with its slope and curvature; convex.

    A point is the scores of all answers, and ln ν behind them where it is to be found.
    """

    def __init__(self, groups: Sequence[Compared], nu: float | None) -> None:
        import numpy as np

        self.np = np
        rows, start = [], 0
        for group in groups:
            mean = sum(label[3] for label in group.labels) / max(1, len(group.labels))
            rows += [(start + i, start + j, p, weight / mean) for i, j, p, weight in group.labels]
            start += len(group.responses)
        self.size = start
        self.first, self.second = (np.array([row[side] for row in rows], dtype=np.intp) for side in (0, 1))
        wins, self.weight = (np.array([row[at] for row in rows], dtype=np.float64) for at in (2, 3))
        self.tie = (wins == 0.5).astype(np.float64)
        self.lead = (2.0 * wins - 1.0) * (1.0 - self.tie)
        self.searching = nu is None and bool(self.tie.any())
        self.log_nu = float(np.log(nu)) if nu else -np.inf

    def start(self) -> Array:
        return self.np.zeros(self.size + self.searching)

    def read(self, point: Array) -> tuple[list[float], float]:
        log_nu = float(point[-1]) if self.searching else self.log_nu
        return point[: self.size].tolist(), float(self.np.exp(log_nu))

    def _parts(self, point: Array) -> tuple[Array, Array, Any]:
        """d of each label, ln(e^(d/2) + e^(−d/2) + ν), and ln ν."""
        np = self.np
        log_nu = point[-1] if self.searching else self.log_nu
        d = point[self.first] - point[self.second]
        return d, np.logaddexp(np.abs(d) / 2 + np.log1p(np.exp(-np.abs(d))), log_nu), log_nu

    def value(self, point: Array) -> float:
        d, total, log_nu = self._parts(point)
        ties = self.tie * log_nu if self.searching or self.log_nu > -self.np.inf else 0.0
        return float(self.weight @ (total - self.lead * d / 2 - ties) + _PRIOR / 2 * point @ point)

    def slope(self, point: Array) -> Array:
        np = self.np
        d, total, log_nu = self._parts(point)
        along = self.weight * (np.exp(d / 2 - total) - np.exp(-d / 2 - total) - self.lead) / 2
        slope: Array = _PRIOR * point
        np.add.at(slope, self.first, along)
        np.add.at(slope, self.second, -along)
        if self.searching:
            slope[-1] += self.weight @ (np.exp(log_nu - total) - self.tie)
        return slope

    def bend(self, point: Array, along: Array) -> Array:
        """The curvature at a point times a direction."""
        np = self.np
        d, total, log_nu = self._parts(point)
        win, lose, tie = np.exp(d / 2 - total), np.exp(-d / 2 - total), np.exp(log_nu - total)
        turn = along[self.first] - along[self.second]
        pull = self.weight * (win + lose - (win - lose) ** 2) / 4 * turn
        bent: Array = _PRIOR * along
        if self.searching:
            cross = -self.weight * tie * (win - lose) / 2
            pull = pull + cross * along[-1]
            bent[-1] += cross @ turn + self.weight @ (tie * (1 - tie)) * along[-1]
        np.add.at(bent, self.first, pull)
        np.add.at(bent, self.second, -pull)
        return bent
