"""How long calls take, from a few that were timed: a share that a batch costs by itself, and one that each row adds."""

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
        """Seconds that so many calls take, `batch` of them at a time (0: as they come); None if nothing was timed.

        A step that was not timed is taken for another round of its stage.
        """
        points = self.points.get(step) or self._like(step)
        if not points:
            return None if calls else 0.0
        if not batch:
            return calls * sum(took for _, took in points) / sum(made for made, _ in points)
        each, alone = _line(points, batch)
        return alone * math.ceil(calls / batch) + each * calls

    def _like(self, step: str) -> list[tuple[int, float]]:
        stage = step.partition("-")[0]
        return [one for name, some in self.points.items() if name.partition("-")[0] == stage for one in some]


def _line(points: list[tuple[int, float]], batch: float) -> tuple[float, float]:
    """(seconds a call, seconds a batch) of the least and the greatest measurement; both at least 0."""
    (few, less), (many, more) = min(points), max(points)
    whole = more / many
    if many < 2 * few:
        return whole, 0.0
    each = (more - less) / (many - few * math.ceil(many / batch) / math.ceil(few / batch))
    each = min(max(0.0, each), whole)
    return each, max(0.0, (more - each * many) / math.ceil(many / batch))
