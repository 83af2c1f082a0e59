"""How long calls take, from a few that were timed, a small batch and a large one: a row costs less in a large batch."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Times:
    """Seconds measured: of start-up, of loading each model, and of calls, as (calls, seconds) by step."""

    started: float = 0.0
    loads: dict[str, float] = field(default_factory=dict)
    points: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, step: str, calls: int, seconds: float) -> None:
        """Take in one measurement; one without calls says nothing."""
        if calls:
            self.points[step].append((calls, seconds))

    def of(self, step: str, calls: float, batch: float = 0.0) -> float | None:
        """Seconds that so many calls take, `batch` of them at a time (0: as they were timed); None if nothing was.

        A step that was not timed is taken for another round of its stage.
        """
        points = self.points.get(step) or self._like(step)
        if not points:
            return None if calls else 0.0
        size = min(batch, calls)
        (few, less), (many, more) = min(points), max(points)
        if size <= many:
            return calls * more / many
        growth: float = (size / many) ** _growth(few, less, many, more)
        return calls / size * more * growth

    def _like(self, step: str) -> list[tuple[int, float]]:
        stage = step.partition("-")[0]
        return [one for name, some in self.points.items() if name.partition("-")[0] == stage for one in some]


def _growth(few: int, less: float, many: int, more: float) -> float:
    """The power of a batch's rows by which its time grows: 0 where rows cost nothing more, 1 where all cost alike."""
    if many < 2 * few or not 0 < less < more:
        return 1.0
    return min(1.0, math.log(more / less) / math.log(many / few))
