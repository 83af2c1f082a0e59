"""kill -9 at any moment, then the same command: nothing asked again, nothing lost, equal bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.kills import kill_and_compare


@pytest.mark.parametrize(
    "kills",
    [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_a_run_that_is_killed_ends_as_one_that_was_not(tmp_path: Path, kills: int) -> None:
    """At most the one answer that was on its way when the process died may be asked for again."""
    report = kill_and_compare(tmp_path, kills, seed=kills)
    assert report.different == []
    assert report.asked_twice <= sum(report.kills.values())
    assert sum(report.kills.values()) >= kills, report
    if kills > 50:
        assert len(report.kills) >= 6, report
