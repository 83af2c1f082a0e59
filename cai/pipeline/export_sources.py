"""The records of a run that exports are made from, each file read once however many formats want it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cai.errors import ParseError, RunError
from cai.exports import Source
from cai.exports.items import GradedAnswer, Judged
from cai.judge_records import Graded
from cai.preferences import p_yes
from cai.preferences.votes import debiased_logit, paired_votes, sigmoid, usable
from cai.recipe import Recipe
from cai.records import Draft, Judgement, Preference, Prompt
from cai.storage.run import Run, read_records, untouched

Fed = Iterable[tuple[Source, Any]]


def records(
    run: Run, sources: Iterable[Source], recipe: Recipe, weights: Mapping[str, float] | None = None
) -> Iterator[tuple[Source, Any]]:
    """(source, record) for all records of `sources`, file by file. Raises `RunError` for a file that is not there.

    `recipe` says which files are the run's: older ones may lie beside them. Votes and grades under its floor of mass do
    not count; `weights` are those of the grades by principle. Where answers were
    graded, these grades are the "answers", and of the preferences only those mixed in, which nobody graded.
    """
    wanted, mass_floor = set(sources), recipe.preferences.mass_floor
    if "prompts" in wanted:
        yield from (("prompts", one) for one in read_records(_there(run, "prompts"), Prompt.from_json))
    if "demonstrations" in wanted:
        drafts = read_records(_there(run, last_revision(recipe)), Draft.from_json)
        yield from (("demonstrations", one) for one in drafts)
    graded = "answers" in wanted and is_graded(run, recipe)
    if graded:
        yield from (("answers", one) for one in _graded(run, mass_floor, weights))
    judged: tuple[Source, ...] = tuple(one for one in ("pairs", "answers", "comparisons") if one in wanted)
    if judged and (judged != ("answers",) or not graded or has_human(run)):
        own = own_labels(run)
        for at, record in enumerate(_judged(run, "comparisons" in wanted, mass_floor)):
            judges = at < own and record.preference.source == "ai"
            yield from ((one, record) for one in judged if not (one == "answers" and graded and judges))


def is_graded(run: Run, recipe: Recipe) -> bool:
    """Whether the recipe has answers graded and at least one grade counts. Reads up to the first that does."""
    if not recipe.rubric.principles_per_answer or not _is_done(run, "rubric"):
        return False
    return any(one.p_yes is not None for one in _graded(run, recipe.preferences.mass_floor, None))


def steps_of_source(source: Source, recipe: Recipe) -> tuple[str, ...]:
    """The steps that a source is read from."""
    if source in ("prompts", "demonstrations"):
        return ("prompts" if source == "prompts" else last_revision(recipe),)
    if source == "answers" and recipe.rubric.principles_per_answer:
        return ("rubric", "preferences")
    return ("label", "preferences") if source == "comparisons" else ("preferences",)


def missing_step(run: Run, source: Source, recipe: Recipe) -> str:
    """The first step that a source is read from and that the run has not done; else the empty string."""
    steps = steps_of_source(source, recipe)
    if source == "answers" and is_graded(run, recipe):
        steps = ("rubric",)
    return next((step for step in steps if not _is_done(run, step)), "")


def _is_done(run: Run, step: str) -> bool:
    return step in run.steps and run.path(f"{step}.jsonl").exists()


def check_files(run: Run, sources: Iterable[Source], recipe: Recipe) -> None:
    """Raise `RunError` for a file of `sources` that is no longer what its step wrote: its rows would go unnoticed."""
    for step in dict.fromkeys(step for one in sources for step in steps_of_source(one, recipe)):
        name, known = f"{step}.jsonl", run.steps.get(step, {}).get("files", {})
        if name in known and run.path(name).exists() and not untouched(run.path(name), known[name]):
            raise RunError(
                f"{run.path(name)}: not the file that step '{step}' wrote (its sha256 is not the manifest's); "
                "delete it and `cai run` makes it again"
            )


def last_revision(recipe: Recipe) -> str:
    """The step of the last round of revisions; a run may still have those of more rounds, done under another recipe."""
    return f"revise-{recipe.critique.rounds}"


def _there(run: Run, step: str) -> Path:
    path = run.path(f"{step}.jsonl")
    if not path.exists():
        raise RunError(f"{path}: not there; run `cai run` until {step} first, or name formats that do not need it")
    return path


def has_human(run: Run) -> bool:
    """Whether labels of `preferences.human` were mixed in."""
    return "mix" in run.steps.get("preferences", {})


def own_labels(run: Run) -> int:
    """How many of the preferences, which come first, this run's judge gave; those of `preferences.human` follow.

    These may be a model's as well, where their rows say so, and have no votes in the run for all that.
    """
    entry = run.steps.get("preferences", {})
    mix = entry.get("mix")
    return entry["rows"] - sum(one["human"] for one in mix["splits"].values()) if mix else sys.maxsize


def _graded(run: Run, mass_floor: float, weights: Mapping[str, float] | None) -> Iterator[GradedAnswer]:
    for answer in read_records(run.path("rubric.jsonl"), Graded.from_json):
        try:
            p: float | None = p_yes(answer, mass_floor, weights)
        except ParseError:
            p = None
        yield GradedAnswer(answer.id, answer.prompt, answer.response, p)


def _judged(run: Run, votes: bool, mass_floor: float) -> Iterator[Judged]:
    preferences = read_records(_there(run, "preferences"), Preference.from_json)
    if not votes or not run.path("label.jsonl").exists():
        yield from map(Judged, preferences)
        return
    judgements = read_records(run.path("label.jsonl"), Judgement.from_json)
    own = own_labels(run)
    for at, one in enumerate(preferences):
        if at >= own or one.source == "human":
            yield Judged(one)
            continue
        judgement = _next(judgements, one)
        if judgement is None:
            raise RunError(
                f"{run.path('preferences.jsonl')}: the pair {one.id} has no votes in label.jsonl; "
                "the files are not of one run: bring it up to date with `cai run`"
            )
        yield Judged(one, judgement.votes, _by_principle(judgement, mass_floor))


def _next(judgements: Iterator[Judgement], one: Preference) -> Judgement | None:
    """The judgement of a preference; those before it abstained, and both files have one order."""
    sides = (one.prompt.id, one.response_a, one.response_b)
    return next((it for it in judgements if (it.prompt.id, it.response_a, it.response_b) == sides), None)


def _by_principle(judgement: Judgement, mass_floor: float) -> dict[str, float | None]:
    """p_a under each principle over its samples, before temperature and clamp; None where none of them counts."""
    found: dict[str, list[float]] = {}
    for (principle_id, _), (ab, ba) in paired_votes(judgement).items():
        there = found.setdefault(principle_id, [])
        if usable(ab, mass_floor) and usable(ba, mass_floor):
            there.append(sigmoid(debiased_logit(ab, ba)))
    return {id: sum(some) / len(some) if some else None for id, some in found.items()}
