"""`cai --help` and `cai status` against `python -c "import click"`: whole processes, alternating."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measure import Result, alternate, compare, seconds

ROUNDS = 21
CLICK = [sys.executable, "-c", "import click"]
CAI = str(Path(sys.executable).parent / "cai")


def process(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        prompts = Path(folder) / "prompts.txt"
        prompts.write_text("How do I bake bread?\nHow do I cheat?\n", encoding="utf-8")
        subprocess.run(
            [CAI, "run", "--model", "fake", "--prompts", f"{prompts}?kind=red_team", "--out", out, "--quiet",
             "--set", "train=[]", "--set", "sample.policy=base"],
            check=True,
        )  # fmt: skip
        for name, command, bar in (
            ("startup_help", [CAI, "--help"], "<= 1.25"),
            ("startup_status", [CAI, "status", out], "<= 2"),
        ):
            ours, theirs = alternate(lambda c=command: process(c), lambda: process(CLICK), ROUNDS)
            yield compare(name, ours, theirs, bar, "seconds, ours / import click")
