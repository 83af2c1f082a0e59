"""What each step does: joins stages, engines, trainers and exports, which know nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cai.evaluation.figures import ACCURACY, RELIABILITY
from cai.exports import LeftOut, load_export
from cai.pipeline.job import REWARD_MODEL, SFT_MODEL, Job, store_path
from cai.pipeline.kept import Kept
from cai.pipeline.label_work import judging_stage
from cai.pipeline.stage_loop import row_bytes, run_stage
from cai.records import Draft, Json, Message, Messages, Preference
from cai.stages import STAGES, Stage
from cai.storage.calls import CallStore
from cai.storage.run import atomic_write, read_rows, write_json

REWARD_PLOTS = (RELIABILITY, ACCURACY)


def write_prompts(job: Job) -> Json:
    """`prompts.jsonl`, and how each file was read as `metrics/prompts.json`."""
    with atomic_write(job.run.path("prompts.jsonl"), "wb") as handle:
        for prompt in job.prompts.prompts:
            handle.write(row_bytes(prompt.to_json()))
    write_json(job.run.path("metrics/prompts.json"), job.prompts.summary())
    repeated = job.prompts.duplicates
    counts = {"rejected": sum(job.prompts.skipped.values()), "reasons": dict(job.prompts.skipped)}
    repeat = "row repeats a prompt and is" if repeated == 1 else "rows repeat a prompt and are"
    notes = [f"{repeated:,} {repeat} merged with it"] if repeated else []
    return {"rows": len(job.prompts.prompts), **counts, "notes": notes}


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
    from cai.models.reward import RewardScorer
    from cai.pipeline.measure_reward import measured_pairs, write_plots
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
    scorer = RewardScorer(out, max_length=settings.max_length, too_long=settings.too_long) if held_out else None
    figures = measured_pairs(scorer, held_out) if scorer else None
    if figures:
        write_plots(job.run.path("metrics"), figures)
    write_json(job.run.path("metrics/reward.json"), {"training": metrics, "held_out": figures})
    return {"rows": len(preferences), **metrics}
