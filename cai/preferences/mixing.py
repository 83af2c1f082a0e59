"""AI labels and human ones in a stated ratio: the paper mixes human helpfulness with AI harmlessness (§4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cai.draws import draw_bits
from cai.prompts.splits import opening_turn
from cai.records import SPLITS, Json, Preference, Split


@dataclass(frozen=True, slots=True)
class Mix:
    """The human labels that are mixed in, in the order of their files, and how many there were of what by split.

    Human are here all that come from `preferences.human`, also those whose rows say that a model ranked them.
    """

    human: tuple[Preference, ...]
    counts: dict[Split, dict[str, int]]
    asked: float | None

    @property
    def share(self) -> float | None:
        """Human labels over all, 0 … 1; None where there are no labels."""
        human, ai = (sum(one[source] for one in self.counts.values()) for source in ("human", "ai"))
        return human / (human + ai) if human + ai else None

    @property
    def short(self) -> int:
        """Human labels that the stated share wants and that are not there."""
        return sum(one["wanted"] - one["human"] for one in self.counts.values())

    @property
    def by_model(self) -> int:
        """The labels among `human` whose rows say that a model gave them."""
        return sum(one.source == "ai" for one in self.human)

    def to_json(self) -> Json:
        told = {"share": self.share, "asked": self.asked, "short": self.short, "by_model": self.by_model}
        return {"splits": self.counts, **told}


def mixed(human: Sequence[Preference], ai: Mapping[Split, int], share: float | None, seed: int) -> Mix:
    """Draw from `human` what makes it `share` of all labels, on each side of the split; all of it if `share` is None.

    A greater share keeps what a smaller one drew. No AI label is left out: where there are too few human ones, the
    share is less than asked, and `short` says so.
    """
    taken: set[int] = set()
    counts: dict[Split, dict[str, int]] = {}
    for split in SPLITS:
        there = [at for at, one in enumerate(human) if one.prompt.split == split]
        wanted = len(there) if share is None else round(share / (1.0 - share) * ai.get(split, 0))
        drawn = sorted(there, key=lambda at: draw_bits(seed, "human", human[at].id))[:wanted]
        taken.update(drawn)
        counts[split] = {"ai": ai.get(split, 0), "human": len(drawn), "available": len(there), "wanted": wanted}
    return Mix(tuple(human[at] for at in sorted(taken)), counts, share)


def on_the_side_of(sides: Mapping[str, Split], human: Sequence[Preference]) -> list[Preference]:
    """`human` with every prompt on the side where its opening turn already is, so that no prompt is on both.

    An opening turn that `sides` does not know is held out where any of its pairs is, whichever file that is from.
    """
    openings = [opening_turn(one.prompt.messages) for one in human]
    held_out = {opening for opening, one in zip(openings, human, strict=True) if one.prompt.split == "test"}
    placed = []
    for opening, one in zip(openings, human, strict=True):
        own: Split = "test" if opening in held_out else "train"
        side = sides.get(opening, own)
        same = side == one.prompt.split
        placed.append(one if same else replace(one, prompt=replace(one.prompt, split=side)))
    return placed
