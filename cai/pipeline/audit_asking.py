"""Asking the judge about pairs that no run gave it: its own stages, its own store, nothing paid for twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from cai import audit
from cai.constitution import Constitution, Principle, Scope, load_constitution
from cai.constitution.lint import require_sound
from cai.constitution.principles import lacking
from cai.errors import InputError, ParseError
from cai.intervals import wilson
from cai.judge_records import Deliberation
from cai.pipeline.job import Job, Reporter, Silent, settings_json, store_path
from cai.pipeline.label_work import judging_stage, weights_by_prompt
from cai.pipeline.stage_loop import COUNTED, rejects_path, row_bytes, run_stage
from cai.preferences import clamp_of, paired_votes, sigmoid, soft_label, unread, usable, why_abstained
from cai.prompts import PromptSet
from cai.recipe import Recipe
from cai.records import Json, Judgement
from cai.stages import Stage
from cai.stages.planted import Planted
from cai.storage.calls import CallStore
from cai.storage.run import Run, atomic_write, read_rows

ITEMS, REASONS, VOTES = "items.jsonl", "reasons.jsonl", "votes.jsonl"
WRITTEN = (ITEMS, REASONS, VOTES, "reasons.rejected.jsonl", "votes.rejected.jsonl")


def judged(job: Job, items: Sequence[audit.Item], folder: Path) -> tuple[list[audit.PlantedVerdict], Json]:
    """Every item with the judge's P(better), asked as the run's own pairs are; files into `folder`.

    What was answered before is not asked again. A pair that the judge gave no answer on has none.
    """
    steps = {"reason": REASONS, "label": VOTES} if job.recipe.label.reasoning_samples else {"label": VOTES}
    kind: Any = Deliberation if "reason" in steps else Judgement
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / ITEMS
    with atomic_write(source, "wb") as handle:
        for item in items:
            record = kind(item.prompt, item.better, item.worse, ())
            handle.write(row_bytes({"item": item.to_json(), "record": record.to_json()}))
    calls, refused = dict.fromkeys(COUNTED, 0), dict[str, str]()
    for step, name in steps.items():
        stage, output = Planted(by_principle(job, items, step), kind.from_json), folder / name
        with CallStore(store_path(job.run)) as store:
            done = run_stage(
                stage, job.only("judge"), source, output, store,
                rows_expected=len(items), progress=job.reporter.progress, meter=job.meter("judge"),
            )  # fmt: skip
        calls = {key: calls[key] + getattr(done, key) for key in calls}
        refused |= _refused(rejects_path(output))
        source = output
    rows = {audit.Item.from_json(row["item"]).id: Judgement.from_json(row["record"]) for row in read_rows(source)}
    weights = weights_by_prompt(job)
    verdicts = [
        _verdict(job, item, rows[item.id], None if item.principle_id else weights(item.prompt))
        if item.id in rows
        else audit.PlantedVerdict(item, None, why=refused.get(item.id, ""))
        for item in items
    ]
    return verdicts, calls


def _refused(rejects: Path) -> dict[str, str]:
    """Item -> why the judge's stage made nothing of its answers."""
    rows = read_rows(rejects) if rejects.exists() else ()
    return {audit.Item.from_json(row["record"]["item"]).id: row["reason"] for row in rows}


def _verdict(
    job: Job, item: audit.Item, judgement: Judgement, weights: Mapping[str, float] | None
) -> audit.PlantedVerdict:
    p = label_of(job, judgement, weights)
    if p is None:
        return audit.PlantedVerdict(item, None, why=_why_none(judgement, job.recipe.preferences.mass_floor))
    floor = job.recipe.preferences.mass_floor
    pairs = [both for both in paired_votes(judgement).values() if all(usable(vote, floor) for vote in both)]
    worse_first = fmean(sigmoid(ba.logit) for _, ba in pairs)
    return audit.PlantedVerdict(item, p, worse_first, clamp_of(judgement, job.recipe.preferences))


def _why_none(judgement: Judgement, floor: float) -> str:
    """Why no votes count: they were not read, or how much mass the best of them have in the order that has less."""
    pairs = paired_votes(judgement).values()
    if all(unread(ab) or unread(ba) for ab, ba in pairs):
        return why_abstained(judgement, floor)
    mass = max(min(ab.mass, ba.mass) for ab, ba in pairs)
    return f"mass {mass:.3g}" + (f", under {floor:g}" if mass < floor else "")


def label_of(job: Job, judgement: Judgement, weights: Mapping[str, float] | None) -> float | None:
    """P(a) by the run's own arithmetic but before clamp and tie band; None where there is no vote that counts."""
    try:
        return soft_label(judgement, replace(job.recipe.preferences, clamp=None, tie_band=0.0), weights).p_a
    except ParseError:
        return None


def by_principle(job: Job, items: Sequence[audit.Item], step: str) -> dict[str, Stage]:
    """The judge's stage for each principle alone, in reach of everything; the run's own under no name."""
    stages: dict[str, Stage] = {}
    recipe = replace(job.recipe, label=replace(job.recipe.label, principles_per_pair=1))
    for name in sorted({item.principle_id for item in items}):
        if name:
            constitution = replace(job.constitution, principles=(_alone(job, name),))
            stages[name] = judging_stage(replace(job, constitution=constitution, recipe=recipe), step)
        else:
            stages[name] = judging_stage(job, step)
    return stages


def _alone(job: Job, name: str) -> Principle:
    found = audit.FIT if name == audit.FIT.id else job.constitution.by_id(name)
    return replace(found, applies_to=Scope(), only_for=None)


def judge_tests(recipe: Recipe, folder: Path, reporter: Reporter | None = None) -> Json:
    """The constitution's own tests put to the judge: ``{tests, not_asked, passed, asked_with, calls_made, …}``.

    `folder` is where the answers of the judge are kept beside (`store_path`); tests of principles that do not compare
    are not asked. Raises `InputError` where there are no others, or where `cai constitution check` finds an error.
    """
    constitution = load_constitution(recipe.constitution)
    require_sound(constitution.path or recipe.constitution)
    items = list(audit.constitution_items(constitution))
    if not items:
        raise InputError("no test of a principle that has a 'comparison'", constitution.path)
    job = Job(recipe, Run(folder), constitution, PromptSet((), 0, {}), reporter or Silent())
    with TemporaryDirectory() as name:
        verdicts, calls = judged(job, items, Path(name))
    rows = [
        {"principle": one.item.principle_id, "prompt": one.item.prompt.messages[-1].content,
         "expected": one.item.better, "p_better": one.p, "passed": one.right,
         "why": one.why or None}
        for one in verdicts
    ]  # fmt: skip
    passed = wilson(sum(one.right for one in verdicts), len(verdicts)).to_json()
    return {
        "tests": rows,
        "not_asked": tests_not_asked(constitution),
        "passed": passed,
        "asked_with": _asked_with(recipe),
        **calls,
    }


def tests_not_asked(constitution: Constitution) -> list[Json]:
    """The tests of principles that have nothing to ask a judge: ``{principle, prompt, why}`` of each."""
    return [
        {"principle": test.principle, "prompt": test.messages[-1].content, "why": lacking(principle, "comparison")}
        for test in constitution.tests
        if not (principle := constitution.by_id(test.principle)).comparison
    ]


def untold_tests(not_asked: Sequence[Json]) -> list[str]:
    """``"1 test was not asked: principle 'x' has no 'comparison'"``, a line for each principle."""
    counts = Counter(one["why"] for one in not_asked)
    return [f"{n} test{' was' if n == 1 else 's were'} not asked: {why}" for why, n in counts.items()]


def _asked_with(recipe: Recipe) -> Json:
    """The settings, by their names in a recipe, that the verdict of one principle depends on."""
    settings = settings_json(recipe.label, "principles_per_pair", "pairs")
    if not recipe.label.reasoning_samples:
        settings = {key: value for key, value in settings.items() if not key.startswith("reasoning_")}
    found = {f"label.{key}": value for key, value in settings.items()}
    return found | {f"preferences.{key}": getattr(recipe.preferences, key) for key in ("temperature", "mass_floor")}
