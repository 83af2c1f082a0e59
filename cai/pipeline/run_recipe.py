"""`run_recipe`: everything checked first, then the stale steps in order, each recorded in the manifest as it ends."""

from __future__ import annotations

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from cai import __version__
from cai.pipeline import audit_work
from cai.pipeline.audit_pairs import check_against
from cai.pipeline.dataset_card import refresh_card
from cai.pipeline.job import Job, Reporter, Silent
from cai.pipeline.spending import Spending
from cai.pipeline.staleness import Plan, later_steps, stale_steps, why_stale
from cai.pipeline.step import Step
from cai.pipeline.steps import checked_job, roles_until, step_names, steps_of
from cai.pipeline.summary import write_summary
from cai.recipe import Recipe
from cai.recipe_files import recipe_files, write_recipe
from cai.records import Json
from cai.storage.run import Run, atomic_write, file_sha256, signature


def run_recipe(
    recipe: Recipe, folder: Path, *, until: str | None = None, command: Json | None = None,
    reporter: Reporter | None = None, accept_audit: bool = False, spending: Spending | None = None,
) -> Json:  # fmt: skip
    """Bring the run in `folder` up to date and return its summary; `spending` bounds what may be asked for that.

    Raises a `CAIError` before anything is written when the recipe, the constitution, a file of prompts or ranked pairs,
    a model or the folder cannot be used, and `AuditError` before it trains on the labels of a judge that did not pass
    its audit, or has none, unless `accept_audit`, and `BudgetError` before a call that could pass the budget.
    """
    run = Run(folder)
    roles = roles_until(recipe, until)
    job = checked_job(recipe, run, until)
    job.reporter, job.accept_audit, job.spending = reporter or Silent(), accept_audit, spending or Spending()
    job.check_spending(roles)
    steps = steps_of(job, until)
    plan = {step.name: step.plan() for step in steps}
    stale = stale_steps(run, plan)
    audit_work.require_audit(job, plan, stale)
    if stale:
        job.check_roles(roles)
        job.check_people(stale)
        if "audit" in stale:
            check_against(job)
    with run.locked():
        run = job.run = Run(folder)
        for note in job.notes:
            job.reporter.note(note)
        _begin(job, plan, until, command or {})
        done = [step.name for step in steps if _brought_up_to_date(job, step)]
        if any(step.name == "export" for step in steps):
            refresh_card(run)
        return write_summary(job, until, done)


def _begin(job: Job, plan: Plan, until: str | None, command: Json) -> None:
    """Write down what this run is before its first step."""
    manifest = job.run.manifest
    manifest |= {"cai": __version__, "command": {**command, "folder": str(Path.cwd())}, "until": until}
    manifest["plan"] = plan | later_steps(job.run, plan, step_names(job.recipe))
    manifest["verdicts"] = job.readings
    manifest["sources"] = job.sources() | _recipe_sources(command)
    job.run.save()
    write_recipe(job.recipe, job.run.path("recipe.yaml"))
    if job.constitution.path is not None:
        with atomic_write(job.run.path("constitution.yaml"), "wb") as handle:
            handle.write(job.constitution.path.read_bytes())


def _recipe_sources(command: Json) -> Json:
    return {str(path.resolve()): signature(path) for path in recipe_files(command.get("recipe"))}


def _brought_up_to_date(job: Job, step: Step) -> bool:
    """Run one step unless it is as planned. Its old entry goes first: a step that was cut off has not been done.

    Steps are looked at one by one, each after those before it: a step whose input came out byte for byte as it was is
    not done again.
    """
    why = why_stale(job.run, step.name, step.plan(), {})
    told = step.gate(job, bool(why)) if step.gate else {}
    if not why:
        entry = job.run.steps[step.name]
        if told != {key: entry.get(key) for key in told}:
            job.run.finish(step.name, entry | told)
        return False
    if job.run.steps.pop(step.name, None) is not None:
        job.run.save()
    for file in step.beside:
        job.run.path(file).unlink(missing_ok=True)
    job.reporter.start(step.name, why)
    started = time.monotonic()
    counts = step.work(job)
    output = job.run.path(step.output)
    beside = [path for path in map(job.run.path, step.beside) if path.exists()]
    entry = {
        "settings": step.settings,
        "inputs": {source: job.run.steps[source]["sha256"] for source in step.reads},
        "output": step.output,
        "sha256": file_sha256(output),
        "files": {str(one.relative_to(job.run.folder)): signature(one) for one in [*_files_of(output), *beside]},
        "rejected": 0,
        "calls_made": 0,
        "calls_saved": 0,
        **counts,
        **told,
        "seconds": round(time.monotonic() - started, 3),
        "versions": _versions(),
    }
    job.run.finish(step.name, entry)
    job.reporter.finish(step.name, entry)
    return True


def _versions() -> dict[str, str]:
    """Of Python, of cai, and of whatever the step has loaded that its output could depend on."""
    libraries = [
        name for name in ("torch", "transformers", "tokenizers", "trl", "openai", "pyarrow") if name in sys.modules
    ]
    return {"python": platform.python_version(), "cai": __version__, **{name: version(name) for name in libraries}}


def _files_of(output: Path) -> list[Path]:
    return sorted(one for one in output.rglob("*") if one.is_file()) if output.is_dir() else [output]
