"""The records of a run that exports are made from, each file read once however many formats want it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cai.constitution import load_constitution
from cai.errors import ParseError, RunError
from cai.exports import Source
from cai.exports.items import GradedAnswer, Judged
from cai.judge_records import Graded
from cai.preferences import p_yes
from cai.preferences.votes import debiased_logit, paired_votes, sigmoid, usable
from cai.records import Draft, Judgement, Preference, Prompt
from cai.storage.run import Run, read_rows


def records(run: Run, sources: Iterable[Source], mass_floor: float) -> Iterator[tuple[Source, Any]]:
    """(source, record) for all records of `sources`, file by file. Raises `RunError` for a file that is not there.

    Votes and grades under `mass_floor` do not count. Where answers were graded, these grades are the "answers", and of
    the preferences only the human ones, which nobody graded.
    """
    wanted = set(sources)
    if "prompts" in wanted:
        yield from (("prompts", Prompt.from_json(row)) for row in read_rows(_there(run, "prompts")))
    if "demonstrations" in wanted:
        yield from (("demonstrations", Draft.from_json(row)) for row in read_rows(_there(run, last_revision(run))))
    graded = "answers" in wanted and is_graded(run)
    if graded:
        yield from (("answers", one) for one in _graded(run, mass_floor))
    judged: tuple[Source, ...] = tuple(one for one in ("pairs", "answers", "comparisons") if one in wanted)
    if judged and (judged != ("answers",) or not graded or _has_human(run)):
        for record in _judged(run, "comparisons" in wanted, mass_floor):
            ai = record.preference.source == "ai"
            yield from ((one, record) for one in judged if not (one == "answers" and graded and ai))


def is_graded(run: Run) -> bool:
    """Whether the run has absolute grades of its answers."""
    return "rubric" in run.steps and run.path("rubric.jsonl").exists()


def last_revision(run: Run) -> str:
    """The step of the last round of revisions."""
    rounds = [int(name.removeprefix("revise-")) for name in run.steps if name.startswith("revise-")]
    return f"revise-{max(rounds, default=1)}"


def principle_texts(folder: Path) -> dict[str, str]:
    """What the judge was asked under each principle, by id; empty where the run has no constitution of its own."""
    path = folder / "constitution.yaml"
    if not path.exists():
        return {}
    principles: Mapping[str, Any] = {one.id: one for one in load_constitution(str(path)).principles}
    return {id: one.comparison or one.critique or id for id, one in principles.items()}


def _there(run: Run, step: str) -> Path:
    path = run.path(f"{step}.jsonl")
    if not path.exists():
        raise RunError(f"{path}: not there; run `cai run` until {step} first, or name formats that do not need it")
    return path


def _has_human(run: Run) -> bool:
    return "mix" in run.steps.get("preferences", {})


def _graded(run: Run, mass_floor: float) -> Iterator[GradedAnswer]:
    for row in read_rows(run.path("rubric.jsonl")):
        answer = Graded.from_json(row)
        try:
            p: float | None = p_yes(answer, mass_floor)
        except ParseError:
            p = None
        yield GradedAnswer(answer.id, answer.prompt, answer.response, p)


def _judged(run: Run, votes: bool, mass_floor: float) -> Iterator[Judged]:
    preferences = (Preference.from_json(row) for row in read_rows(_there(run, "preferences")))
    if not votes or not run.path("label.jsonl").exists():
        yield from map(Judged, preferences)
        return
    judgements = (Judgement.from_json(row) for row in read_rows(run.path("label.jsonl")))
    for one in preferences:
        if one.source == "human":
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
