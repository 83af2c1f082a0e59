"""The audit of a run's judge: planted items asked like any other pair, stored votes counted, gates held (issue 4)."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from cai import audit
from cai.constitution import Scope
from cai.draws import draw_bits
from cai.embedded import outcome
from cai.errors import AuditError, ParseError
from cai.human_preferences import read_human_preferences
from cai.judge_records import Deliberation
from cai.pipeline.job import Job, store_path
from cai.pipeline.label_work import judging_stage
from cai.pipeline.stage_loop import row_bytes, run_stage
from cai.plots import reliability_diagram
from cai.preferences import debiased_logit, paired_votes, sigmoid, soft_label, usable
from cai.records import Draft, Json, Judgement
from cai.stages import Stage
from cai.stages.planted import Planted
from cai.storage.calls import CallStore
from cai.storage.run import atomic_write, read_rows, write_json

VERSION = 1
OUTPUT = "metrics/audit.json"
DIAGRAM = "metrics/reliability.svg"
ITEMS, REASONS, VOTES = "audit/items.jsonl", "audit/reasons.jsonl", "audit/votes.jsonl"
BESIDE = (
    ITEMS, REASONS, VOTES, *(one.replace(".jsonl", ".rejected.jsonl") for one in (REASONS, VOTES)), DIAGRAM,
)  # fmt: skip


def run_audit(job: Job) -> Json:
    """`metrics/audit.json`: figures of the stored votes, of the planted items, against the truth, and the gates."""
    settings = job.recipe.audit
    drafts = _drafts(job, settings.items)
    planted = audit.planted_items(drafts, job.constitution, settings.items, job.recipe.seed)
    items = [*audit.constitution_items(job.constitution), *planted]
    verdicts, calls = judged(job, items, job.run.path(ITEMS).parent)
    votes, forecasts = _stored(job)
    truth = audit.calibration(forecasts)
    label = json.loads(job.run.path("metrics/label.json").read_text(encoding="utf-8"))
    found = audit.planted_figures(verdicts)
    gates = audit.gates(label, found, truth, bounds(job))
    figures: Json = {
        "judge": job.engine("judge").spec,
        "votes": {key: label[key] for key in _KEPT} | votes.to_json(),
        "planted": {"items": len(items), **found},
        "truth": truth and {**truth, "source": "files" if settings.truth else "the embedded world"},
        "gates": [one.to_json() for one in gates],
        "failed": [one.name for one in gates if one.passed is False],
    }
    if truth:
        with atomic_write(job.run.path(DIAGRAM)) as handle:
            handle.write(reliability_diagram(truth["bins"], "The judge's labels against the truth"))
    write_json(job.run.path(OUTPUT), figures)
    return {"rows": len(items), **calls, "failed": figures["failed"]}


_KEPT = (
    "pairs", "flip_rate", "clear", "clear_flip_rate", "position_bias", "p_first", "ties", "abstained", "abstained_why",
    "kinds", "cyclic_share", "longer_chosen",
)  # fmt: skip


def bounds(job: Job) -> dict[str, float | None]:
    """The bound of every gate; None where the recipe leaves it out."""
    return {name: value for name, value in asdict(job.recipe.audit).items() if name not in ("items", "truth")}


def require_passed(job: Job) -> Json:
    """What the training notes of the audit; raises `AuditError` where a gate failed and that was not accepted."""
    if not job.recipe.audit.items:
        return {"audit": "none"}
    failed = [one for one in json.loads(job.run.path(OUTPUT).read_text())["gates"] if one["passed"] is False]
    if not failed:
        return {"audit": "passed"}
    said = "; ".join(f"{one['gate']} is {one['value']:.3g}, {one['sense']} {one['bound']:g} wanted" for one in failed)
    if job.accept_audit:
        return {"audit": f"accepted: {said}"}
    raise AuditError(
        f"the judge failed its audit ({said}), so nothing was trained on its labels; read `cai audit {job.run.folder}` "
        "and mend the judge or the constitution, or run again with --accept-audit"
    )


def judged(job: Job, items: Iterable[audit.Item], folder: Path) -> tuple[list[audit.PlantedVerdict], Json]:
    """Every item with the judge's P(better), asked as the run's own pairs are; files into `folder`.

    What was answered before is not asked again. A pair that the judge gave no answer on has none.
    """
    asked = list({item.id: item for item in items}.values())
    steps = {"reason": REASONS, "label": VOTES} if job.recipe.label.reasoning_samples else {"label": VOTES}
    kind: Any = Deliberation if "reason" in steps else Judgement
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / Path(ITEMS).name
    with atomic_write(source, "wb") as handle:
        for item in asked:
            handle.write(
                row_bytes({"item": item.to_json(), "record": kind(item.prompt, item.better, item.worse, ()).to_json()})
            )
    calls = {"calls_made": 0, "calls_saved": 0}
    for step, name in steps.items():
        stage, output = Planted(_by_principle(job, asked, step), kind.from_json), folder / Path(name).name
        with CallStore(store_path(job.run)) as store:
            done = run_stage(
                stage,
                job.only("judge"),
                source,
                output,
                store,
                rows_expected=len(asked),
                progress=job.reporter.progress,
            )
        calls = {key: calls[key] + getattr(done, key) for key in calls}
        source = output
    rows = {audit.Item.from_json(row["item"]).id: Judgement.from_json(row["record"]) for row in read_rows(source)}
    return [audit.PlantedVerdict(item, _p_a(job, rows.get(item.id))) for item in asked], calls


def _by_principle(job: Job, items: Iterable[audit.Item], step: str) -> dict[str, Stage]:
    """The judge's stage for each principle alone, in reach of everything."""
    label = replace(job.recipe.label, principles_per_pair=1)
    stages: dict[str, Stage] = {}
    for name in sorted({item.principle_id for item in items}):
        alone = replace(job.constitution.by_id(name), applies_to=Scope(), only_for=None)
        constitution = replace(job.constitution, principles=(alone,))
        recipe = replace(job.recipe, label=label)
        stages[name] = judging_stage(replace(job, constitution=constitution, recipe=recipe), step)
    return stages


def _p_a(job: Job, judgement: Judgement | None) -> float | None:
    """P(a) before clamp and tie band; None where there is no vote that counts."""
    if judgement is None:
        return None
    try:
        return soft_label(judgement, replace(job.recipe.preferences, clamp=None, tie_band=0.0)).p_a
    except ParseError:
        return None


def _drafts(job: Job, each: int) -> list[Draft]:
    """The `each` last answers that are drawn first, and as many that a revision changed; memory does not grow."""
    path, seed = job.run.path(f"revise-{job.recipe.critique.rounds}.jsonl"), job.recipe.seed

    def drawn(wanted: Callable[[Draft], bool]) -> list[Draft]:
        every = (Draft.from_json(row) for row in read_rows(path))
        return heapq.nsmallest(each, filter(wanted, every), key=lambda one: draw_bits(seed, one.id, "audit"))

    both = [*drawn(lambda one: True), *drawn(audit.was_mended)]
    return list({one.id: one for one in both}.values())


def _stored(job: Job) -> tuple[audit.VoteFigures, list[audit.Forecast]]:
    """Figures of the run's own pairs, and what was forecast where the truth is known."""
    figures, forecasts = audit.VoteFigures(), list[audit.Forecast]()
    ranked = _ranked_by_people(job)
    for row in read_rows(job.run.path("label.jsonl")):
        judgement = Judgement.from_json(row)
        p_a = _p_a(job, judgement)
        if p_a is None:
            continue
        longer = len(judgement.response_a) - len(judgement.response_b)
        said = _said(job, judgement)
        figures.add(longer, p_a, said)
        if job.recipe.audit.truth:
            better = ranked.get((judgement.prompt.id, frozenset((judgement.response_a, judgement.response_b))))
            told = [(p_a, better == judgement.response_a)] if better else []
        else:
            sides = outcome.better_sides(judgement, said)
            told = [(said[name], side == "a") for name, side in sides.items()]
        forecasts += [audit.Forecast(p, a_better, longer) for p, a_better in told]
    return figures, forecasts


def _said(job: Job, judgement: Judgement) -> dict[str, float]:
    """P(a) under each principle that gave a verdict, mean over samples."""
    floor, temperature = job.recipe.preferences.mass_floor, job.recipe.preferences.temperature
    found: dict[str, list[float]] = {}
    for (name, _), (ab, ba) in paired_votes(judgement).items():
        if usable(ab, floor) and usable(ba, floor):
            found.setdefault(name, []).append(sigmoid(debiased_logit(ab, ba) / temperature))
    return {name: fmean(some) for name, some in found.items()}


def _ranked_by_people(job: Job) -> dict[tuple[str, frozenset[str]], str]:
    """The better of two answers to a prompt, of the files of `audit.truth`."""
    read = [read_human_preferences(file) for file in job.recipe.audit.truth]
    return {
        (one.prompt.id, frozenset((one.response_a, one.response_b))): one.chosen
        for some in read for one in some.preferences if one.p_a != 0.5
    }  # fmt: skip
