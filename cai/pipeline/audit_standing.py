"""Whether labels may be trained on: what the run's audit says of its judge, and whether it is of these very labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cai.audit import BOUND_WANTED, failings, make_up, objections, standing, too_little, unheld
from cai.errors import AuditError, InputError
from cai.pipeline.export_facts import FACTS
from cai.pipeline.job import Job, settings_json
from cai.pipeline.staleness import differences
from cai.recipe_files import load_recipe
from cai.records import Json
from cai.storage.run import MANIFEST, Run, file_sha256

OUTPUT = "metrics/audit.json"
VOTES, LABELS, DATASETS = "label.jsonl", "preferences.jsonl", "datasets"
UNKNOWN = "no audit of these labels is known"
"""What is said of an AI judge's labels that lie in no run."""
ACCEPTED = "accepted_audits"
"""In a run's manifest: folder of a model that was trained on its labels -> which labels, and what was accepted."""


def audited(job: Job) -> Json:
    """What an audit is of: the judge, its votes and labels by their sha256, and all settings of the step."""
    steps, plan = job.run.steps, job.run.manifest["plan"]
    return {
        "judge": job.engine("judge").fingerprint,
        "votes": steps["label"]["sha256"],
        "labels": steps["preferences"]["sha256"],
        "settings": plan["audit"]["settings"],
    }


def run_of(file: Path) -> Run | None:
    """The run in whose folder a file lies, if any; raises `RunError` for one that another version made."""
    for folder in file.resolve().parents:
        if _is_run(folder / MANIFEST):
            return Run(folder)
    return None


def _is_run(manifest: Path) -> bool:
    """Whether it is a manifest of cai: others go by that name too."""
    try:
        return bool({"format", "steps"} <= json.loads(manifest.read_text(encoding="utf-8")).keys())
    except (OSError, ValueError, AttributeError):
        return False


def audit_of(file: Path, accepted: bool) -> str:
    """What the audit says of the judge whose labels the file holds; empty where it lies in no run.

    Raises `AuditError` where a gate failed, where the audit measured too little to tell or has no bound on it, where
    there is none, or where it is of other labels, another judge or other settings than the run has now; unless that is
    `accepted`.
    """
    run = run_of(file)
    if run is None:
        return ""
    path = run.path(OUTPUT)
    if not path.is_file():
        return _unless(accepted, file, "no audit", f"the judge of these labels was not audited (no {path})", run)
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        gates = figures["gates"]
        failed, few, loose = failings(gates), too_little(gates), unheld(gates)
        wrong, said = objections(gates), standing(gates)
        todo = make_up(gates, "take more prompts or audit.items=50 in the run")
        why = _not_of(run, file, figures.get("audited"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError("not the audit of a judge; delete it, and cai audit makes it again", path) from None
    if why:
        problem = f"the audit is not of these labels ({why}; {path})"
        return _unless(accepted, file, f"stale audit: {why}", problem, run)
    if failed and not accepted:
        raise AuditError(
            f"{file}: the judge of these labels failed its audit ({failed}; {path}), so nothing was trained on them; "
            "mend the judge or the constitution, or say --accept-audit"
        )
    if few and not accepted:
        raise AuditError(
            f"{file}: the audit of the judge of these labels measured too little to tell: {few} ({path}), so nothing "
            f"was trained on them; {todo}, or say --accept-audit"
        )
    if loose and not accepted:
        raise AuditError(
            f"{file}: the recipe holds the judge of these labels to no bound on {loose} ({path}), so nothing was "
            f"trained on them; {BOUND_WANTED} in the run, or say --accept-audit"
        )
    return f"accepted: {wrong} ({said})" if wrong else said


def current_audit(run: Run) -> Json | None:
    """The figures of the run's audit if it is of the labels that the run has now."""
    path = run.path(OUTPUT)
    if not path.is_file():
        return None
    figures: Json = json.loads(path.read_text(encoding="utf-8"))
    return None if _not_of(run, run.path(LABELS), figures.get("audited")) else figures


def note_accepted(file: Path, out: Path, said: str) -> None:
    """Write what was accepted into the manifest of the run that the labels are of; raises `RunError` if it is busy."""
    run = run_of(file)
    if run is None or not said.startswith("accepted: "):
        return
    with run.locked():
        run = Run(run.folder)
        name = str(file.resolve().relative_to(run.folder))
        run.manifest[ACCEPTED] = run.manifest.get(ACCEPTED, {}) | {str(out.resolve()): {"labels": name, "audit": said}}
        run.save()


def _unless(accepted: bool, file: Path, short: str, problem: str, run: Run) -> str:
    if accepted:
        return f"accepted: {short}"
    raise AuditError(
        f"{file}: {problem}, so nothing was trained on them; `cai audit {run.folder}` makes one, or where steps are "
        "stale the run's own `cai run ... --until audit`, or say --accept-audit"
    )


def _not_of(run: Run, file: Path, made_of: Json | None) -> str:
    """Why an audit is not of the labels in `file` as they and their run are now; empty if it is."""
    if not made_of:
        return "it does not say of which: it was made by an earlier version"
    return next(_differences(run, file, made_of), "")


def _differences(run: Run, file: Path, made_of: Json) -> Iterator[str]:
    votes, labels = run.path(VOTES), _labels_sha256(run, file)
    judge = run.steps.get("label", {}).get("settings", {}).get("model", made_of["judge"])
    if judge != made_of["judge"]:
        yield "another judge gave the votes"
    if votes.is_file() and file_sha256(votes) != made_of["votes"]:
        yield f"{VOTES} has changed since"
    if labels not in (None, made_of["labels"]):
        yield f"{LABELS} has changed since" if file.name == LABELS else "it was exported from other labels"
    yield from differences(made_of["settings"], _settings_now(run, made_of["settings"]))


def _labels_sha256(run: Run, file: Path) -> str | None:
    """The sha256 of the labels that the file holds or was exported from; None if that is not known."""
    file, own = file.resolve(), run.folder.resolve()
    if file == own / LABELS:
        return file_sha256(file)
    inputs: Json = {}
    here = file.relative_to(own)
    for folder in (here, *here.parents):
        if (facts := own / folder / FACTS).is_file():
            inputs = _inputs_of(facts)
            break
        if str(folder) == DATASETS:
            inputs = run.steps.get("export", {}).get("inputs", {})
    return inputs.get("preferences")


def _inputs_of(facts: Path) -> Json:
    """The sha256 of every file of the run that an export was made from."""
    try:
        inputs: Json = json.loads(facts.read_text(encoding="utf-8"))["run"]["inputs"]
    except (ValueError, KeyError, TypeError):
        raise InputError("does not say what was exported; `cai export` writes it again", facts) from None
    return inputs


def _settings_now(run: Run, otherwise: Json) -> Json:
    """The settings that an audit made now would have, as far as the run tells without its models."""
    planned: Json = run.manifest.get("plan", {}).get("audit", {}).get("settings", otherwise)
    recipe = run.path("recipe.yaml")
    if not recipe.is_file():
        return planned
    return planned | settings_json(load_recipe(str(recipe)).audit, "truth")
