"""`run_recipe`: everything checked first, then the stale steps in order, each recorded in the manifest as it ends."""

from __future__ import annotations

import platform
import time
from pathlib import Path

from cai import __version__
from cai.pipeline.job import Job, Reporter, Silent
from cai.pipeline.staleness import stale_steps
from cai.pipeline.steps import Step, forms_until, steps_of
from cai.pipeline.summary import write_summary
from cai.recipe import Recipe
from cai.recipe_files import write_recipe
from cai.records import Json
from cai.storage.run import Run, atomic_write, file_sha256, signature


def run_recipe(
    recipe: Recipe, folder: Path, *, until: str | None = None, command: Json | None = None,
    reporter: Reporter | None = None,
) -> Json:  # fmt: skip
    """Bring the run in `folder` up to date and return its summary.

    Raises a `CAIError` before anything is written when the recipe, the constitution, a prompt file, a model or the
    folder cannot be used.
    """
    run = Run(folder)
    job = Job.checked(recipe, run, forms_until(recipe, until))
    job.reporter = reporter or Silent()
    steps = steps_of(job, until)
    with run.locked():
        run = job.run = Run(folder)
        stale = stale_steps(run, {step.name: step.plan() for step in steps})
        _begin(job, steps, until, command or {})
        for step in steps:
            if step.name in stale:
                _do(job, step, stale[step.name])
        return write_summary(job, until, stale)


def _begin(job: Job, steps: list[Step], until: str | None, command: Json) -> None:
    """Write down what this run is before its first step; the planned steps of an earlier, longer run stay."""
    manifest = job.run.manifest
    manifest |= {"cai": __version__, "command": command, "until": until, "sources": job.sources()}
    manifest["plan"] = {step.name: step.plan() for step in steps}
    job.run.save()
    write_recipe(job.recipe, job.run.path("recipe.yaml"))
    if job.constitution.path is not None:
        with atomic_write(job.run.path("constitution.yaml"), "wb") as handle:
            handle.write(job.constitution.path.read_bytes())


def _do(job: Job, step: Step, why: str) -> None:
    """Run one step. Its old entry goes first: a step that was cut off is one that has not been done."""
    if job.run.steps.pop(step.name, None) is not None:
        job.run.save()
    job.reporter.start(step.name, why)
    started = time.monotonic()
    counts = step.work(job)
    output = job.run.path(step.output)
    entry: Json = {
        "settings": step.settings,
        "inputs": {source: job.run.steps[source]["sha256"] for source in step.reads},
        "sha256": file_sha256(output),
        "files": {str(file.relative_to(job.run.folder)): signature(file) for file in _files_of(output)},
        "rejected": 0,
        "calls_made": 0,
        "calls_saved": 0,
        **counts,
        "seconds": round(time.monotonic() - started, 3),
        "python": platform.python_version(),
    }
    job.run.finish(step.name, entry)
    job.reporter.finish(step.name, entry)


def _files_of(output: Path) -> list[Path]:
    return sorted(one for one in output.rglob("*") if one.is_file()) if output.is_dir() else [output]
