"""`cai plan` of the demo, then `cai run` of it: calls, tokens and time, planned to real, step by step.

Seconds by step are of the processor, on one thread, on both sides: so they hold on a machine that others use too.
`plan_wall_seconds` is of a second plan and run, by the clock: the plan's total beside what the command took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Result, machine

WALL = "from cai.cli import main; main()"
PROCESSOR = f"import time; time.monotonic = time.process_time; {WALL}"


def told(child: str, command: str, out: Path, *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", child, command, "--out", str(out), "--json", *more],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return json.loads(done.stdout)


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        plan = told(PROCESSOR, "plan", out)
        real = {one["step"]: one for one in told(PROCESSOR, "run", out, "--accept-audit")["stages"]}
    yield _wall()
    totals: dict[str, list[float]] = {"calls": [0, 0], "tokens": [0, 0], "seconds": [0, 0]}
    for row in plan["steps"]:
        made = real[row["step"]]
        pairs = {
            "calls": (row["calls"], made.get("calls_made", 0)),
            "tokens": (
                row["prompt_tokens"] + (row["completion_tokens"] or 0),
                made.get("prompt_tokens", 0) + made.get("completion_tokens", 0),
            ),
            "seconds": (row["seconds"] or 0.0, made["seconds"]),
        }
        for what, (ours, theirs) in pairs.items():
            totals[what][0] += ours
            totals[what][1] += theirs
            if ours and theirs:
                bar = "= 1" if what == "calls" and row["calls_exact"] else ""
                low, high = _range(row, ours, theirs) if what == "calls" else (ours / theirs, ours / theirs)
                yield _result(f"plan_{what}_{row['step']}", ours, theirs, low, high, bar, what)
    totals["seconds"][0] += plan["load_seconds"]
    for what, bar in (("calls", "0.95 to 1.05"), ("tokens", "0.9 to 1.1"), ("seconds", "0.7 to 1.3")):
        ours, theirs = totals[what]
        low, high = _range(plan["total"], ours, theirs) if what == "calls" else (ours / theirs, ours / theirs)
        yield _result(f"plan_{what}", ours, theirs, low, high, bar, what)


def _wall() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        planned = told(WALL, "plan", Path(folder) / "run")["total"]["seconds"]
        started = time.monotonic()
        told(WALL, "run", Path(folder) / "run", "--accept-audit")
        took = time.monotonic() - started
    ratio = planned / took
    return Result(
        "plan_wall_seconds", ratio, ratio, ratio, "0.7 to 1.3", planned, took,
        "seconds by the clock, planned / real", machine(),
    )  # fmt: skip


def _range(row: dict[str, Any], ours: float, theirs: float) -> tuple[float, float]:
    return row["calls_low"] / theirs, row["calls_high"] / theirs


def _result(name: str, ours: float, theirs: float, low: float, high: float, bar: str, what: str) -> Result:
    unit = {"calls": "calls", "tokens": "tokens", "seconds": "processor seconds"}[what]
    return Result(name, ours / theirs, low, high, bar, ours, theirs, f"{unit}, planned / real", machine())
