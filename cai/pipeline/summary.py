"""The figures that `cai run` ends with, as one JSON document: `metrics/summary.json`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from cai.pipeline.audit_work import ACCEPTED_SAID
from cai.pipeline.job import Job
from cai.pipeline.label_work import HUMAN_REJECTED
from cai.pipeline.stage_loop import COUNTED
from cai.pipeline.staleness import stale_steps
from cai.pipeline.steps import last_step
from cai.records import Json
from cai.storage.run import Run, write_json


def write_summary(job: Job, until: str | None, ran: Collection[str]) -> Json:
    """Gather, write and return the summary of a run that is up to date; `ran` names the steps done just now."""
    run = job.run
    plan = run.manifest["plan"]
    stale = stale_steps(run, plan)
    current = [name for name in plan if name in run.steps and name not in stale]
    summary: Json = {
        "run": str(run.folder),
        "constitution": {"name": job.constitution.name, "sha256": job.constitution.sha256},
        "stages": [
            _stage(name, run.steps[name], name in ran, stale.get(name, "")) for name in plan if name in run.steps
        ],
        "label": _label(run) if "preferences" in current else None,
        "rubric": _rubric(run) if "rubric" in current else None,
        "reward": (_metrics(run, "reward") or {}).get("held_out") if "reward" in current else None,
        "audit": _metrics(run, "audit") if "audit" in current else None,
        "audit_accepted": _accepted(run) if "reward" in current else None,
        "world": _metrics(run, "policy") if "evaluate" in current else None,
        "files": {name: str(run.path(plan[name]["output"])) for name in current},
        "notes": job.notes,
        "next": _next_command(job, until),
    }
    write_json(run.path("metrics/summary.json"), summary)
    return summary


def _stage(name: str, entry: Mapping[str, Any], ran: bool, stale: str) -> Json:
    keys = ("rows", "rejected", "reasons", "left_out", *COUNTED, "seconds")
    return {"step": name, "ran": ran, "stale": stale, **{key: entry[key] for key in keys if key in entry}}


def _label(run: Run) -> Json:
    """The judge's figures, how its verdicts were read, and the mix with human labels if there is one."""
    figures = _metrics(run, "label") or {}
    read = run.steps["label"]["settings"]["verdicts"] if "label" in run.steps else None
    mix = run.steps["preferences"].get("mix")
    rejects = {"rejects": str(run.path(HUMAN_REJECTED))} if mix and mix.get("rejected") else {}
    return {**figures, "verdicts": read, "mix": mix and mix | rejects}


def _rubric(run: Run) -> Json:
    """What was graded, and how the judge's yes and no were read."""
    return {**(_metrics(run, "rubric") or {}), "verdicts": run.steps["rubric"]["settings"]["verdicts"]}


def _accepted(run: Run) -> str | None:
    """What was accepted of the audit when the reward model was trained, if anything had to be."""
    said = str(run.steps["reward"].get("audit", ""))
    return said.removeprefix(ACCEPTED_SAID) if said.startswith(ACCEPTED_SAID) else None


def _metrics(run: Run, name: str) -> Json | None:
    path = run.path(f"metrics/{name}.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _next_command(job: Job, until: str | None) -> str:
    folder = shlex.quote(str(job.run.folder))
    last = last_step(job.recipe, until) if until else "revise"
    if last == "audit":
        return f"cai audit {folder}"
    readable = job.run.path(f"{last}.jsonl").exists() or until is None
    return f"cai show {folder} {last}" if readable else f"cai status {folder}"
