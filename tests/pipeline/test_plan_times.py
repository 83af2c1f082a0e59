"""Time told from two batches that were timed."""

from __future__ import annotations

import pytest

from cai.pipeline.plan_times import Times


def timed(*points: tuple[int, float]) -> Times:
    times = Times()
    for calls, seconds in points:
        times.add("critique-1", calls, seconds)
    return times


@pytest.mark.parametrize(
    ("points", "calls", "batch", "seconds"),
    [
        (((10, 1.0), (40, 4.0)), 400, 100, 40.0),
        (((10, 2.0), (40, 2.0001)), 1000, 500, 2 * 2.0001),
        (((10, 1.0), (40, 2.0)), 320, 160, 8.0),
        (((10, 1.0), (40, 2.0)), 320, 0, 16.0),
        (((10, 1.0), (40, 2.0)), 320, 20, 16.0),
        (((30, 3.0),), 300, 100, 30.0),
        (((10, 5.0), (40, 4.0)), 400, 100, 40.0),
        ((), 0, 0, 0.0),
    ],
    ids=["rows alike", "rows free", "square root", "an endpoint", "batch smaller", "one point", "noise", "nothing"],
)
def test_seconds(points: tuple[tuple[int, float], ...], calls: int, batch: float, seconds: float) -> None:
    assert timed(*points).of("critique-1", calls, batch) == pytest.approx(seconds, rel=0.02)
    assert timed(*points).of("critique-2", calls, batch) == pytest.approx(seconds, rel=0.02)


def test_what_was_not_timed_is_not_told() -> None:
    assert timed((0, 1.0)).of("critique-1", 5) is None
    assert timed((4, 1.0)).of("label", 5) is None
