"""Kill `cai run` with signal 9 at random moments until it is through, then compare with a run that was left alone.

Run by `tests/pipeline/test_kills.py`; by hand: ``python -m tests.pipeline.kills --kills 60 --folder /tmp/kills``.
"""

from __future__ import annotations

import argparse
import itertools
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

ROOT = Path(__file__).parents[2]
LATENCY = 0.004
LOG, RUN = "answers.log", "run"


@dataclass(frozen=True, slots=True)
class Report:
    """What the kills did: by step that was under way, answers that were asked for twice, and files that differ."""

    kills: dict[str, int]
    answers: int
    asked_twice: int
    different: list[str]


def command(prompts: Path) -> list[str]:
    """The same words for every run: each writes `RUN` and `LOG` where it is started."""
    return [
        sys.executable, "-c", "from cai.cli import main; main()", "run", "--quiet", "--out", RUN, "--prompts",
        str(prompts), "--model", f"fake?latency={LATENCY}&reject=0.02&log={LOG}", "--set", "train=[]", "--set",
        "sample.policy=base", "--set", "critique.rounds=2", "--set", "label.principles_per_pair=3",
    ]  # fmt: skip


def environment(store: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "CAI_STORE": str(store), "PYTHONPATH": path}


def under_way(folder: Path) -> str:
    """The step that a killed run was in: the first of the plan that is not in the manifest."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return "start"
    held = json.loads(manifest.read_text(encoding="utf-8"))
    return next((step for step in held.get("plan", {}) if step not in held["steps"]), "end")


def kill_and_compare(folder: Path, kills: int, seed: int) -> Report:
    """Kill `kills` times, over as many runs as that takes, and compare each with a run that nobody touched."""
    draw = random.Random(seed)
    prompts = write_prompts(folder, red_team=150, helpful=60)
    whole = folder / "whole"
    whole.mkdir()
    subprocess.run(command(prompts), cwd=whole, env=environment(folder / "s"), check=True)
    expected, counts = all_files(whole / RUN), Counter[str]()
    answers, twice, different = 0, 0, set[str]()
    for number in itertools.count():
        cut, store = (folder / f"{name}{number}" for name in ("cut", "store"))
        cut.mkdir()
        log = cut / LOG
        through = False
        while not through and sum(counts.values()) < kills:
            with subprocess.Popen(command(prompts), cwd=cut, env=environment(store)) as process:
                _wait(process, log, draw)
                process.send_signal(signal.SIGKILL)
            through = process.returncode == 0
            if not through:
                counts[under_way(cut / RUN)] += 1
        subprocess.run(command(prompts), cwd=cut, env=environment(store), check=True)
        found, asked = all_files(cut / RUN), Counter(log.read_text(encoding="utf-8").split())
        answers, twice = answers + len(asked), twice + sum(asked.values()) - len(asked)
        different |= {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
        if sum(counts.values()) >= kills:
            return Report(dict(counts), answers, twice, sorted(different))
    raise AssertionError("unreachable")


def _wait(process: subprocess.Popen[bytes], log: Path, draw: random.Random) -> None:
    """Wait for a random moment: of the start-up and what follows it, or of the work after a new answer."""
    if draw.random() < 0.4:
        time.sleep(draw.uniform(0.0, 2.0))
        return
    before = log.stat().st_size if log.exists() else 0
    while process.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
        time.sleep(0.002)
    time.sleep(draw.uniform(0.0, 0.35))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    print(kill_and_compare(options.folder, options.kills, options.seed))
