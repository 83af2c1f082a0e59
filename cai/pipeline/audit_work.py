"""The audit of a run's judge: planted pairs asked like any other, stored votes counted, gates held (issue 4)."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from cai import audit
from cai.draws import draw_bits
from cai.embedded import outcome
from cai.errors import AuditError
from cai.pipeline.audit_asking import WRITTEN, judged, label_of, tests_not_asked, untold_tests
from cai.pipeline.audit_pairs import answering_runs, audit_items
from cai.pipeline.audit_standing import OUTPUT, audited
from cai.pipeline.job import REWARD_MODEL, Job
from cai.pipeline.label_work import weights_by_prompt
from cai.plots import heat_map, reliability_diagram, share_bars
from cai.preferences import LabelFigures, bounded, clamp_of, debiased_logit, paired_votes, sigmoid, usable
from cai.recipe import Recipe
from cai.records import Json, Judgement
from cai.storage.run import atomic_write, read_rows, write_json

VERSION = 10
DIAGRAM, MATRIX, BARS = "metrics/reliability.svg", "metrics/agreement.svg", "metrics/planted.svg"
FOLDER = "audit"
BESIDE = (*(f"{FOLDER}/{name}" for name in WRITTEN), DIAGRAM, MATRIX, BARS)
ACCEPTED_SAID = "accepted: "
"""Begins what the manifest notes of an audit that was not passed and was accepted."""
NO_GATES = ("items", "truth", "pairs", "against")
FEWEST_PLANTED = 100
"""Planted pairs and attacks under which an audit says that it rests on little."""
_KEPT = ("pairs", "clear", "position_bias", "ties", "cyclic_share", "longer_chosen")


def run_audit(job: Job) -> Json:
    """`metrics/audit.json`: figures of the stored votes, of the planted items, against the truth, and the gates."""
    items = audit_items(job)
    verdicts, calls = judged(job, items, job.run.path(FOLDER))
    planted = audit.planted_figures(verdicts)
    votes, forecasts, held_out = _stored(job)
    truth = _truth(job, forecasts, held_out, verdicts)
    gates = audit.gates(votes, planted, truth, bounds(job))
    count = sum(one.item.planted in audit.TRUTHS for one in verdicts)
    notes = [*_notes(count), *untold_tests(tests_not_asked(job.constitution))]
    figures: Json = {
        "judge": job.engine("judge").spec,
        "audited": audited(job),
        "votes": votes,
        "planted": {"items": count, **planted},
        "truth": truth,
        "self_preference": _self_preference(job, verdicts),
        "gates": [one.to_json() for one in gates],
        "failed": [one.name for one in gates if one.passed is False],
        "too_little": audit.too_little([one.to_json() for one in gates]),
        "unheld": audit.unheld([one.to_json() for one in gates]),
        "notes": notes,
    }
    figures["plots"] = _draw(job, figures)
    write_json(job.run.path(OUTPUT), figures)
    return {"rows": len(items), **calls, "failed": figures["failed"], "notes": notes}


def _notes(planted: int) -> list[str]:
    if planted >= FEWEST_PLANTED:
        return []
    return [
        f"only {planted} planted pairs and attacks could be made from the run; an audit should rest on "
        f"{FEWEST_PLANTED} or more (more prompts, or `cai run ... --set audit.items=` a larger number)"
    ]


def bounds(job: Job) -> dict[str, float | None]:
    """The bound of every gate; None where the recipe leaves it open."""
    return {name: value for name, value in asdict(job.recipe.audit).items() if name not in NO_GATES}


def require_passed(job: Job, to_train: bool) -> Json:
    """What the manifest notes of the audit: how many gates passed, which are open or were not measured.

    Raises `AuditError` where a gate failed, where the audit measured too little to tell or has no bound on it, or where
    the recipe has none, and that was not accepted: now, or when the model was trained that is there already (not
    `to_train`).
    """
    if job.recipe.audit.items:
        gates = json.loads(job.run.path(OUTPUT).read_text(encoding="utf-8"))["gates"]
        said, standing = audit.objections(gates), audit.standing(gates)
        if not said:
            return {"audit": standing}
        accepted = f"{ACCEPTED_SAID}{said} ({standing})"
    else:
        accepted, gates = f"{ACCEPTED_SAID}no audit (audit.items is 0)", []
    if job.accept_audit or (not to_train and job.run.steps["reward"].get("audit") == accepted):
        return {"audit": accepted}
    so = "so nothing was trained on its labels" if to_train else f"and {REWARD_MODEL} was trained on its labels before"
    raise refusal(job.recipe, job.run.folder, gates, f", {so}")


def refusal(recipe: Recipe, folder: Path, gates: Sequence[Json], so: str = "") -> AuditError:
    """What is wrong with the audit of the run in `folder`, which did not pass, and what to do.

    `so` stands after what is wrong.
    """
    problem, todo = _problem(recipe, folder, gates)
    return AuditError(f"{problem}{so}; {todo}, or run again with --accept-audit")


def _problem(recipe: Recipe, folder: Path, gates: Sequence[Json]) -> tuple[str, str]:
    """What is wrong, and what to do; of several things the first."""
    if not recipe.audit.items:
        return "the judge has no audit (audit.items is 0)", "`--set audit.items=24` has 24 pairs of each kind asked"
    read = f"read `cai audit {folder}` and "
    if failed := audit.failings(gates):
        settled = audit.settling(gates, recipe.audit.items, recipe.limit is not None)
        todo = f"{settled}; " if settled else ""
        return f"the judge failed its audit ({failed})", f"{todo}{read}mend the judge or the constitution"
    if few := audit.too_little(gates):
        return (
            f"the audit of the judge measured too little to tell: {few}",
            f"{read}{audit.make_up(gates, 'take more prompts or `--set audit.items=50`')}",
        )
    return f"the recipe holds the judge to no bound on {audit.unheld(gates)}", audit.BOUND_WANTED


def require_audit(job: Job, plan: Container[str], stale: Container[str]) -> None:
    """Raise `AuditError` before anything is asked where a planned reward model would have labels without any audit."""
    if "reward" in plan and not job.recipe.audit.items:
        require_passed(job, "reward" in stale)


def _stored(job: Job) -> tuple[Json, list[audit.Forecast], int]:
    """Figures of the run's own pairs, forecasts of what the embedded world's rules decide, and of how many verdicts.

    Forecasts and n are of held-out prompts alone: the embedded judge was trained on the other side.
    """
    figures, forecasts, weights = audit.VoteFigures(), list[audit.Forecast](), weights_by_prompt(job)
    held_out = 0
    for row in read_rows(job.run.path("label.jsonl")):
        judgement = Judgement.from_json(row)
        figures.turn(judgement.prompt.id, _turns(job, judgement))
        p_a = label_of(job, judgement, weights(judgement.prompt))
        if p_a is None:
            continue
        longer, said = len(judgement.response_a) - len(judgement.response_b), _said(job, judgement)
        figures.add(judgement.prompt.id, longer, p_a, said)
        if judgement.prompt.split == "test":
            held_out += len(said)
            forecasts += _by_the_rules(job, judgement, said, longer)
    label = json.loads(job.run.path("metrics/label.json").read_text(encoding="utf-8"))
    kinds = audit.abstentions(label["kinds"], label["abstained_why"])
    return {key: label[key] for key in _KEPT} | figures.to_json() | {"kinds": kinds}, forecasts, held_out


def _by_the_rules(job: Job, judgement: Judgement, said: Mapping[str, float], longer: int) -> list[audit.Forecast]:
    clamp, prompt_id = clamp_of(judgement, job.recipe.preferences), judgement.prompt.id
    return [
        audit.Forecast(said[name], side == "a", longer, prompt_id, _trained(job, said[name], clamp))
        for name, side in outcome.better_sides(judgement, said).items()
    ]


def _trained(job: Job, p_a: float, clamp: tuple[float, float] | None) -> float | None:
    return None if clamp is None else bounded(p_a, job.recipe.preferences.tie_band, clamp)


def _turns(job: Job, judgement: Judgement) -> audit.Turns:
    one = LabelFigures(job.recipe.preferences.mass_floor)
    one.add(judgement, None)
    return audit.Turns(one.compared, one.flips, one.clear, one.clear_flips, one.first)


def _said(job: Job, judgement: Judgement) -> dict[str, float]:
    """P(a) under each principle that gave a verdict, mean over samples."""
    floor, temperature = job.recipe.preferences.mass_floor, job.recipe.preferences.temperature
    found: dict[str, list[float]] = {}
    for (name, _), (ab, ba) in paired_votes(judgement).items():
        if usable(ab, floor) and usable(ba, floor):
            found.setdefault(name, []).append(sigmoid(debiased_logit(ab, ba) / temperature))
    return {name: fmean(some) for name, some in found.items()}


def _truth(
    job: Job, forecasts: list[audit.Forecast], held_out: int, verdicts: list[audit.PlantedVerdict]
) -> Json | None:
    """The judge against the pairs of `audit.truth`, or else against the rules of the embedded world.

    These decide the share `decided` of the `held_out` verdicts, and say nothing of the others.
    """
    if not job.recipe.audit.truth:
        found = audit.calibration(forecasts)
        of = {"source": "the embedded world", "of": "verdicts under one principle"}
        return found and {**of, "held_out": held_out, "decided": len(forecasts) / held_out, **found}
    ranked = [one for one in verdicts if one.item.planted == "human"]
    found = audit.calibration([_forecast(job, one, one.p) for one in ranked if one.p is not None])
    unanswered = sum(one.p is None for one in ranked)
    files = ", ".join(job.recipe.audit.truth)
    return found and {"source": files, "of": "pairs that people ranked", "unanswered": unanswered, **found}


def _forecast(job: Job, one: audit.PlantedVerdict, p_better: float) -> audit.Forecast:
    """Which of the two is a is drawn, so that a is the better one about half the time."""
    longer, prompt_id = len(one.item.better) - len(one.item.worse), one.item.prompt.id
    if draw_bits(job.recipe.seed, one.item.id, "side") % 2:
        return audit.Forecast(p_better, True, longer, prompt_id, _trained(job, p_better, one.clamp))
    return audit.Forecast(1 - p_better, False, -longer, prompt_id, _trained(job, 1 - p_better, one.clamp))


def _self_preference(job: Job, verdicts: list[audit.PlantedVerdict]) -> Json | None:
    """None unless another model's answers are at hand (`audit.against`): those of a run are all of one model."""
    if job.recipe.audit.against is None:
        return None
    own, other = answering_runs(job)
    asked = [one for one in verdicts if one.item.planted == "own"]
    pairs = [audit.Beside(one.p, len(one.item.better) - len(one.item.worse)) for one in asked if one.p is not None]
    runs = {"own": str(own.folder), "other": str(other.folder)}
    return {**runs, "unanswered": len(asked) - len(pairs), **audit.self_preference(pairs)}


def _draw(job: Job, figures: Json) -> list[str]:
    """Write the plots that there is something to show in; gives their names."""
    rows = [(kind, one.get("held_raw", one["right"])) for kind, one in figures["planted"].items() if kind != "items"]
    plots: dict[str, str] = {}
    if figures["truth"]:
        plots[DIAGRAM] = reliability_diagram(figures["truth"]["bins"], "The judge's labels against the truth")
    if pairs := [one for one in figures["votes"]["agreement"]["pairs"] if one["value"] is not None]:
        plots[MATRIX] = heat_map(pairs, "Agreement between principles: Cohen's κ of their verdicts")
    plots[BARS] = share_bars(rows, "Planted pairs", "share right; of attacks, share that they did not turn")
    for name, plot in plots.items():
        with atomic_write(job.run.path(name)) as handle:
            handle.write(plot)
    return list(plots)
