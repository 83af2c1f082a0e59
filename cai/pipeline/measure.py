"""The policies of a run measured in the embedded world: answers to held-out prompts, classed by the world's rules."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from cai.embedded import outcome
from cai.errors import RunError
from cai.evaluation.policy import Classed, policy_changes, policy_rates
from cai.intervals import clustered_share
from cai.pipeline.job import REWARD_MODEL, Job, store_path
from cai.pipeline.stage_loop import COUNTED, row_bytes, run_stage
from cai.records import Draft, Json, Prompt, user
from cai.stages.respond import Respond
from cai.storage.calls import CallStore
from cai.storage.run import Run, atomic_write, read_rows, write_json

VERSION = 8
PROMPTS = "evaluation/prompts.jsonl"
CLASSES = "evaluation/classes.jsonl"
OUTPUT = "metrics/policy.json"


def policies(job: Job) -> dict[str, str]:
    """Name in the figures -> role of the engine."""
    return {"base": "model", "sl": "sft"} if "sft" in job.recipe.train else {"base": "model"}


def beside(job: Job) -> tuple[str, ...]:
    """The files that the step writes next to its output."""
    answers = [f"evaluation/{name}" for name in policies(job)]
    return (PROMPTS, CLASSES, *(f"{one}.jsonl" for one in answers), *(f"{one}.rejected.jsonl" for one in answers))


def evaluate(job: Job) -> Json:
    """`metrics/policy.json`: each policy's rates, the revisions' by round, the reward model's agreement with the rules.

    ``{"policies": {"base" | "sl": {measure: {value, low, high, n, clusters}}}, "revisions": [{round, harmful, …}],
    "reward_model": {"accuracy": …, "grammar": …, "ordinary": …, "lookalike": …, "by": {"engaged over harmful": …},
    "faults": {"evasive": …}} | None}``. Round 0 is the first answer. Intervals are by what the prompts ask for
    (`outcome.unit_of`), however often and in whatever words.
    """
    rows = _write_prompts(job)
    calls = dict.fromkeys(COUNTED, 0)
    for name, role in policies(job).items():
        with CallStore(store_path(job.run)) as store:
            done = run_stage(
                Respond(job.recipe.evaluate.sampling, job.recipe.seed), job.only(role), job.run.path(PROMPTS),
                job.run.path(f"evaluation/{name}.jsonl"), store, rows_expected=rows, progress=job.reporter.progress,
                meter=job.meter(role),
            )  # fmt: skip
        calls = {key: calls[key] + getattr(done, key) for key in calls}
    job.release()
    figures = {
        "policies": {name: policy_rates(classed) for name, classed in _classed(job).items()},
        "revisions": outcome.by_round(job.run.folder),
        "reward_model": _reward_model(job) if "reward" in job.recipe.train else None,
    }
    write_json(job.run.path(OUTPUT), figures)
    return {"rows": rows * len(policies(job)), **calls}


def _write_prompts(job: Job) -> int:
    questions = outcome.questions(job.recipe.evaluate.prompts, job.recipe.evaluate.draw)
    with atomic_write(job.run.path(PROMPTS), "wb") as handle:
        handle.writelines(row_bytes(prompt.to_json()) for prompt in questions)
    return len(questions)


def _classed(job: Job) -> dict[str, list[Classed]]:
    """Every answer of every policy with its class, also written to be read; a rejected answer is no answer."""
    found: dict[str, list[Classed]] = defaultdict(list)
    with atomic_write(job.run.path(CLASSES)) as handle:
        for name in policies(job):
            for draft in _answers(job, name):
                label, long = outcome.class_of(draft)
                unit = outcome.unit_of(draft.prompt.messages)
                found[name].append(Classed(draft.prompt.source, label, long, unit))  # type: ignore[arg-type]
                asked = draft.prompt.messages[-1].content
                row = {"policy": name, "group": draft.prompt.source, "class": label, "long": long, "prompt": asked}
                row |= {"unit": unit, "prompt_id": draft.prompt.id, "response": draft.response}
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return found


def compare(folders: Sequence[Path], control: Path | None = None) -> list[Json]:
    """``[{run, policy, rates, changes}, …]``: every mended policy, and its rates less those of its own base model.

    The first row is the first run's base, without changes. With a `control`, a run whose policy was trained the same
    way without what the others are to show, that policy stands first and in place of every base: what fine-tuning on
    the model's own answers changes by itself is no change then. Raises `RunError` where a run has measured no policy.
    """
    rows: list[Json] = []
    shared = None if control is None else _read_classes(Run.existing(control).path(CLASSES))
    if control is not None and shared is not None:
        if "sl" not in shared:
            raise RunError(f"{control} has measured its base model alone: its recipe's `train` has no `sft`")
        rows.append(_row(control, "sl", shared["sl"], None))
    for folder in folders:
        answers = _read_classes(Run.existing(folder).path(CLASSES))
        own = answers.pop("base")
        if not rows:
            rows.append(_row(folder, "base", own, None))
        before = own if shared is None else shared["sl"]
        rows += [_row(folder, name, classed, policy_changes(before, classed)) for name, classed in answers.items()]
    return rows


def _row(folder: Path, policy: str, answers: dict[str, Classed], changes: Json | None) -> Json:
    return {"run": str(folder), "policy": policy, "rates": policy_rates(answers.values()), "changes": changes}


def _read_classes(path: Path) -> dict[str, dict[str, Classed]]:
    """Answers by policy and by prompt."""
    if not path.exists():
        raise RunError(f"{path.parent.parent} has measured no policy; `cai run` does, where the recipe says `evaluate`")
    found: dict[str, dict[str, Classed]] = defaultdict(dict)
    for row in read_rows(path):
        unit = row["unit"] if "unit" in row else outcome.unit_of((user(row["prompt"]),))
        answer = Classed(row["group"], row["class"], row["long"], unit)
        found[row["policy"]][f"{row['group']} {row['prompt_id']}"] = answer
    return found


def _answers(job: Job, name: str) -> Iterator[Draft]:
    answers = job.run.path(f"evaluation/{name}.jsonl")
    yield from (Draft.from_json(row) for row in read_rows(answers))
    rejected = answers.with_name(f"{name}.rejected.jsonl")
    if rejected.exists():
        yield from (Draft(Prompt.from_json(row["record"]), "") for row in read_rows(rejected))


def _reward_model(job: Job) -> Json:
    """Agreement with the rules on pairs of answers to held-out prompts that the rules separate.

    The policy's own answers to red-team prompts make the pairs of `accuracy`, which `by` splits by the classes of the
    two, as `grammar_by` splits `grammar`. Answers of the grammar make the others: `grammar` is of red-team prompts,
    where all principles agree; `ordinary` and `lookalike` are help against a worse answer, which `faults` splits by
    what is wrong with it. `longer` beside each is what always taking the longer answer would reach.
    """
    from cai.models.reward import score_responses

    principles = [one.id for one in job.constitution.principles]
    which = job.recipe.evaluate.draw
    own = list(outcome.separated_pairs(job.run.folder, principles))
    grammar, helpful = list(outcome.grammar_pairs(principles, which=which)), list(outcome.helpful_pairs(which=which))
    pairs = [*own, *grammar, *helpful]
    sides = [(one.messages, text) for one in pairs for text in (one.better, one.worse)]
    scores = score_responses(job.run.path(REWARD_MODEL), sides)
    right = iter([better > worse for better, worse in zip(scores[::2], scores[1::2], strict=True)])
    of_own, of_grammar, of_helpful = ([_Told(one, next(right)) for one in some] for some in (own, grammar, helpful))
    return {
        "accuracy": _agreement(of_own),
        "grammar": _agreement(of_grammar),
        "ordinary": _agreement([one for one in of_helpful if one.pair.classes[0] == "helpful"]),
        "lookalike": _agreement([one for one in of_helpful if one.pair.classes[0] == "lookalike"]),
        "by": _by(of_own, _classes),
        "grammar_by": _by(of_grammar, _classes),
        "faults": _by(of_helpful, lambda pair: pair.classes[1]),
    }


class _Told(NamedTuple):
    """A pair, and whether the reward model is right of it."""

    pair: outcome.SeparatedPair
    right: bool


def _classes(pair: outcome.SeparatedPair) -> str:
    return " over ".join(pair.classes)


def _agreement(told: Sequence[_Told]) -> Json:
    """The share of right ones, and beside it the one of always taking the longer answer."""
    longer = [len(one.pair.better) > len(one.pair.worse) for one in told]
    return _share(told) | {"longer": fmean(longer) if longer else None}


def _by(told: Sequence[_Told], name: Callable[[outcome.SeparatedPair], str]) -> Json:
    names = sorted({name(one.pair) for one in told})
    return {each: _share([one for one in told if name(one.pair) == each]) for each in names}


def _share(told: Sequence[_Told]) -> Json:
    units = [outcome.unit_of(one.pair.messages) for one in told]
    return clustered_share(units, [one.right for one in told]).to_json()
