"""What the steps from the sampled answers to the labels do: the judge's stages, and the arithmetic on what it said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import nsmallest
from typing import Any

from cai.embedded import is_shipped
from cai.errors import ParseError
from cai.human_preferences.merged import each_once, repeats_line, same_pair
from cai.judge_records import Graded
from cai.pipeline.job import Job
from cai.pipeline.stage_loop import StageResult, check_rejected, reject, rejects_path, row_bytes
from cai.pipeline.verdicts import comparison_reading, rubric_reading
from cai.preferences import (
    LabelFigures,
    Mix,
    RubricFigures,
    compared,
    mixed,
    on_the_side_of,
    rankings,
    soft_label,
    tie_strength,
)  # fmt: skip
from cai.preferences.rankings import FITTED, Compared
from cai.prompts.files import rejected_line
from cai.prompts.splits import opening_turn
from cai.records import Json, Judgement, Preference, Prompt, Sampling, Split, content_id
from cai.stages import STAGES, Stage
from cai.storage.run import atomic_write, read_rows, write_json

HUMAN_REJECTED = "human.rejected.jsonl"
"""The rows of the human files that were left out, each with its place and reason."""


def judging_stage(job: Job, step: str) -> Stage:
    """The stage of "rubric", "reason" or "label"."""
    label, seed, constitution = job.recipe.label, job.recipe.seed, job.constitution
    if step == "rubric":
        rubric, read = job.recipe.rubric, rubric_reading(job)
        samples = rubric.fallback_samples if read.sampled else 0
        return _made("rubric", constitution, rubric.principles_per_answer, samples, seed, read.names)
    reading = comparison_reading(job)
    examples = constitution.comparison_examples if label.examples else ()
    asked = (label.principles_per_pair, label.pairs, label.template, examples)
    if step == "reason":
        sampling = Sampling(label.reasoning_tokens, label.reasoning_temperature)
        scores = not reading.sampled
        return _made("reason", constitution, sampling, label.reasoning_samples, *asked, seed, reading.names, scores)
    if label.reasoning_samples:
        scores = not reading.sampled
        return _made("reasoned_label", constitution, label.template, examples, scores, reading.names)
    samples = label.fallback_samples if reading.sampled else 0
    return _made("label", constitution, *asked, samples, seed, reading.names)


def _made(name: str, *arguments: Any) -> Stage:
    return STAGES.load(name)(*arguments)  # type: ignore[no-any-return]


def principle_weights(job: Job) -> dict[str, float] | None:
    """What each principle's vote counts, or None where all count alike: a draw has already followed the weights.

    Where no prompt has more principles in reach than are asked for, nothing is drawn. `preferences.weights` count
    before those of the constitution, also where principles were drawn.
    """
    pool, asked = job.constitution.with_form("comparison"), job.recipe.label.principles_per_pair
    own = job.recipe.preferences.weights
    if asked != "all" and all(asked < _reach(job, prompt) for prompt in job.prompts.prompts):
        return dict(own) or None
    return {one.id: own.get(one.id, one.weight) for one in pool}


def weights_by_prompt(job: Job) -> Callable[[Prompt], Mapping[str, float] | None]:
    """What the principles' votes on a prompt count in its label; None where a draw has already followed the weights."""
    asked, weights = job.recipe.label.principles_per_pair, principle_weights(job)
    own = job.recipe.preferences.weights or None
    return lambda prompt: own if asked != "all" and asked < _reach(job, prompt) else weights


def _reach(job: Job, prompt: Prompt) -> int:
    return len(job.constitution.for_form("comparison", prompt))


def make_preferences(job: Job) -> Json:
    """Votes to soft labels, and the human ones mixed in; ties and abstentions are counted by kind of prompt.

    Abstentions go to the rejects. The figures are `metrics/label.json`.
    """
    output = job.run.path("preferences.jsonl")
    rejected = rejects_path(output)
    result, figures = StageResult(), LabelFigures(job.recipe.preferences.mass_floor)
    splits: Counter[Split] = Counter()
    with atomic_write(output, "wb") as good:
        with atomic_write(rejected, "wb") as bad:
            for judgement, preference in _labelled(job):
                if isinstance(preference, ParseError):
                    figures.add(judgement, None)
                    result.rejected += 1
                    result.reasons[str(preference)] += 1
                    bad.write(row_bytes(reject(judgement, str(preference), ())))
                else:
                    figures.add(judgement, preference)
                    result.rows += 1
                    splits[preference.prompt.split] += 1
                    good.write(row_bytes(preference.to_json()))
        check_rejected(result, output, job.recipe.max_rejected)
        mix = mixed_in(job, splits)
        good.writelines(row_bytes(one.to_json()) for one in mix.human)
    result.rows += len(mix.human)
    if not result.rejected:
        rejected.unlink()
    _count_unanswered(job, figures)
    write_json(job.run.path("metrics/label.json"), figures.to_json())
    return result.to_json() | _mix_entry(job, mix, _write_left_out(job))


def _labelled(job: Job) -> Iterator[tuple[Judgement, Preference | ParseError]]:
    """Every judgement with its label, or with why it has none."""
    weights = weights_by_prompt(job)
    for row in read_rows(job.run.path("label.jsonl")):
        judgement = Judgement.from_json(row)
        try:
            yield judgement, soft_label(judgement, job.recipe.preferences, weights(judgement.prompt))
        except ParseError as error:
            yield judgement, error


def _count_unanswered(job: Job, figures: LabelFigures) -> None:
    """Pairs that the judge gave no answer on, or that no principle reaches: they are among the rejects."""
    for step in ("reason", "label"):
        for row in _rejected(job, step):
            figures.add_unanswered(row["record"]["prompt"]["kind"], _why_unanswered(row))


def _why_unanswered(rejected: Json) -> str:
    return "not answered" if rejected["answers"] else "no principle"


def _rejected(job: Job, step: str) -> Iterator[Json]:
    path = job.run.path(f"{step}.rejected.jsonl")
    if path.exists():
        yield from read_rows(path)


def mixed_in(job: Job, splits: Mapping[Split, int]) -> Mix:
    """The human labels that go beside so many labels of the judge on each side of the split."""
    settings = job.recipe.preferences
    if not settings.human:
        return Mix((), {}, None)
    sides = {opening_turn(prompt.messages): prompt.split for prompt in job.prompts.prompts}
    human = [one for read in job.human().values() for one in read.preferences]
    return mixed(each_once(on_the_side_of(sides, human)), splits, settings.human_share, job.recipe.seed)


def _write_left_out(job: Job) -> int:
    """Write `HUMAN_REJECTED` if the human files have rows that were left out; how many there are."""
    lines = [rejected_line(*one) for read in job.human().values() for one in read.notes.left_out]
    if lines:
        with atomic_write(job.run.path(HUMAN_REJECTED)) as handle:
            handle.writelines(lines)
    return len(lines)


def _mix_entry(job: Job, mix: Mix, left_out: int) -> Json:
    """What the manifest says of the human labels: how each file was read and used, and the ratio that came out.

    `annotators` counts the labels that count as people's by who their rows say ranked them; a pair that several files
    hold is used by each of them.
    """
    if not (human := job.recipe.preferences.human):
        return {}
    drawn = {same_pair(one) for one in mix.human}
    notes = {
        file: read.notes.to_json() | {"used": sum(same_pair(one) in drawn for one in read.preferences)}
        for file, read in job.human().items()
    }
    named = {(pair, name) for read in job.human().values() for pair in drawn for name in read.notes.named.get(pair, ())}
    annotators = dict(Counter(name for _, name in sorted(named, key=lambda one: one[1])).most_common())
    told = [line for file, read in job.human().items() for line in read.notes.told(file)]
    available = sum(one["available"] for one in mix.counts.values())
    if more := sum(len(read.preferences) for read in job.human().values()) - available:
        told.append(f"preferences.human: {repeats_line(more)}")
    if mix.by_model:
        told.append(f"preferences.human: {_by_model_line(mix)}")
    by = "rules" if all(map(is_shipped, human)) else "people"
    ai = any(one.source == "ai" for read in job.human().values() for one in read.preferences)
    beyond = "{} pairs of preferences.human beyond the share" if ai else "human {} pairs beyond the share"
    unused = {split: one["available"] - one["human"] for split, one in mix.counts.items()}
    return {
        "mix": mix.to_json() | {"annotators": annotators, "by": by, "rejected": left_out},
        "human": notes,
        "notes": told,
        "left_out": {beyond.format(split): count for split, count in unused.items() if count},
    }


def _by_model_line(mix: Mix) -> str:
    """For people: how many of the labels mixed in say that a model ranked them, and as what they count."""
    say = "says that a model ranked it" if mix.by_model == 1 else "say that a model ranked them"
    count = "counts as an AI label, not as a person's" if mix.by_model == 1 else "count as AI labels, not as people's"
    return f"{mix.by_model:,} of the {len(mix.human):,} labels mixed in {say} (source: ai), and {count}"


def write_rubric_figures(job: Job) -> None:
    """`metrics/rubric.json`: mean P(yes) by principle, and what abstained."""
    figures = RubricFigures()
    for row in read_rows(job.run.path("rubric.jsonl")):
        figures.add(Graded.from_json(row), job.recipe.preferences.mass_floor)
    for row in _rejected(job, "rubric"):
        figures.add_unanswered(row["record"]["prompt"]["kind"], _why_unanswered(row))
    write_json(job.run.path("metrics/rubric.json"), figures.to_json())


def make_rankings(job: Job) -> Json:
    """`rankings.jsonl`: one row a prompt with three answers or more whose labels connect them; others are counted."""
    left_out: Counter[str] = Counter()
    drawn = nsmallest(FITTED, _ranked(job, Counter()), key=lambda group: content_id("ties", group.prompt.id))
    nu = tie_strength(drawn) if drawn else 0.0
    rows = 0
    with atomic_write(job.run.path("rankings.jsonl"), "wb") as handle:
        for ranking in rankings(_ranked(job, left_out), nu, job.recipe.preferences.tie_band):
            handle.write(row_bytes(ranking.to_json()))
            rows += 1
    return {"rows": rows, "left_out": dict(left_out), "tie_strength": nu}


def _ranked(job: Job, left_out: Counter[str]) -> Iterator[Compared]:
    preferences = (Preference.from_json(row) for row in read_rows(job.run.path("preferences.jsonl")))
    entry = job.run.steps["preferences"]
    others = sum(one["human"] for one in entry.get("mix", {}).get("splits", {}).values())
    for group in compared(preferences, entry["rows"] - others):
        if len(group.responses) < 3:
            left_out["with two answers alone"] += 1
        elif not group.connected:
            left_out["whose labels do not connect the answers"] += 1
        else:
            yield group
