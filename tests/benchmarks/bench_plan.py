"""`cai plan` of the demo, then `cai run` of it: calls, tokens and time, planned to real, step by step.

Both begin in a new folder with a store of its own, whatever `CAI_STORE` says, so what the plan tells is told from its
probe alone; the run then finds the probe's answers, which neither side counts. Seconds are of the processor, on one
thread: so they hold on a machine that others use too. Those of a step are as the run's manifest has them, model loads
and imports included where they fall; `plan_seconds` is the plan's total beside all that the process of the run used.
`plan_wall_seconds` is of a second plan and run, by the clock.

Calls of the steps in `EXACT` do not hang on answers: the plan has to be exact there, and to say so. Of the others
`plan_within_STEP` is 1 where what the run asked lies between the plan's least and most.

`CAI_BENCH_LIMIT=8` takes 8 prompts of each kind, of which the plan probes 4 in all, trains nothing and leaves the clock
out: it shows that the benchmark works, not how well a plan does.
"""

from __future__ import annotations

import json
import os
import resource
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
LIMIT = os.environ.get("CAI_BENCH_LIMIT", "")
EXACT = ("respond", "sample", "evaluate")
"""Steps that ask about prompts and questions alone, each request unlike all others."""
SMALL = [
    "--limit", LIMIT, "--set", "train=[]", "--set", "sample.policy=base", "--set", "evaluate.prompts=4", "--set",
    "audit.items=2",
]  # fmt: skip


def told(child: str, command: str, out: Path, *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", child, command, "--out", str(out), "--json", *more, *(SMALL if LIMIT else [])],
        stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CAI_STORE": str(out.parent / ".store")},
    )  # fmt: skip
    return json.loads(done.stdout)


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        plan = told(PROCESSOR, "plan", out, *(["--probe", "4"] if LIMIT else []))
        before = _processor_seconds()
        real = {one["step"]: one for one in told(PROCESSOR, "run", out, "--accept-audit")["stages"]}
        used = _processor_seconds() - before
    yield from compared(plan, real, used)
    if not LIMIT:
        yield _wall()


def compared(plan: dict[str, Any], real: dict[str, Any], used: float) -> Iterator[Result]:
    """Every step that either side has calls, tokens or seconds of, and the totals; `used`: seconds of the whole run."""
    totals: dict[str, list[float]] = {"calls": [0, 0], "tokens": [0, 0]}
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
            if what in totals:
                totals[what][0] += ours
                totals[what][1] += theirs
            if (ours or theirs) and (what != "seconds" or row["seconds"]):
                sure = what == "calls" and (row["calls_exact"] or row["step"] in EXACT)
                bar = "= 1" if sure else "reported"
                yield _result(f"plan_{what}_{row['step']}", ours, theirs, bar, what, row)
        if (asked := pairs["calls"]) != (0, 0):
            yield _within(row, asked[1])
    exact = sum(row["calls_exact"] and row["calls"] > 0 for row in plan["steps"] if row["step"] in EXACT)
    yield Result(
        "plan_exact_steps", exact / len(EXACT), 0, 1, "= 1", exact, len(EXACT), "steps that must be", machine()
    )
    yield _result("plan_calls", *totals["calls"], "0.95 to 1.05", "calls", plan["total"])
    yield _result("plan_tokens", *totals["tokens"], "0.9 to 1.1", "tokens", plan["total"])
    yield _result("plan_seconds", plan["total"]["seconds"] or 0.0, used, "0.7 to 1.3", "seconds", plan["total"])
    untimed = len(plan["unmeasured"])
    yield Result("plan_untimed_steps", untimed, untimed, untimed, "= 0", untimed, 0, "steps", machine())


def _within(row: dict[str, Any], made: int) -> Result:
    inside = float(row["calls_low"] <= made <= row["calls_high"])
    return Result(
        f"plan_within_{row['step']}", inside, inside, inside, "= 1", row["calls"], made,
        f"calls, of {row['calls_low']} to {row['calls_high']}", machine(),
    )  # fmt: skip


def _processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


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


def _result(name: str, ours: float, theirs: float, bar: str, what: str, row: dict[str, Any]) -> Result:
    """What was planned and not done, or done and not planned, stands beside one, not beside none."""
    unit = {"calls": "calls", "tokens": "tokens", "seconds": "processor seconds"}[what]
    sides = (row["calls_low"], ours, row["calls_high"]) if what == "calls" else (ours, ours, ours)
    low, ratio, high = (side / (theirs or 1) for side in sides)
    return Result(name, ratio, low, high, bar, ours, theirs, f"{unit}, planned / real", machine())
