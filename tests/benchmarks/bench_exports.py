"""All formats of 200,000 preferences, against a bare ``json.dumps`` and pyarrow write of the same rows, ready made.

`CAI_BENCH_EXPORTS` is another number of preferences. The bare side makes its rows outside the timing, writes the same
file types with pyarrow's defaults, and neither syncs nor hashes what it wrote. Memory is that of a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Result, machine

ROWS = int(os.environ.get("CAI_BENCH_EXPORTS", "200000"))
CHUNK = 1000


def write_run(folder: Path, count: int) -> None:
    """A run with that many prompts, each with a revision, two votes and a preference; answers of 300 characters."""
    from cai.records import Draft, Judgement, Preference, Prompt, Round, Vote, user
    from cai.storage.run import FORMAT, write_json

    draw, kinds = random.Random(0), ("red_team", "helpful")
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(2000)]

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=length))

    names = ("prompts", "revise-1", "label", "preferences")
    handles = {name: (folder / f"{name}.jsonl").open("w", encoding="utf-8") for name in names}
    for n in range(count):
        prompt = Prompt.make((user(f"{text(18)} {n}?"),), kinds[n % 2], "bench", "test" if n % 10 == 0 else "train")
        one = Preference(prompt, text(45), text(45), draw.random())
        votes = tuple(Vote("honest", order, 0, -0.1, -2.3, 1.0) for order in ("ab", "ba"))
        draft = Draft(prompt, text(45), (Round("honest", text(20), text(45)),))
        made: tuple[Any, ...] = (prompt, draft, Judgement(prompt, one.response_a, one.response_b, votes), one)
        for name, record in zip(names, made, strict=True):
            handles[name].write(json.dumps(record.to_json()) + "\n")
    for handle in handles.values():
        handle.close()
    steps = {name: {"output": f"{name}.jsonl", "sha256": "", "rows": count, "settings": {}} for name in names}
    (folder / "recipe.yaml").write_text("critique: {rounds: 1}\n", encoding="utf-8")
    write_json(folder / "manifest.json", {"format": FORMAT, "steps": steps})


def ours(folder: Path) -> dict[str, float]:
    """Wall and processor seconds of the export of all formats, and the peak of memory."""
    import resource

    import pyarrow.parquet  # noqa: F401

    from cai.exports import EXPORTS
    from cai.pipeline.export_run import ExportRequest, export_run

    for name in EXPORTS:
        EXPORTS.load(name)
    wall, cpu = time.perf_counter(), time.process_time()
    told = export_run(folder, ExportRequest(("all",), out=folder / "ours"))
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "rows": sum(sum(one["rows"].values()) for one in told["formats"].values()),
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def bare(folder: Path) -> dict[str, float]:
    """The same of writing the rows alone."""
    from cai.exports import EXPORTS, load_export
    from cai.pipeline.export_facts import RunFacts
    from cai.pipeline.export_sources import records
    from cai.storage.run import Run

    spent = {"wall": 0.0, "cpu": 0.0, "rows": 0.0}
    run = Run.existing(folder)
    recipe = RunFacts.read(run).recipe
    (folder / "bare").mkdir()
    for name in EXPORTS:
        export = load_export(name)
        rows = export.rows(record for _, record in records(run, [export.source], recipe))
        _bare_files(export, rows, folder / "bare" / name, spent)
    return spent


def _bare_files(export: Any, rows: Iterator[Any], stem: Path, spent: dict[str, float]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    as_table = "parquet" in export.files
    table = pq.ParquetWriter(stem.with_suffix(".parquet"), export.schema()) if as_table else None
    with stem.with_suffix(".jsonl").open("w", encoding="utf-8") as lines:
        while chunk := [row for row in islice(rows, CHUNK) if isinstance(row, dict)]:
            wall, cpu = time.perf_counter(), time.process_time()
            if export.files != ("parquet",):
                for row in chunk:
                    lines.write(json.dumps(row) + "\n")
            if table is not None:
                table.write_table(pa.Table.from_pylist(chunk, export.schema()))
            spent["wall"] += time.perf_counter() - wall
            spent["cpu"] += time.process_time() - cpu
            spent["rows"] += len(chunk)
    if table is not None:
        table.close()


def _child(side: str, folder: Path, count: int) -> dict[str, float]:
    folder.mkdir()
    write_run(folder, count)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_exports", side, str(folder)],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as held:
        few = _child("ours", Path(held) / "few", ROWS // 10)
    with tempfile.TemporaryDirectory() as held:
        many = _child("ours", Path(held) / "many", ROWS)
    with tempfile.TemporaryDirectory() as held:
        plain = _child("bare", Path(held) / "bare", ROWS)
    assert many["rows"] == plain["rows"]
    rates = {key: (many["rows"] / many[key], plain["rows"] / plain[key]) for key in ("wall", "cpu")}
    both = sorted(mine / theirs for mine, theirs in rates.values())
    for key, clock in (("cpu", "a processor second"), ("wall", "a second of the clock")):
        mine, theirs = rates[key]
        unit = f"rows {clock}, all formats of {ROWS:,} preferences, ours / bare; the range is both clocks"
        yield Result(f"exports_{key}", mine / theirs, *both, ">= 0.5", mine, theirs, unit, machine())
    ratio = many["peak_kib"] / few["peak_kib"]
    yield Result(
        "exports_memory", ratio, ratio, ratio, "<= 1.2", many["peak_kib"] / 1024, few["peak_kib"] / 1024,
        f"peak MiB, {ROWS:,} / {ROWS // 10:,} preferences", machine(),
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps({"ours": ours, "bare": bare}[sys.argv[1]](Path(sys.argv[2]))))
