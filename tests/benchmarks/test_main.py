"""`make bench`: what the file of results says of each row, and the exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks.measure import Failed, Result, SideFailed, Skipped, Worker, failing

KEYS = {"name", "ratio", "low", "high", "bar", "ours", "theirs", "unit", "machine"}


def row(name: str, ratio: float) -> Result:
    return Result(name, ratio, ratio, ratio, ">= 5", ratio, 1.0, "labels/s", "here")


def run(monkeypatch: pytest.MonkeyPatch, only: str, *found: Result | Skipped | Failed) -> object:
    """The exit status, of a benchmark `scores` that finds these."""

    def results() -> Iterator[Result | Skipped | Failed]:
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


SIDE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["turn"] == 2:
        sys.stderr.write("x" * 5000)
        raise RuntimeError("the memory is full")
    print(json.dumps(asked["turn"] + 0.5), flush=True)
"""


def test_a_side_that_ends_says_how_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    side = Worker([sys.executable, "-c", SIDE], tmp_path / "side.log")
    assert side(turn=1) == 1.5
    with pytest.raises(SideFailed, match="exit status 1") as failed:
        side(turn=2)
    said = str(failed.value)
    assert said.endswith("RuntimeError: the memory is full") and len(said) < 3100
    assert side.stop() == 1
    gone = Worker([sys.executable, "-c", SIDE], tmp_path / "gone.log")
    gone.process.kill()
    gone.process.wait()
    with pytest.raises(SideFailed, match="exit status -9"):
        gone(turn=1)
    whole = Worker([sys.executable, "-c", SIDE], tmp_path / "whole.log")
    assert whole(turn=3) == 3.5 and whole.stop() == 0


def test_the_others_are_measured_after_a_side_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows() -> Iterator[Result | Failed]:
        side = Worker([sys.executable, "-c", SIDE], tmp_path / "side.log")
        try:
            yield row("a_one", side(turn=2))
        except SideFailed as error:
            yield failing("a_one", error)
        yield row("a_two", 6.0)

    def all_of_it() -> Iterator[Result]:
        subprocess.run([sys.executable, "-c", "import sys; sys.exit('no such peer')"], capture_output=True, check=True,
                       text=True)  # fmt: skip
        yield row("b", 6.0)

    def sound() -> Iterator[Result]:
        yield row("c", 6.0)

    benchmarks: dict[str, Callable[[], Iterator[Result | Failed]]] = {"a": rows, "b": all_of_it, "c": sound}
    for name, results in benchmarks.items():
        (tmp_path / f"bench_{name}.py").touch()
        monkeypatch.setitem(sys.modules, f"tests.benchmarks.bench_{name}", SimpleNamespace(results=results))
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(bench, "OUT", tmp_path / "bench.json")
    monkeypatch.setattr(sys, "argv", ["bench"])
    with pytest.raises(SystemExit) as left:
        bench.main()
    assert left.value.code == "2 of these failed: a_one, b"
    assert [one["name"] for one in json.loads(bench.OUT.read_text())] == ["a_two", "c"]
    printed = capsys.readouterr().out
    assert "a_one: FAILED, exit status 1\n" in printed and "RuntimeError: the memory is full\n" in printed
    assert "b: FAILED, exit status 1\nno such peer\n" in printed


def test_what_failed_is_told_beside_what_misses_its_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "OUT", tmp_path / "bench.json")
    left = run(monkeypatch, "scores", Failed("scores_vllm", "exit status 1"), row("scores_hf", 4.0))
    assert left == "1 of these failed: scores_vllm\n1 of these miss their bar: scores_hf"
