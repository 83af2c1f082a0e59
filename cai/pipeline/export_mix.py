"""Helpful and harmless rows in a stated ratio: the side there is too much of gives rows up, drawn by seed and id."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cai.draws import draw_uniform
from cai.exports import ExportOptions, LeftOut, Source
from cai.exports.items import id_of, items_of, prompt_of
from cai.pipeline.export_sources import Fed
from cai.records import Split

Side = tuple[Source, Split, bool]


@dataclass(slots=True)
class _Rows:
    """The records of one side that have rows: a draw each, and how many rows."""

    draws: array[float]
    rows: array[int]

    def up_to(self, wanted: int) -> float:
        """The draw up to which the records have `wanted` rows together."""
        so_far, last = 0, 0.0
        for at in sorted(range(len(self.draws)), key=self.draws.__getitem__):
            if so_far + self.rows[at] > wanted:
                break
            so_far, last = so_far + self.rows[at], self.draws[at]
        return last


@dataclass(frozen=True, slots=True)
class Mix:
    """What a ratio takes out. `lacking` says of each source that has no rows on one side why it cannot be mixed."""

    options: ExportOptions
    lacking: dict[Source, str]
    _bounds: dict[Side, float]

    @classmethod
    def measured(cls, fed: Fed, share: float, options: ExportOptions) -> Mix:
        """Of the rows of each source and split about `share` are not of red-team prompts.

        10 bytes a record stay in memory meanwhile.
        """
        found = _counted(fed, options)
        lacking: dict[Source, str] = {}
        for source, split in sorted({(source, split) for source, split, _ in found}):
            for side, name in ((True, "helpful"), (False, "red-team")):
                if (source, split, side) not in found:
                    why = f"--mix {share:g}: there are no {name} {source} in the {split} split to mix in"
                    lacking.setdefault(source, f"{why}; {_remedy(source, name)}")
        mixable = {side: rows for side, rows in found.items() if side[0] not in lacking}
        return cls(options, lacking, _bounds(mixable, share))

    def __call__(self, read: Callable[[], Fed]) -> Iterator[tuple[Source, Any]]:
        """The records of `read`, with a `LeftOut` in place of what is given up."""
        for source, record in read():
            if isinstance(record, LeftOut):
                yield source, record
                continue
            bound = self._bounds.get(_side(source, record), 1.0)
            if bound >= 1.0 or _draw(record, self.options) <= bound:
                yield source, record
            else:
                yield source, LeftOut("beyond_mix", id_of(record), prompt_of(record).split)


def _remedy(source: Source, name: str) -> str:
    """What to change in the recipe so that the source has rows of that side."""
    if source == "prompts":
        return f"add {name} prompts to the recipe"
    if source == "demonstrations":
        return f"add {name} prompts to the recipe" + (", with sft.helpful=true" if name == "helpful" else "")
    return f"have {name} prompts answered too (sample.kinds), or add human pairs (preferences.human)"


def _side(source: Source, record: Any) -> Side:
    prompt = prompt_of(record)
    return source, prompt.split, prompt.kind != "red_team"


def _draw(record: Any, options: ExportOptions) -> float:
    return draw_uniform(options.seed, id_of(record), "export mix")


def _counted(fed: Fed, options: ExportOptions) -> dict[Side, _Rows]:
    found: dict[Side, _Rows] = {}
    for source, record in fed:
        rows = sum(not isinstance(item, LeftOut) for item in items_of(source, record, options))
        if rows:
            there = found.setdefault(_side(source, record), _Rows(array("d"), array("H")))
            there.draws.append(_draw(record, options))
            there.rows.append(rows)
    return found


def _bounds(found: dict[Side, _Rows], share: float) -> dict[Side, float]:
    """The greatest draw that is kept, for each side that gives rows up."""
    bounds: dict[Side, float] = {}
    for source, split in sorted({(source, split) for source, split, _ in found}):
        helpful, harmless = sum(found[source, split, True].rows), sum(found[source, split, False].rows)
        if helpful > share * (helpful + harmless):
            bounds[source, split, True] = found[source, split, True].up_to(round(share / (1.0 - share) * harmless))
        else:
            bounds[source, split, False] = found[source, split, False].up_to(round((1.0 - share) / share * helpful))
    return bounds
