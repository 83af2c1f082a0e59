"""The steps of a recipe, in the order of the paper, each with all that can change its output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from cai.constitution import Form
from cai.pipeline import measure, work
from cai.pipeline.job import REWARD_MODEL, SFT_MODEL, Job, settings_json
from cai.recipe import Recipe
from cai.records import Json
from cai.stages import STAGES


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan. `reads` names earlier steps; `settings` is all else that can change `output`.

    `beside` are files that the step may write next to its output: rejects, metrics.
    """

    name: str
    reads: tuple[str, ...]
    output: str
    settings: Json
    work: Callable[[Job], Json]
    beside: tuple[str, ...] = ()

    def plan(self) -> Json:
        """What the manifest keeps of it, so that a later look needs no model and no constitution."""
        return {"reads": list(self.reads), "output": self.output, "settings": self.settings}


def step_names(recipe: Recipe) -> list[str]:
    """The names of the steps of `recipe`, in order."""
    rounds = [f"{stage}-{n}" for n in range(1, recipe.critique.rounds + 1) for stage in ("critique", "revise")]
    measured = ["evaluate"] if recipe.evaluate.prompts else []
    sft, reward = (["sft"] if "sft" in recipe.train else []), (["reward"] if "reward" in recipe.train else [])
    return ["prompts", "respond", *rounds, *sft, "sample", "label", "preferences", *reward, "export", *measured]


def last_step(recipe: Recipe, until: str) -> str:
    """The step that ``--until`` means: "revise" is its last round. Raises `ConfigError` naming the nearest."""
    from cai.errors import ConfigError, did_you_mean

    names = step_names(recipe)
    for name in reversed(names):
        if until in (name, name.rpartition("-")[0]):
            return name
    raise ConfigError(f"--until {until}: no such stage{did_you_mean(until, names)} (stages: {', '.join(names)})")


def forms_until(recipe: Recipe, until: str | None) -> tuple[Form, ...]:
    """The forms of a principle that the steps up to `until` use."""
    names = step_names(recipe)
    used = names[: names.index(last_step(recipe, until)) + 1] if until else names
    forms: dict[str, Form] = {"critique-1": "critique", "revise-1": "revision", "label": "comparison"}
    return tuple(form for step, form in forms.items() if step in used)


def roles_until(recipe: Recipe, until: str | None) -> tuple[str, ...]:
    """Whose models the steps up to `until` ask: a judge that is not needed need not be there."""
    names = step_names(recipe)
    used = names[: names.index(last_step(recipe, until)) + 1] if until else names
    first = {"model": "respond", "critic": "critique-1", "judge": "label"}
    return tuple(role for role, step in first.items() if step in used)


def steps_of(job: Job, until: str | None = None) -> list[Step]:
    """Every step of the job's recipe, up to `until`."""
    recipe = job.recipe
    names = step_names(recipe)
    wanted = names.index(last_step(recipe, until)) + 1 if until is not None else len(names)
    return list(islice(_all_steps(job), wanted))


def _all_steps(job: Job) -> Iterator[Step]:
    """In the order of `step_names`; made one by one, so that what is not asked for needs no model."""
    recipe = job.recipe
    yield _prompts(job)
    yield _model_step(job, "respond", "prompts", "model", settings_json(recipe.respond))
    before = "respond"
    for n in range(1, recipe.critique.rounds + 1):
        yield _critique(job, n, before)
        yield _revise(job, n)
        before = f"revise-{n}"
    if "sft" in recipe.train:
        yield _sft(job, before)
    yield _sample(job)
    yield _label(job)
    yield _preferences(job)
    if "reward" in recipe.train:
        yield _reward(job)
    exports = settings_json(recipe.export)
    exports["sft"] = {"rounds": recipe.sft.rounds, "helpful": recipe.sft.helpful}
    yield Step("export", ("prompts", before, "preferences"), "datasets", exports, work.export)
    if recipe.evaluate.prompts:
        yield _evaluate(job, before)


def _sft(job: Job, before: str) -> Step:
    recipe = job.recipe
    settings = settings_json(recipe.sft, "checkpoint_every", "batch_tokens")
    settings |= {"init": _fingerprint(job, recipe.sft.init), "seed": recipe.seed, "template": recipe.engine.template}
    return Step("sft", (before,), SFT_MODEL, settings, work.train_sft, ("metrics/sft.json",))


def _model_step(job: Job, name: str, source: str, role: str, settings: Json, reads: tuple[str, ...] = ()) -> Step:
    model = SFT_MODEL if role == "sft" else job.engine(role).fingerprint
    version = STAGES.load(name.partition("-")[0]).VERSION
    settings = {"version": version, "model": model, "seed": job.recipe.seed, **settings}

    def run(job: Job) -> Json:
        return work.run_model_stage(job, name, source, role)

    return Step(name, (source, *reads), f"{name}.jsonl", settings, run, (f"{name}.rejected.jsonl",))


def _prompts(job: Job) -> Step:
    rows = hashlib.sha256()
    for prompt in job.prompts.prompts:
        rows.update(json.dumps(prompt.to_json()).encode())
    settings = {"rows": rows.hexdigest()}
    return Step("prompts", (), "prompts.jsonl", settings, work.write_prompts, ("metrics/prompts.json",))


def _critique(job: Job, n: int, before: str) -> Step:
    settings = settings_json(job.recipe.critique, "rounds", "examples")
    settings |= _principles(job, ("critique",), True) | _examples(job, "revision", job.recipe.critique.examples)
    return _model_step(job, f"critique-{n}", before, "critic", settings)


def _revise(job: Job, n: int) -> Step:
    settings = settings_json(job.recipe.revise) | _principles(job, ("critique", "revision"), False)
    settings |= _examples(job, "revision", job.recipe.critique.examples)
    return _model_step(job, f"revise-{n}", f"critique-{n}", "model", settings)


def _sample(job: Job) -> Step:
    sample = job.recipe.sample
    if sample.policy == "sft":
        return _model_step(job, "sample", "prompts", "sft", settings_json(sample), ("sft",))
    return _model_step(job, "sample", "prompts", "model", settings_json(sample))


def _label(job: Job) -> Step:
    label = job.recipe.label
    settings = settings_json(label, "examples", "fallback_samples")
    settings["verdicts"] = "log-probabilities"
    if not job.engine("judge").scores_choices:
        settings["verdicts"] = f"{label.fallback_samples} samples an order"
    settings |= _principles(job, ("comparison",), True) | _examples(job, "comparison", label.examples)
    return _model_step(job, "label", "sample", "judge", settings)


def _preferences(job: Job) -> Step:
    settings = settings_json(job.recipe.preferences)
    settings["weights"] = work.principle_weights(job)
    beside = ("preferences.rejected.jsonl", "metrics/label.json")
    return Step("preferences", ("label",), "preferences.jsonl", settings, work.make_preferences, beside)


def _reward(job: Job) -> Step:
    reward = job.recipe.reward
    settings = settings_json(reward, "checkpoint_every", "batch_tokens") | {"seed": job.recipe.seed}
    settings["template"] = job.recipe.engine.template
    reads: tuple[str, ...] = ("preferences", "sft")
    if reward.init != "sft":
        settings["init"], reads = _fingerprint(job, reward.init), ("preferences",)
    return Step("reward", reads, REWARD_MODEL, settings, work.train_reward, ("metrics/reward.json",))


def _evaluate(job: Job, before: str) -> Step:
    settings = settings_json(job.recipe.evaluate) | {"version": measure.VERSION, "seed": job.recipe.seed}
    settings |= {
        "model": job.engine("model").fingerprint,
        "principles": [one.id for one in job.constitution.principles],
    }
    reads = (*(name for name in ("sft", "reward") if name in job.recipe.train), before, "sample")
    return Step("evaluate", reads, measure.OUTPUT, settings, measure.evaluate, measure.beside(job))


def _fingerprint(job: Job, init: str) -> str:
    from cai.storage.run import file_sha256

    return job.engine("model").fingerprint if init in ("model", "base") else file_sha256(job.weights(init))


def _principles(job: Job, forms: tuple[Form, ...], drawn: bool) -> Json:
    """A digest of each principle's text in `forms`, so that a plan can say which principle was edited."""
    digests: dict[str, str] = {}
    for one in job.constitution.principles:
        if all(one.form(form) and one.meant_for(form) for form in forms):
            texts = [one.form(form) for form in forms]
            whole = [*texts, one.weight, repr(one.applies_to)] if drawn else texts
            digests[one.id] = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]
    return {"principles": digests}


def _examples(job: Job, kind: str, wanted: bool) -> Json:
    if not wanted:
        return {"examples": None}
    examples = job.constitution.revision_examples if kind == "revision" else job.constitution.comparison_examples
    return {"examples": hashlib.sha256(repr(examples).encode()).hexdigest()[:16]}
