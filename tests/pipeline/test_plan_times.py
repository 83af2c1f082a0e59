"""Time told from two batches that were timed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cai.models import ENGINES
from cai.models.fake import FakeEngine
from cai.pipeline.make_plan import make_plan
from cai.pipeline.plan_times import FILE, Times
from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe
from tests.pipeline.runs import DATA_ONLY, write_prompts


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


def test_what_was_measured_now_stands_before_an_earlier_plan_unless_it_is_next_to_nothing(tmp_path: Path) -> None:
    store, keys = tmp_path / "calls.sqlite", {"label": "label of a", "respond": "respond of a"}
    first = Times(imports=3.0, loads={"a": 2.0})
    first.add("label", 100, 10.0)
    first.keep(store, keys)
    second = Times()
    second.recall(store, keys, ["a"])
    assert (second.of("label", 50), second.told_by("label")) == (5.0, "plan")
    assert (second.imports, second.loads, second.told_by("respond")) == (3.0, {"a": 2.0}, "")
    second.add("label", 3, 9.0)
    assert (second.of("label", 50), second.told_by("label")) == (5.0, "plan")
    second.add("label", 16, 32.0)
    assert (second.of("label", 50), second.told_by("label")) == (100.0, "probe")
    second.keep(store, keys)
    third = Times()
    third.recall(store, {"label": "label of a", "respond": "label of b"}, ["b"])
    assert third.of("label", 50) == 100.0 and third.of("respond", 1) is None and third.loads == {}


@pytest.mark.parametrize("text", ["", "[]", '{"calls": 3}', '{"calls": {"label of a": [1, 2]}, "loads": {"a": "x"}}'])
def test_a_file_of_times_that_is_none_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    store = tmp_path / "calls.sqlite"
    store.with_name(FILE).write_text(text)
    times = Times()
    times.recall(store, {"label": "label of a"}, ["a"])
    assert times.of("label", 1) is None


class Clock:
    """Goes on only while an engine is at work: by what it is told to sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Slow(FakeEngine):
    """A model whose weights take 40 seconds to load."""

    loaded = False

    def _answers(self, requests: Any, answer: Any) -> Any:
        for index, given in super()._answers(requests, answer):
            if not self.loaded:
                self.loaded = True
                time.sleep(40.0)
            yield index, given


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    monkeypatch.setattr(time, "sleep", made.sleep)
    monkeypatch.setitem(ENGINES._entries, "slow", f"{__name__}:Slow")
    return made


def test_the_seconds_of_a_plan_are_those_of_an_engine_whose_speed_is_known(tmp_path: Path, clock: Clock) -> None:
    """By a clock that only the engines move: half a second a call, a quarter for the judge, 40 seconds for weights."""
    prompts = write_prompts(tmp_path, red_team=30, helpful=10)
    settings = {"model": "slow?latency=0.5", "judge": "slow?latency=0.25", "evaluate.prompts": 4, "audit.items": 2}
    recipe = load_recipe("rl-cai", {**DATA_ONLY, "prompts": [str(prompts)], **settings})
    first, second = (make_plan(recipe, tmp_path / "run", probe=12) for _ in range(2))
    each = {"label": 0.25, "audit": 0.25}
    for plan in (first, second):
        rows = {row["step"]: row for row in plan["steps"] if row["calls"]}
        assert rows.keys() >= {"respond", "critique-1", "revise-2", "sample", "label", "audit", "evaluate"}
        for step, row in rows.items():
            assert row["seconds"] == pytest.approx(row["calls"] * each.get(step, 0.5), rel=0.01), step
        assert (plan["loads"], plan["start_seconds"]) == (3, 0.0)
        assert plan["load_seconds"] == pytest.approx(3 * 40.0, abs=1.5)
        parts = sum(row["seconds"] for row in rows.values()) + plan["load_seconds"] + plan["start_seconds"]
        assert plan["total"]["seconds"] == pytest.approx(parts, abs=1.0)
    began = clock.now
    run_recipe(recipe, tmp_path / "run")
    assert second["total"]["seconds"] == pytest.approx(clock.now - began, rel=0.05)
    assert second["probe"]["calls"] == 0 and second["total"]["seconds"] == first["total"]["seconds"]
