"""What each step does: joins stages, engines, trainers and exports, which know nothing of each other."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cai.exports import LeftOut, Source, load_export
from cai.exports.writing import export_dataset
from cai.pipeline.job import REWARD_MODEL, SFT_MODEL, Job, store_path
from cai.pipeline.kept import Kept
from cai.pipeline.label_work import judging_stage
from cai.pipeline.stage_loop import row_bytes, run_stage
from cai.records import SPLITS, Draft, Json, Message, Messages, Preference, Prompt
from cai.stages import STAGES, Stage
from cai.storage.calls import CallStore
from cai.storage.run import atomic_write, read_rows, write_json


def write_prompts(job: Job) -> Json:
    """`prompts.jsonl`, and how each file was read as `metrics/prompts.json`."""
    with atomic_write(job.run.path("prompts.jsonl"), "wb") as handle:
        for prompt in job.prompts.prompts:
            handle.write(row_bytes(prompt.to_json()))
    write_json(job.run.path("metrics/prompts.json"), job.prompts.summary())
    rejected = sum(job.prompts.skipped.values())
    return {"rows": len(job.prompts.prompts), "rejected": rejected, "reasons": dict(job.prompts.skipped)}


def stage_of(job: Job, step: str) -> Stage:
    """The stage of a step: ``critique-2`` is the critique stage of round 2."""
    recipe, seed = job.recipe, job.recipe.seed
    name, _, number = step.partition("-")
    make: Any = STAGES.load(name)
    revising = job.constitution.revision_examples if recipe.critique.examples else ()
    match name:
        case "respond":
            return make(recipe.respond.sampling, seed)  # type: ignore[no-any-return]
        case "critique":
            kinds = recipe.critique.kinds
            return make(  # type: ignore[no-any-return]
                job.constitution, recipe.critique.sampling, int(number), kinds, revising, seed
            )
        case "revise":
            return make(job.constitution, recipe.revise.sampling, int(number), revising, seed)  # type: ignore[no-any-return]
        case "sample":
            one = recipe.sample
            return make(one.sampling, one.num_samples, one.kinds, seed)  # type: ignore[no-any-return]
    return judging_stage(job, name)


def run_model_stage(job: Job, step: str, source: str, role: str) -> Json:
    """Drive one stage with the engine of `role`; what any run has been answered before is not asked again."""
    rows = int(job.run.steps[source]["rows"])
    stage, engine = stage_of(job, step), job.only(role)
    planned = job.run.manifest["plan"][step]["settings"]
    with (
        Kept(job.run.folder, step, planned, job.reporter.progress) as progress,
        CallStore(store_path(job.run)) as store,
    ):
        result = run_stage(
            stage, engine, job.run.path(f"{source}.jsonl"), job.run.path(f"{step}.jsonl"), store,
            rows_expected=rows, max_rejected=job.recipe.max_rejected, progress=progress, meter=job.meter(role),
        )  # fmt: skip
    return result.to_json()


def _drafts(job: Job) -> Iterator[Draft]:
    rounds = job.recipe.critique.rounds
    return (Draft.from_json(row) for row in read_rows(job.run.path(f"revise-{rounds}.jsonl")))


def _dialogues(job: Job) -> list[Messages]:
    """The train split of the SFT export: what is exported is what is trained on."""
    rows = load_export("sft", job.recipe).rows(_drafts(job))
    return [
        tuple(Message.from_json(turn) for turn in row["messages"])
        for row in rows
        if not isinstance(row, LeftOut) and row["split"] == "train"
    ]


def train_sft(job: Job) -> Json:
    """SL-CAI: fine-tune on the revisions of the train split."""
    from cai.training import TRAINERS

    settings, dialogues = job.recipe.sft, _dialogues(job)
    job.release()
    metrics: Json = TRAINERS.load("sft")(
        job.weights(settings.init), dialogues, job.run.path(SFT_MODEL), settings, job.recipe.seed,
        checkpoints=job.run.path("checkpoints/sft"), progress=job.reporter.progress,
        template=job.recipe.engine.template,
    )  # fmt: skip
    write_json(job.run.path("metrics/sft.json"), metrics)
    return {"rows": len(dialogues), **metrics}


def _preferences(job: Job, split: str) -> list[Preference]:
    rows = (Preference.from_json(row) for row in read_rows(job.run.path("preferences.jsonl")))
    return [one for one in rows if one.prompt.split == split]


def train_reward(job: Job) -> Json:
    """The reward model on the train split's soft labels, measured on the prompts of the test split."""
    from cai.evaluation.reward import evaluate_reward
    from cai.models.reward import score_responses
    from cai.training import TRAINERS

    settings, out = job.recipe.reward, job.run.path(REWARD_MODEL)
    backbone = job.run.path(SFT_MODEL) if settings.init == "sft" else job.weights(settings.init)
    preferences = _preferences(job, "train")
    metrics: Json = TRAINERS.load("reward")(
        backbone, preferences, out, settings, job.recipe.seed,
        checkpoints=job.run.path("checkpoints/reward"), progress=job.reporter.progress,
        template=job.recipe.engine.template,
    )  # fmt: skip
    held_out = _preferences(job, "test")
    figures = None
    if held_out:
        sides = [(one.prompt.messages, text) for one in held_out for text in (one.response_a, one.response_b)]
        scores = score_responses(out, sides)
        figures = evaluate_reward(held_out, scores[::2], scores[1::2]).to_json()
    write_json(job.run.path("metrics/reward.json"), {"training": metrics, "held_out": figures})
    return {"rows": len(preferences), **metrics}


def export(job: Job) -> Json:
    """Every dataset of the recipe under `datasets/`, replaced as a whole; what has no row in a format is counted."""
    folder = job.run.path("datasets")
    staged, old = folder.with_name("datasets.tmp"), folder.with_name("datasets.old.tmp")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    counts: dict[str, dict[str, int]] = {}
    for name in job.recipe.export.formats:
        made = load_export(name, job.recipe)
        counts[name] = export_dataset(made, _records(job, made.source), staged / name, job.recipe.export.files)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    staged.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    left_out: Counter[str] = Counter()
    for name, one in counts.items():
        left_out.update({f"{name}: {why}": n for why, n in one.items() if why not in SPLITS and n})
    rows = sum(one[split] for one in counts.values() for split in SPLITS)
    return {"rows": rows, "datasets": counts, "left_out": dict(left_out)}


def _records(job: Job, source: Source) -> Iterator[Any]:
    if source == "revise":
        return _drafts(job)
    read = Preference.from_json if source == "preferences" else Prompt.from_json
    return (read(row) for row in read_rows(job.run.path(f"{source}.jsonl")))
