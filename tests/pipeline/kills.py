"""Kill `cai run` with signal 9 at random moments until it is through, then compare with a run that was left alone.

Run by `tests/pipeline/test_kills.py`; by hand: ``python -m tests.pipeline.kills --kills 60 --folder /tmp/kills``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline.runs import all_files, write_prompts

LATENCY = 0.004


@dataclass(frozen=True, slots=True)
class Report:
    """What the kills did: by step that was under way, answers that were asked for twice, and files that differ."""

    kills: dict[str, int]
    answers: int
    asked_twice: int
    different: list[str]


def command(folder: Path, prompts: Path, log: Path) -> list[str]:
    return [
        sys.executable, "-c", "from cai.cli import main; main()", "run", "--quiet", "--out", str(folder), "--prompts",
        str(prompts), "--model", f"fake?latency={LATENCY}&reject=0.02&log={log}", "--set", "train=[]", "--set",
        "sample.policy=base", "--set", "critique.rounds=2", "--set", "label.principles_per_pair=3",
    ]  # fmt: skip


def environment(store: Path) -> dict[str, str]:
    return {**os.environ, "CAI_STORE": str(store)}


def under_way(folder: Path) -> str:
    """The step that a killed run was in: the first of the plan that is not in the manifest."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return "start"
    held = json.loads(manifest.read_text(encoding="utf-8"))
    return next((step for step in held.get("plan", {}) if step not in held["steps"]), "end")


def kill_and_compare(folder: Path, kills: int, seed: int) -> Report:
    """Kill `kills` times at least (fewer only if a run gets through), and compare with a run that nobody touched."""
    draw = random.Random(seed)
    prompts = write_prompts(folder, red_team=150, helpful=60)
    whole, cut = folder / "whole", folder / "cut"
    subprocess.run(command(whole, prompts, folder / "whole.log"), env=environment(folder / "s1"), check=True)
    counts: Counter[str] = Counter()
    while sum(counts.values()) < kills:
        with subprocess.Popen(command(cut, prompts, folder / "cut.log"), env=environment(folder / "s2")) as process:
            _wait_for_work(process, folder / "cut.log", draw.uniform(0.0, 0.35))
            process.send_signal(signal.SIGKILL)
        counts[under_way(cut)] += 1
        if process.returncode == 0:
            break
    subprocess.run(command(cut, prompts, folder / "cut.log"), env=environment(folder / "s2"), check=True)
    one, other = all_files(whole), all_files(cut)
    asked = Counter((folder / "cut.log").read_text(encoding="utf-8").split())
    return Report(
        kills=dict(counts),
        answers=len(asked),
        asked_twice=sum(asked.values()) - len(asked),
        different=sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)),
    )


def _wait_for_work(process: subprocess.Popen[bytes], log: Path, more: float) -> None:
    """Wait until the process has asked for an answer (or has ended), then `more` seconds."""
    before, started = (log.stat().st_size if log.exists() else 0), time.monotonic()
    while process.poll() is None and time.monotonic() - started < 20 * more:
        if log.exists() and log.stat().st_size > before:
            break
        time.sleep(0.002)
    time.sleep(more)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    print(kill_and_compare(options.folder, options.kills, options.seed))
