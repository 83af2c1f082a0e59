"""`make bench` and `make bench ONLY=name`: run the benchmarks, print the table, write `outputs/bench.json`."""

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
    print(f"{'name':<22}{'ratio':>8}  {'low to high':>16}  {'bar':>8}  {'ours':>12}  {'theirs':>12}  unit")
    for name in chosen:
        for result in importlib.import_module(f"tests.benchmarks.bench_{name}").results():
            show(result)
            found[result.name] = result.to_json()
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(list(found.values()), indent=2) + "\n")
    print(f"written to {OUT}")


def show(one: Result) -> None:
    interval = f"{one.low:.2f} to {one.high:.2f}"
    sides = f"{one.ours:>12,.4g}  {one.theirs:>12,.4g}"
    print(f"{one.name:<22}{one.ratio:>8.2f}  {interval:>16}  {one.bar:>8}  {sides}  {one.unit}", flush=True)


main()
