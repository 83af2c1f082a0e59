"""How the embedded model's figures go with its size and with how much it is taught, on a GPU.

`python -m tests.benchmarks.sweep_embedded OUT` trains the variants side by side on the GPU, measures each, and the
shipped weights too, on held-out prompts of a draw that nothing was chosen on, and writes `OUT/sweep.json`. A training
that is there already goes on. `--only NAME,NAME` takes some of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from cai.embedded.train import TrainSettings

BASE = TrainSettings()
VARIANTS = {
    "smaller": replace(BASE, hidden=128, inner=344, layers=4, heads=4, steps=5000),
    "shipped_shape": replace(BASE, steps=5000),
    "larger": replace(BASE, hidden=256, inner=688, layers=8, heads=8, steps=5000),
    "half_as_much": replace(BASE, steps=2500),
}
SEED = 21


def one(name: str, out: Path, device: str) -> None:
    """Train a variant and write its figures."""
    from cai.embedded import weights_path
    from cai.embedded.evaluate import evaluate
    from cai.embedded.train import train

    started, folder = time.perf_counter(), weights_path()
    row: dict[str, object] = {"name": name}
    if name != "shipped":
        settings, folder = VARIANTS[name], out / name / "model"
        train(out / name, settings, device=device)
        row |= {"steps": settings.steps, "hidden": settings.hidden, "layers": settings.layers}
    row["trained_in"] = round(time.perf_counter() - started, 1)
    (out / f"{name}.json").write_text(json.dumps(row))
    row["bytes"] = (folder / "model.safetensors").stat().st_size
    row["figures"] = evaluate(folder, seed=SEED, device=device)
    row["seconds"] = round(time.perf_counter() - started, 1)
    (out / f"{name}.json").write_text(json.dumps(row))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--only", default=",".join([*VARIANTS, "shipped"]), help="Which variants.")
@click.option("--device", default="cuda", show_default=True)
@click.option("--alone", is_flag=True, help="One variant, in this process.")
def main(out: Path, only: str, device: str, alone: bool) -> None:
    """Train and measure the variants."""
    unknown = [name for name in only.split(",") if name not in (*VARIANTS, "shipped")]
    if unknown:
        raise click.UsageError(f"no variant is named {unknown[0]} (there: {', '.join(VARIANTS)}, shipped)")
    if alone:
        one(only, out, device)
        return
    out.mkdir(parents=True, exist_ok=True)
    this = [sys.executable, "-m", "tests.benchmarks.sweep_embedded", str(out)]
    command = [*this, "--device", device, "--alone", "--only"]
    running = {name: subprocess.Popen([*command, name]) for name in only.split(",")}
    failed = [name for name, process in running.items() if process.wait()]
    rows = [json.loads(path.read_text()) for name in (*VARIANTS, "shipped") if (path := out / f"{name}.json").exists()]
    (out / "sweep.json").write_text(json.dumps(rows, indent=2) + "\n")
    for row in (row for row in rows if "figures" in row):
        values = {key: round(figure["value"], 3) for key, figure in row["figures"].items()}
        click.echo(f"{row['name']}: {row['bytes'] / 1e6:.1f} MB, {row['seconds']} s, {values}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
