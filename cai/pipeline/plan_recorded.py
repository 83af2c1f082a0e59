"""How long the run itself took for its calls and trainings: what tells a plan's time where nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cai.pipeline.plan_training import Training
from cai.pipeline.step import Step
from cai.records import Json
from cai.storage.run import Run


def recorded_call(run: Run, step: Step, like: str) -> float | None:
    """Seconds a call, loading included, of this step, of one `like` it, or of another round, by the same model."""
    for entry in _entries(run, step.name, like):
        if entry.get("calls_made") and entry["settings"].get("model") == step.settings.get("model"):
            return float(entry["seconds"]) / int(entry["calls_made"])
    return None


def _entries(run: Run, name: str, like: str) -> Iterator[Json]:
    yield from (run.steps[one] for one in (name, like) if one in run.steps)
    yield from (entry for one, entry in run.steps.items() if one.partition("-")[0] == like.partition("-")[0])


def recorded_training(run: Run, step: Step, training: Training) -> Training:
    """The training with the time that a row of the last one took, whatever its settings were; as it is without one."""
    entry = run.steps.get(step.name, {})
    if not entry.get("steps"):
        return training
    a_row = float(entry["seconds"]) / (int(entry["steps"]) * int(entry["settings"]["batch_size"]))
    return replace(training, each=a_row * int(step.settings["batch_size"]), timed="run")
