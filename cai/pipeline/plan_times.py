"""How long calls take, from a few that were timed, a small batch and a large one: a row costs less in a large batch.

What one plan measured is kept beside the call store, so that the next has no need to ask for the sake of time.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cai.records import Json
from cai.storage.run import atomic_write

FILE = "speeds.json"
TELLING = 16
"""Calls from which on what is measured now stands before what an earlier plan measured on more."""
Points = list[tuple[int, float]]


@dataclass(slots=True)
class Times:
    """Seconds measured: of start-up, imports, loading each model, and of calls, as (calls, seconds) by step.

    `earlier` are those of calls that an earlier plan measured.
    """

    started: float = 0.0
    imports: float = 0.0
    loads: dict[str, float] = field(default_factory=dict)
    points: dict[str, Points] = field(default_factory=lambda: defaultdict(list))
    earlier: dict[str, Points] = field(default_factory=dict)

    def add(self, step: str, calls: int, seconds: float) -> None:
        """Take in one measurement; one without calls says nothing."""
        if calls:
            self.points[step].append((calls, seconds))

    def of(self, step: str, calls: float, batch: float = 0.0) -> float | None:
        """Seconds that so many calls take, `batch` of them at a time (0: as they were timed); None if nothing was.

        A step that was not timed is taken for another round of its stage.
        """
        points, _ = self._told(step)
        if not points:
            return None if calls else 0.0
        size = min(batch, calls)
        (few, less), (many, more) = min(points), max(points)
        if size <= many:
            return calls * more / many
        growth: float = (size / many) ** _growth(few, less, many, more)
        return calls / size * more * growth

    def told_by(self, step: str) -> str:
        """By what the seconds of a step are told: "probe", "plan" for an earlier one, or "" where nothing was timed."""
        return self._told(step)[1]

    def _told(self, step: str) -> tuple[Points, str]:
        now, earlier = self.points.get(step, []), self.earlier.get(step, [])
        if now and max(now)[0] >= min(TELLING, max(earlier)[0] if earlier else 0):
            return now, "probe"
        if earlier:
            return earlier, "plan"
        for table, said in ((self.points, "probe"), (self.earlier, "plan")):
            if like := [one for name, some in table.items() if _stage(name) == _stage(step) for one in some]:
                return like, said
        return [], ""

    def recall(self, store: Path, keys: Mapping[str, str], models: Sequence[str]) -> None:
        """Take what earlier plans kept beside `store`: of steps, by their `keys`, and of loading these `models`."""
        kept = _kept(store)
        with suppress(TypeError, ValueError, AttributeError):
            found = {step: kept.get("calls", {}).get(key) for step, key in keys.items()}
            self.earlier = {step: [(int(n), float(s)) for n, s in some] for step, some in found.items() if some}
            self.loads = {spec: float(s) for spec, s in kept.get("loads", {}).items() if spec in models}
            self.imports = float(kept.get("imports", 0.0))

    def keep(self, store: Path, keys: Mapping[str, str]) -> None:
        """Write down, for later plans, what was measured now."""
        now = {keys[step]: self._told(step)[0] for step in self.points if step in keys}
        if not now:
            return
        kept = _kept(store)
        told = {
            "calls": {**kept.get("calls", {}), **now},
            "loads": {**kept.get("loads", {}), **self.loads},
            "imports": self.imports,
        }
        with atomic_write(store.with_name(FILE), "w") as handle:
            handle.write(json.dumps(told, indent=1))


def _kept(store: Path) -> Json:
    """Nothing where there is no such file, or where it is none of ours."""
    with suppress(OSError, ValueError):
        found = json.loads(store.with_name(FILE).read_text("utf-8"))
        if isinstance(found, dict) and all(isinstance(found.get(key, {}), dict) for key in ("calls", "loads")):
            return found
    return {}


def _stage(step: str) -> str:
    return step.partition("-")[0]


def _growth(few: int, less: float, many: int, more: float) -> float:
    """The power of a batch's rows by which its time grows: 0 where rows cost nothing more, 1 where all cost alike."""
    if many < 2 * few or not 0 < less < more:
        return 1.0
    return min(1.0, math.log(more / less) / math.log(many / few))
