"""What `cai status` tells of a run. Imports only the manifest's reader while nothing has been edited."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from cai.errors import CAIError
from cai.pipeline.kept import kept_answers
from cai.pipeline.staleness import Plan, changed_sources, later_steps, stale_steps
from cai.storage.run import Run

Json = dict[str, Any]


def run_status(folder: Path) -> list[Json]:
    """One row a step: its counts, and why it is stale if it is; `kept` and `expected` answers if it was cut off."""
    run = Run.existing(folder)
    plan = _plan_now(run)
    stale = stale_steps(run, plan)
    return [
        _status_row(name, run.steps.get(name, {}), stale.get(name, "")) | _begun(run, name, plan[name], name in stale)
        for name in plan
    ]


def stale_now(run: Run) -> tuple[dict[str, str], str]:
    """Step -> why it is stale, by the run's recipe and files as they are now; and what of these cannot be read.

    Where something cannot, the steps are held against the plan of the last run. Raises as `stale_steps` does.
    """
    problem = ""
    try:
        plan = _plan_now(run)
    except (CAIError, OSError) as unread:
        plan, problem = run.manifest.get("plan", {}), str(unread)
    return stale_steps(run, plan), problem


def _plan_now(run: Run) -> Plan:
    """The plan in the manifest while nothing that it was made from has been touched; else a new one.

    For that the constitution, the prompts and the recipe are read again.
    """
    if changed_sources(run):
        return _new_plan(run)
    plan: Plan = run.manifest.get("plan", {})
    return plan


def _begun(run: Run, name: str, planned: Json, stale: bool) -> Json:
    """Of a step that was begun and is not done: answers kept, and about how many it needs."""
    counts = kept_answers(run.folder, name, planned["settings"]) if stale else None
    return {"kept": counts[0], "expected": counts[1]} if counts else {}


def _new_plan(run: Run) -> Plan:
    from cai.pipeline.steps import checked_job, step_names, steps_of
    from cai.recipe_files import load_recipe

    command = run.manifest.get("command", {})
    until = run.manifest.get("until")
    run = Run(run.folder.resolve())
    with chdir(command.get("folder", ".")):
        recipe = load_recipe(command.get("recipe"), command.get("overrides", {}))
        job = checked_job(recipe, run, until)
        plan = {step.name: step.plan() for step in steps_of(job, until)}
    return plan | later_steps(run, plan, step_names(recipe))


def _status_row(name: str, entry: Mapping[str, Any], why: str) -> Json:
    counts = {key: entry.get(key) for key in ("rows", "rejected", "calls_made", "calls_saved", "seconds")}
    return {"step": name, **counts, "stale": bool(why), "why": why}
