"""The steps between the sampled answers and the reward model: rubric, reason, label, preferences, rankings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cai.embedded import people_file
from cai.pipeline import label_work
from cai.pipeline.job import Job, settings_json
from cai.pipeline.step import Step, examples_digest, model_step, principles_digest
from cai.pipeline.verdicts import comparison_reading, rubric_reading
from cai.prompts.spec import parse_spec
from cai.recipe import Recipe
from cai.records import Json
from cai.storage.run import file_sha256

_REASONING = ("reasoning_samples", "reasoning_tokens", "reasoning_temperature")


def label_step_names(recipe: Recipe) -> list[str]:
    """The steps of this part that the recipe asks for, in order; rankings want three answers or more."""
    names = ["rubric"] if recipe.rubric.principles_per_answer else []
    names += ["reason"] if recipe.label.reasoning_samples else []
    names += ["label", "preferences"]
    return [*names, "rankings"] if recipe.sample.num_samples > 2 else names


def label_steps(job: Job) -> Iterator[Step]:
    """In the order of `label_step_names`, made one by one."""
    make = {"rubric": _rubric, "reason": _reason, "label": _label, "preferences": _preferences, "rankings": _rankings}
    for name in label_step_names(job.recipe):
        yield make[name](job)


def _rubric(job: Job) -> Step:
    rubric = job.recipe.rubric
    settings: Json = {"principles_per_answer": rubric.principles_per_answer}
    settings["verdicts"] = rubric_reading(job).said(f"{rubric.fallback_samples} samples")
    settings |= principles_digest(job, ("rubric",), "all" if rubric.principles_per_answer == "all" else "drawn")
    settings["mass_floor"] = job.recipe.preferences.mass_floor
    step = model_step(job, "rubric", "sample", "judge", settings)

    def grade(job: Job) -> Json:
        counts = step.work(job)
        label_work.write_rubric_figures(job)
        return counts

    return replace(step, work=grade, beside=(*step.beside, "metrics/rubric.json"))


def _reason(job: Job) -> Step:
    settings = settings_json(job.recipe.label, "examples", "fallback_samples") | _shown(job)
    return model_step(job, "reason", "sample", "judge", settings | _principles(job))


def _label(job: Job) -> Step:
    label = job.recipe.label
    reasoned = f"{label.reasoning_samples} reasoning{'s' * (label.reasoning_samples > 1)} an order"
    samples = f"the verdicts of {reasoned}" if label.reasoning_samples else f"{label.fallback_samples} samples an order"
    read = comparison_reading(job)
    after = f", after {reasoned}" if label.reasoning_samples and not read.sampled else ""
    shown = _shown(job) | {"verdicts": read.said(samples) + after}
    if label.reasoning_samples:
        settings: Json = {"template": label.template, **shown, **principles_digest(job, ("comparison",), "named")}
        return model_step(job, "label", "reason", "judge", settings, stage="reasoned_label")
    settings = settings_json(label, "examples", "fallback_samples", *_REASONING) | shown
    return model_step(job, "label", "sample", "judge", settings | _principles(job))


def _shown(job: Job) -> Json:
    names = {"names": str(comparison_reading(job).names)}
    return names | examples_digest(job, "comparison", job.recipe.label.examples)


def _principles(job: Job) -> Json:
    every = job.recipe.label.principles_per_pair == "all"
    return principles_digest(job, ("comparison",), "all" if every else "drawn")


def _preferences(job: Job) -> Step:
    files = len(job.recipe.preferences.human)
    settings = {"version": 3 if files > 1 else 2, **settings_json(job.recipe.preferences)}
    own, settings["weights"] = settings["weights"], label_work.principle_weights(job)
    settings |= {"own_weights": own} if own else {}
    settings["seed"] = job.recipe.seed if job.recipe.preferences.human else None
    settings["human"] = {file: file_sha256(parse_spec(people_file(file)).path) for file in job.recipe.preferences.human}
    beside = ("preferences.rejected.jsonl", label_work.HUMAN_REJECTED, "metrics/label.json")
    reads = ("label", "prompts") if job.recipe.preferences.human else ("label",)
    return Step("preferences", reads, "preferences.jsonl", settings, label_work.make_preferences, beside)


def _rankings(job: Job) -> Step:
    settings = {"version": 2, "tie_band": job.recipe.preferences.tie_band}
    return Step("rankings", ("preferences",), "rankings.jsonl", settings, label_work.make_rankings)
