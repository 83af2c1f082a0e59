"""Whether a judge's preferences fit on one scale: the share of triples of answers that run in a circle."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from cai.records import Preference


@dataclass(slots=True)
class Consistency:
    """Counts triples (a, b, c) of one prompt's answers of which all three pairs were labelled without a tie.

    A triple is cyclic when a beats b, b beats c and c beats a. Labels drawn at random make 1 of 4 cyclic. The labels
    of a prompt must come one after another.
    """

    triples: int = 0
    cyclic: int = 0
    _prompt: str = ""
    _beats: dict[tuple[str, str], bool] = field(default_factory=dict)

    def add(self, preference: Preference) -> None:
        """Take one label; a prompt is counted when the next one begins, or by `close`."""
        if preference.prompt.id != self._prompt:
            self.close()
            self._prompt = preference.prompt.id
        if preference.p_a != 0.5:
            self._beats[preference.chosen, preference.rejected] = True

    def close(self) -> None:
        """Count the triples of the prompt that was read last."""
        answers = sorted({answer for pair in self._beats for answer in pair})
        for a, b, c in combinations(answers, 3):
            wins = [self._beaten(*pair) for pair in ((a, b), (b, c), (c, a))]
            if None not in wins:
                self.triples += 1
                self.cyclic += len(set(wins)) == 1
        self._beats.clear()

    def _beaten(self, one: str, other: str) -> bool | None:
        if (one, other) in self._beats:
            return True
        return False if (other, one) in self._beats else None

    @property
    def share(self) -> float | None:
        """Cyclic triples over all, 0 … 1; None where there is no triple."""
        return self.cyclic / self.triples if self.triples else None
