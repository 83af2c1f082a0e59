"""`make bench` and `make bench ONLY=name`: run the benchmarks, print the table, write `outputs/bench.json`.

A ratio that misses its bar makes the exit status 1.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from tests.benchmarks.measure import Result

HERE = Path(__file__).parent
OUT = Path("outputs") / "bench.json"


def main() -> None:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    chosen = [name for name in names if only in ("", name)]
    if not chosen:
        sys.exit(f"no benchmark is named '{only}' (there: {', '.join(names)})")
    found = {row["name"]: row for row in json.loads(OUT.read_text()) if isinstance(row, dict)} if OUT.exists() else {}
    print(f"{'name':<28}{'ratio':>9}  {'low to high':>20}  {'bar':>10}  {'':<6}  {'ours':>12}  {'theirs':>12}  unit")
    missed = []
    for name in chosen:
        for result in importlib.import_module(f"tests.benchmarks.bench_{name}").results():
            show(result)
            missed += [result.name] if result.holds is False else []
            found[result.name] = result.to_json()
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(list(found.values()), indent=2) + "\n")
    print(f"written to {OUT}")
    if missed:
        sys.exit(f"{len(missed)} of these miss their bar: {', '.join(missed)}")


def show(one: Result) -> None:
    interval = f"{one.low:.3g} to {one.high:.3g}"
    sides = f"{one.ours:>12,.4g}  {one.theirs:>12,.4g}"
    said = {True: "holds", False: "MISSES", None: ""}[one.holds]
    print(f"{one.name:<28}{one.ratio:>9.3g}  {interval:>20}  {one.bar:>10}  {said:<6}  {sides}  {one.unit}", flush=True)


main()
