"""What a judge did over a whole file, gathered one judgement at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cai.bands import within
from cai.preferences.consistency import Consistency
from cai.preferences.votes import beta_interval, debiased_logit, paired_votes, sigmoid, unread, usable
from cai.records import Judgement, Kind, Preference, Vote

CLEAR = 0.1


@dataclass(slots=True)
class LabelFigures:
    """Flips, bias, ties and abstentions of a judge.

    A flip is a verdict that changes with the order. A judge that sees two answers as equal flips at will, so flips are
    counted too among the clear verdicts alone: those whose debiased p is more than `CLEAR` from one half. Abstentions
    are counted by prompt kind and by reason: "low mass", "unparsed", "refused" (the judge says that it gives no
    verdict), "not answered" (its engine gave nothing) and "no principle" (none of the constitution reaches the prompt).
    A verdict is that of one principle on a pair, in both orders. One that does not count, because a vote was not read
    or has too little mass, is in no other figure: it is left out, and counted by prompt kind, though the pair may have
    a label from other principles.
    """

    mass_floor: float = 0.0

    pairs: int = 0
    compared: int = 0
    flips: int = 0
    clear: int = 0
    clear_flips: int = 0
    bias: float = 0.0
    first: float = 0.0
    ties: int = 0
    confidence: float = 0.0
    longer: int = 0
    unequal: int = 0
    consistency: Consistency = field(default_factory=Consistency)
    _kinds: dict[str, Counter[str]] = field(default_factory=dict)
    _why: dict[str, Counter[str]] = field(default_factory=dict)
    _counted: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, judgement: Judgement, preference: Preference | None) -> None:
        """Count one judgement; `preference` is None when it abstained."""
        self._count(judgement.prompt.kind, "pairs")
        pairs = paired_votes(judgement)
        for ab, ba in pairs.values():
            self._counted.update(vote.counts for vote in (ab, ba) if vote.counts is not None)
            counts = usable(ab, self.mass_floor) and usable(ba, self.mass_floor)
            if counts:
                self._add_votes(ab, ba)
            self._kinds[judgement.prompt.kind].update(verdicts=1, left_out=int(not counts))
        if preference is None:
            silent = all(unread(ab) or unread(ba) for ab, ba in pairs.values())
            refused = any(vote.refused for vote in judgement.votes)
            self._abstain(judgement.prompt.kind, ("refused" if refused else "unparsed") if silent else "low mass")
            return
        self.consistency.add(preference)
        tied = preference.p_a == 0.5
        self.ties += tied
        self._kinds[judgement.prompt.kind]["ties"] += tied
        self.confidence += preference.p_chosen
        difference = len(preference.chosen) - len(preference.rejected)
        if difference and not tied:
            self.unequal += 1
            self.longer += difference > 0

    def add_unanswered(self, kind: Kind, why: str) -> None:
        """Count a pair that never got its votes: `why` is "not answered" or "no principle"."""
        self._count(kind, "pairs")
        self._abstain(kind, why)

    def _add_votes(self, ab: Vote, ba: Vote) -> None:
        self.compared += 1
        flipped = ab.logit * ba.logit < 0
        self.flips += flipped
        if not within(sigmoid(debiased_logit(ab, ba)), CLEAR):
            self.clear += 1
            self.clear_flips += flipped
        self.bias += (ab.logit - ba.logit) / 2
        self.first += (sigmoid(ab.logit) + sigmoid(-ba.logit)) / 2

    def _count(self, kind: Kind, what: str) -> None:
        self.pairs += 1
        self._kinds.setdefault(kind, Counter(pairs=0, ties=0, abstained=0, verdicts=0, left_out=0))[what] += 1

    def _abstain(self, kind: Kind, why: str) -> None:
        self._kinds[kind]["abstained"] += 1
        self._why.setdefault(why, Counter())[kind] += 1

    def to_json(self) -> dict[str, Any]:
        """Shares in 0 … 1, the bias in nats; a share of nothing is None."""
        self.consistency.close()
        abstained = {kind: one["abstained"] for kind, one in sorted(self._kinds.items()) if one["abstained"]}
        return {
            "pairs": self.pairs,
            "flip_rate": _share(self.flips, self.compared),
            "clear": _share(self.clear, self.compared),
            "clear_flip_rate": _share(self.clear_flips, self.clear),
            "position_bias": _share(self.bias, self.compared),
            "p_first": _share(self.first, self.compared),
            "ties": self.ties,
            "mean_p_chosen": _share(self.confidence, self.pairs - sum(abstained.values())),
            "longer_chosen": _share(self.longer, self.unequal),
            "abstained": abstained,
            "abstained_why": {why: dict(sorted(kinds.items())) for why, kinds in sorted(self._why.items())},
            "kinds": {kind: dict(one) for kind, one in sorted(self._kinds.items())},
            "triples": self.consistency.triples,
            "cyclic_triples": self.consistency.cyclic,
            "cyclic_share": self.consistency.share,
            "sampled": self._sampled(),
        }

    def _sampled(self) -> dict[str, Any] | None:
        """Of counted votes: how many, the mean number of verdicts behind one, the mean width of its 95 % interval."""
        votes = self._counted.total()
        if not votes:
            return None
        width = 0.0
        for counts, times in self._counted.items():
            low, high = beta_interval(counts)
            width += times * (high - low)
        verdicts = sum(times * sum(counts) for counts, times in self._counted.items())
        return {"votes": votes, "verdicts_a_vote": verdicts / votes, "interval_width": width / votes}


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
