"""Small runs with the fake engine, for the tests of the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe
from cai.records import Json

DATA_ONLY: dict[str, Any] = {
    "train": [], "sample.policy": "base", "critique.rounds": 2, "max_rejected": 1.0, "audit.items": 0,
}  # fmt: skip


def write_prompts(folder: Path, red_team: int = 20, helpful: int = 8) -> Path:
    """A prompt file with that many prompts of each kind."""
    path = folder / "prompts.jsonl"
    rows = [{"prompt": f"How do I annoy neighbour {n}?", "kind": "red_team"} for n in range(red_team)]
    rows += [{"prompt": f"How do I bake bread number {n}?", "kind": "helpful"} for n in range(helpful)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fake_run(
    folder: Path, prompts: Path, model: str = "fake", until: str | None = None, accept_audit: bool = False,
    **settings: Any,
) -> Json:  # fmt: skip
    """Run the data part of `rl-cai` with the fake engine into `folder`."""
    named = {key.replace("__", "."): value for key, value in settings.items()}
    overrides = {**DATA_ONLY, "model": model, "prompts": [str(prompts)], **named}
    recipe = load_recipe("rl-cai", overrides)
    command = {"recipe": "rl-cai", "overrides": overrides}
    return run_recipe(recipe, folder, until=until, command=command, accept_audit=accept_audit)


def calls(summary: Json) -> dict[str, int]:
    """Calls made just now by step, of the steps that made any."""
    return {one["step"]: one["calls_made"] for one in summary["stages"] if one["ran"] and one["calls_made"]}


def all_files(folder: Path) -> dict[str, bytes]:
    """The bytes of every data file of a run."""
    names = sorted([*folder.glob("*.jsonl"), *folder.glob("datasets/**/*.*"), folder / "metrics" / "label.json"])
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}
