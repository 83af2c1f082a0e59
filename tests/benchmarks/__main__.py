"""`make bench` and `make bench ONLY=name`: run the benchmarks, print the table, write `outputs/bench.json`.

A ratio that misses its bar, or a side that fails, makes the exit status 1; what `ONLY` asks for and cannot be run makes
it 2. Rows of earlier runs, and those of other machines, stay in the file: each says from which commit ("+": with other
changes) and when.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.measure import Failed, Result, SideFailed, Skipped, commit, failing

HERE = Path(__file__).parent
OUT = Path("outputs") / "bench.json"


def main() -> None:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    chosen = [name for name in names if only in ("", name)]
    if not chosen:
        sys.exit(f"no benchmark is named '{only}' (there: {', '.join(names)})")
    written = json.loads(OUT.read_text()) if OUT.exists() else []
    rows = [{"commit": "", "date": "", **row} for row in written if isinstance(row, dict)]
    found = {(row["name"], row["machine"]): row for row in rows}
    made_from = commit()
    print(f"{'name':<28}{'ratio':>9}  {'low to high':>20}  {'bar':>10}  {'':<6}  {'ours':>12}  {'theirs':>12}  unit")
    missed, failed, skipped = list[str](), list[str](), list[Skipped]()
    for name in chosen:
        for result in results_of(name):
            if isinstance(result, Skipped | Failed):
                print(result, flush=True)
                skipped += [result] if isinstance(result, Skipped) else []
                failed += [result.name] if isinstance(result, Failed) else []
                continue
            show(result)
            missed += [result.name] if result.holds is False else []
            made = {"commit": made_from, "date": datetime.now(UTC).isoformat(timespec="seconds")}
            found[result.name, result.machine] = {**result.to_json(), **made}
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(list(found.values()), indent=2) + "\n")
    print(f"written to {OUT}" if OUT.exists() else f"nothing was measured, so there is no {OUT}")
    bad = [f"{len(failed)} of these failed: {', '.join(failed)}"] if failed else []
    bad += [f"{len(missed)} of these miss their bar: {', '.join(missed)}"] if missed else []
    if bad:
        sys.exit("\n".join(bad))
    if only and skipped:
        print("; ".join(map(str, skipped)))
        sys.exit(2)


def results_of(name: str) -> Iterator[Result | Skipped | Failed]:
    """The rows of a benchmark; where a process that all of them need fails, what came before it and that."""
    try:
        yield from importlib.import_module(f"tests.benchmarks.bench_{name}").results()
    except (SideFailed, subprocess.CalledProcessError) as error:
        yield failing(name, error)


def show(one: Result) -> None:
    interval = f"{one.low:.3g} to {one.high:.3g}"
    sides = f"{one.ours:>12,.4g}  {one.theirs:>12,.4g}"
    said = {True: "holds", False: "MISSES", None: ""}[one.holds]
    print(f"{one.name:<28}{one.ratio:>9.3g}  {interval:>20}  {one.bar:>10}  {said:<6}  {sides}  {one.unit}", flush=True)


if __name__ == "__main__":
    main()
