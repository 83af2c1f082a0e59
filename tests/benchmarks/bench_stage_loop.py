"""The stage loop with the fake engine on one core: records a second of every stage, and memory from 10⁴ to 10⁵ rows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measure import Result, machine

BAR = 8000
CHILD = """
import json, resource, sys, time
from pathlib import Path
from cai.constitution import load_constitution
from cai.models import load_model
from cai.pipeline.stage_loop import run_stage
from cai.records import Sampling
from cai.stages.critique import Critique
from cai.stages.label import Label
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.stages.sample import Sample
from cai.storage.calls import CallStore

folder, only = Path(sys.argv[1]), sys.argv[2]
constitution, sampling = load_constitution("harmlessness"), Sampling()
stages = {
    "respond": ("prompts", Respond(sampling)),
    "critique": ("respond", Critique(constitution, sampling)),
    "revise": ("critique", Revise(constitution, sampling)),
    "sample": ("prompts", Sample(sampling)),
    "label": ("sample", Label(constitution)),
}
figures = {}
for name, (source, stage) in stages.items():
    if only not in ("all", name):
        continue
    with CallStore(folder / "store" / "calls.sqlite") as store:
        done = run_stage(stage, load_model("fake"), folder / f"{source}.jsonl", folder / f"{name}.jsonl", store)
    figures[name] = {"rows": done.rows, "rejected": done.rejected, "seconds": done.seconds, "calls": done.calls_made}
figures["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(figures))
"""


def run(rows: int, folder: Path) -> dict[str, dict[str, float]]:
    from cai.records import Prompt, user

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "prompts.jsonl").open("w", encoding="utf-8") as handle:
        for n in range(rows):
            prompt = Prompt.make((user(f"How do I do the thing that has the number {n}, quickly and well?"),))
            handle.write(json.dumps(prompt.to_json()) + "\n")
    one_core = {"OMP_NUM_THREADS": "1"}
    prefix = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    figures: dict[str, dict[str, float]] = {}
    for stage in ("respond", "critique", "revise", "sample", "label"):
        done = subprocess.run(
            [*prefix, sys.executable, "-c", CHILD, str(folder), stage], capture_output=True, text=True, check=True,
            env={**os.environ, **one_core},
        )  # fmt: skip
        found = json.loads(done.stdout)
        figures[stage] = {**found[stage], "peak_kib": found["peak_kib"]}
    return figures


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        few = run(10_000, Path(folder) / "few")
        many = run(100_000, Path(folder) / "many")
    for stage, found in many.items():
        rate, small = (one["rows"] / one["seconds"] for one in (found, few[stage]))
        low, high = sorted((rate / BAR, small / BAR))
        unit = "records/s of 100,000, ours / 8,000; the range is 100,000 to 10,000 rows"
        yield Result(f"stage_{stage}", rate / BAR, low, high, ">= 1", rate, BAR, unit, machine())
        ratio = found["peak_kib"] / few[stage]["peak_kib"]
        yield Result(
            f"memory_{stage}", ratio, ratio, ratio, "<= 1.2", found["peak_kib"] / 1024, few[stage]["peak_kib"] / 1024,
            "peak MiB, 100,000 / 10,000 rows", machine(),
        )  # fmt: skip
