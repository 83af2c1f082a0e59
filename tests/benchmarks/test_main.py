"""`make bench`: what the file of results says of each row, and the exit status."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks.measure import Result, Skipped

KEYS = {"name", "ratio", "low", "high", "bar", "ours", "theirs", "unit", "machine"}


def row(name: str, ratio: float) -> Result:
    return Result(name, ratio, ratio, ratio, ">= 5", ratio, 1.0, "labels/s", "here")


def run(monkeypatch: pytest.MonkeyPatch, only: str, *found: Result | Skipped) -> object:
    """The exit status, of a benchmark `scores` that finds these."""

    def results() -> Iterator[Result | Skipped]:
        yield from found

    monkeypatch.setitem(sys.modules, "tests.benchmarks.bench_scores", SimpleNamespace(results=results))
    monkeypatch.setattr(sys, "argv", ["bench", only])
    try:
        bench.main()
    except SystemExit as left:
        return left.code
    return 0


def test_rows_say_when_and_from_what_they_were_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "OUT", tmp_path / "outputs" / "bench.json")
    assert run(monkeypatch, "scores", row("old", 6.0), row("again", 6.0)) == 0
    written = json.loads(bench.OUT.read_text())
    assert all(set(one) == KEYS | {"commit", "date"} for one in written)
    assert all(re.fullmatch(r"([0-9a-f]{7,}\+?)?", one["commit"]) and one["date"].endswith("+00:00") for one in written)
    bench.OUT.write_text(json.dumps([{key: one[key] for key in KEYS} for one in written]))
    assert run(monkeypatch, "scores", row("again", 7.0)) == 0
    old, again = json.loads(bench.OUT.read_text())
    assert (old["commit"], old["date"]) == ("", "") and again["ratio"] == 7 and again["date"]


def test_what_was_asked_for_and_cannot_be_run_is_told_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "OUT", tmp_path / "bench.json")
    skipped = Skipped("scores", "the real pairs are not here")
    assert run(monkeypatch, "scores", skipped) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "scores: skipped, the real pairs are not here"
    assert not bench.OUT.exists()
    assert run(monkeypatch, "scores", row("scores_vllm", 6.0), skipped) == 2 and bench.OUT.exists()
    assert run(monkeypatch, "scores", row("scores_vllm", 4.0), skipped) == "1 of these miss their bar: scores_vllm"
