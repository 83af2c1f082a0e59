"""The steps of a recipe, in the order of the paper, each with all that can change its output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice

from cai import audit
from cai.constitution import Form
from cai.embedded import people_file
from cai.pipeline import audit_pairs, audit_standing, audit_work, export_work, measure, work
from cai.pipeline.job import REWARD_MODEL, SFT_MODEL, Job, settings_json
from cai.pipeline.label_steps import label_step_names, label_steps
from cai.pipeline.step import Step, digest, examples_digest, model_step, principles_digest
from cai.prompts.spec import parse_spec
from cai.recipe import Recipe
from cai.storage.run import Run, file_sha256


def step_names(recipe: Recipe) -> list[str]:
    """The names of the steps of `recipe`, in order."""
    rounds = [f"{stage}-{n}" for n in range(1, recipe.critique.rounds + 1) for stage in ("critique", "revise")]
    measured = ["evaluate"] if recipe.evaluate.prompts else []
    sft, reward = (["sft"] if "sft" in recipe.train else []), (["reward"] if "reward" in recipe.train else [])
    labels = [*label_step_names(recipe), *(["audit"] if recipe.audit.items else [])]
    return ["prompts", "respond", *rounds, *sft, "sample", *labels, *reward, "export", *measured]


def last_step(recipe: Recipe, until: str) -> str:
    """The step that ``--until`` means: "revise" is its last round. Raises `ConfigError` naming the nearest."""
    from cai.errors import ConfigError, did_you_mean

    names = step_names(recipe)
    for name in reversed(names):
        if until in (name, name.rpartition("-")[0]):
            return name
    raise ConfigError(f"--until {until}: no such stage{did_you_mean(until, names)} (stages: {', '.join(names)})")


def names_until(recipe: Recipe, until: str | None) -> list[str]:
    """The names of the steps up to `until`, of all if it is None."""
    names = step_names(recipe)
    return names[: names.index(last_step(recipe, until)) + 1] if until is not None else names


def checked_job(recipe: Recipe, run: Run, until: str | None) -> Job:
    """The job of the steps up to `until`; raises a `CAIError` for what is wrong with them."""
    used = names_until(recipe, until)
    return Job.checked(recipe, run, forms_until(recipe, until), roles_until(recipe, until), used)


def forms_until(recipe: Recipe, until: str | None) -> tuple[Form, ...]:
    """The forms of a principle that the steps up to `until` use."""
    used = names_until(recipe, until)
    forms: dict[str, Form] = {
        "critique-1": "critique", "revise-1": "revision", "rubric": "rubric", "reason": "comparison",
        "label": "comparison",
    }  # fmt: skip
    return tuple(dict.fromkeys(form for step, form in forms.items() if step in used))


def roles_until(recipe: Recipe, until: str | None) -> tuple[str, ...]:
    """Whose models the steps up to `until` ask: a judge that is not needed need not be there."""
    used = names_until(recipe, until)
    asked = {"model": {"respond"}, "critic": {"critique-1"}, "judge": {"rubric", "reason", "label"}}
    return tuple(role for role, steps in asked.items() if steps & set(used))


def steps_of(job: Job, until: str | None = None) -> list[Step]:
    """Every step of the job's recipe, up to `until`."""
    return list(islice(_all_steps(job), len(names_until(job.recipe, until))))


def _all_steps(job: Job) -> Iterator[Step]:
    """In the order of `step_names`; made one by one, so that what is not asked for needs no model."""
    recipe = job.recipe
    yield _prompts(job)
    yield model_step(job, "respond", "prompts", "model", settings_json(recipe.respond))
    before = "respond"
    for n in range(1, recipe.critique.rounds + 1):
        yield _critique(job, n, before)
        yield _revise(job, n)
        before = f"revise-{n}"
    if "sft" in recipe.train:
        yield _sft(job, before)
    yield _sample(job)
    yield from label_steps(job)
    if recipe.audit.items:
        yield _audit(job, before)
    if "reward" in recipe.train:
        yield _reward(job)
    export_work.check_dialogues(job)
    exports = settings_json(recipe.export)
    exports["sft"] = {"rounds": recipe.sft.rounds, "helpful": recipe.sft.helpful}
    exports |= export_work.told_besides(job)
    reads = ("prompts", before, "preferences", *export_work.reads_besides(recipe))
    yield Step("export", reads, "datasets", exports, export_work.export_step)
    if recipe.evaluate.prompts:
        yield _evaluate(job, before)


def _sft(job: Job, before: str) -> Step:
    recipe = job.recipe
    settings = settings_json(recipe.sft, "checkpoint_every", "batch_tokens", "max_truncated")
    settings |= {"init": _fingerprint(job, recipe.sft.init), "seed": recipe.seed, "template": recipe.engine.template}
    return Step("sft", (before,), SFT_MODEL, settings, work.train_sft, ("metrics/sft.json",))


def _prompts(job: Job) -> Step:
    rows = hashlib.sha256()
    for prompt in job.prompts.prompts:
        rows.update(json.dumps(prompt.to_json()).encode())
    settings = {"rows": rows.hexdigest()}
    return Step("prompts", (), "prompts.jsonl", settings, work.write_prompts, ("metrics/prompts.json",))


def _critique(job: Job, n: int, before: str) -> Step:
    settings = settings_json(job.recipe.critique, "rounds", "examples")
    settings |= principles_digest(job, ("critique",), "drawn")
    settings |= examples_digest(job, "revision", job.recipe.critique.examples)
    return model_step(job, f"critique-{n}", before, "critic", settings)


def _revise(job: Job, n: int) -> Step:
    settings = settings_json(job.recipe.revise) | principles_digest(job, ("critique", "revision"), "named")
    settings |= examples_digest(job, "revision", job.recipe.critique.examples)
    return model_step(job, f"revise-{n}", f"critique-{n}", "model", settings)


def _sample(job: Job) -> Step:
    sample = job.recipe.sample
    if sample.policy == "sft":
        return model_step(job, "sample", "prompts", "sft", settings_json(sample), ("sft",))
    return model_step(job, "sample", "prompts", "model", settings_json(sample))


def _audit(job: Job, before: str) -> Step:
    settings = settings_json(job.recipe.audit, "truth") | settings_json(
        job.recipe.label, "principles_per_pair", "pairs"
    )
    settings |= {"version": audit_work.VERSION, "model": job.engine("judge").fingerprint, "seed": job.recipe.seed}
    settings |= principles_digest(job, ("comparison",), "drawn")
    settings |= examples_digest(job, "comparison", job.recipe.label.examples)
    settings["own_tests"] = digest(repr(job.constitution.tests))
    settings["attack_texts"] = digest({**audit.SUFFIXES, "special": audit_pairs.special_suffix(job)})
    settings["truth"] = {file: file_sha256(parse_spec(people_file(file)).path) for file in job.recipe.audit.truth}
    settings |= audit_pairs.against_digest(job)
    reads = (before, "label", "preferences")
    return Step("audit", reads, audit_standing.OUTPUT, settings, audit_work.run_audit, audit_work.BESIDE)


def _reward(job: Job) -> Step:
    reward = job.recipe.reward
    settings = settings_json(reward, "checkpoint_every", "batch_tokens", "max_truncated") | {"seed": job.recipe.seed}
    settings["template"] = job.recipe.engine.template
    reads: tuple[str, ...] = ("preferences", "sft")
    if reward.init != "sft":
        settings["init"], reads = _fingerprint(job, reward.init), ("preferences",)

    beside = ("metrics/reward.json", *(f"metrics/{name}" for name in work.REWARD_PLOTS))
    return Step("reward", reads, REWARD_MODEL, settings, work.train_reward, beside, audit_work.require_passed)


def _evaluate(job: Job, before: str) -> Step:
    settings = settings_json(job.recipe.evaluate) | {"version": measure.VERSION, "seed": job.recipe.seed}
    settings |= {
        "model": job.engine("model").fingerprint,
        "principles": [one.id for one in job.constitution.principles],
    }
    reads = (*(name for name in ("sft", "reward") if name in job.recipe.train), before, "sample")
    return Step("evaluate", reads, measure.OUTPUT, settings, measure.evaluate, measure.beside(job))


def _fingerprint(job: Job, init: str) -> str:
    return job.engine("model").fingerprint if init in ("model", "base") else file_sha256(job.weights(init))
