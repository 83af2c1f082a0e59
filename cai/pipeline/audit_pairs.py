"""Which pairs an audit asks the judge about: planted ones of a run's answers, ranked ones, two runs' own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from cai import audit
from cai.draws import draw_bits
from cai.errors import ConfigError
from cai.pipeline.job import Job
from cai.pipeline.verdicts import comparison_reading
from cai.records import Draft, Json
from cai.storage.run import Run, read_records, read_rows

ANSWERS = "respond.jsonl"
_FORGED = "a forged answer"


def audit_items(job: Job) -> list[audit.Item]:
    """Every pair of the audit, each once."""
    settings, seed = job.recipe.audit, job.recipe.seed
    naming = comparison_reading(job).names
    special = special_suffix(job)
    planted = audit.planted_items(_drafts(job), job.constitution, settings.items, seed, naming, special)
    items = [*planted, *human_items(job), *_own(job)]
    return list({item.id: item for item in items}.values())


def special_suffix(job: Job) -> str:
    """What the "special" attack adds: in the judge's own control strings where its engine knows its chat template.

    It is kept in the manifest, so that a rerun loads no tokenizer.
    """
    engine = job.engine("judge")
    forge: Callable[[str], str] | None = getattr(engine, "forged_answer", None)
    if forge is None:
        return audit.SUFFIXES["special"]
    key = f"{engine.fingerprint}: {_FORGED}"
    known = job.readings.get(key) or job.run.manifest.get("verdicts", {}).get(key) or {"text": forge(audit.SPECIAL)}
    job.readings[key] = known
    return str(known["text"])


def _drafts(job: Job) -> list[Draft]:
    """The last answers that are drawn first: of all, of those that a revision mended, of those not to red-team prompts.

    As many of each as there are to be items; memory does not grow with the run.
    """
    path = job.run.path(f"revise-{job.recipe.critique.rounds}.jsonl")

    def drawn(wanted: Callable[[Draft], bool]) -> list[Draft]:
        every = (Draft.from_json(row) for row in read_rows(path))
        named = ((draw_bits(job.recipe.seed, one.id, "audit"), one) for one in every if wanted(one))
        return [one for _, one in heapq.nsmallest(job.recipe.audit.items, named, key=lambda pair: pair[0])]

    wanted: list[Callable[[Draft], bool]] = [
        lambda one: True, audit.was_mended, lambda one: one.prompt.kind != "red_team",
    ]  # fmt: skip
    return list({one.id: one for some in wanted for one in drawn(some)}.values())


def human_items(job: Job) -> list[audit.Item]:
    """`audit.pairs` of the pairs of `audit.truth` of which one was ranked the better, drawn by hash."""
    ranked = [one for read in job.truth().values() for one in read.preferences if one.p_a != 0.5]
    drawn = heapq.nsmallest(job.recipe.audit.pairs, ranked, key=lambda one: draw_bits(job.recipe.seed, one.id, "truth"))
    return [audit.Item("human", one.prompt, one.chosen, one.rejected) for one in drawn]


def _own(job: Job) -> Iterator[audit.Item]:
    """`audit.pairs` of the first answers of the judge's own model, each beside that of the other run's model."""
    if job.recipe.audit.against is None:
        return
    own, other = answering_runs(job)
    known = {row["prompt"]["id"] for row in read_rows(other.path(ANSWERS))}
    drafts = (Draft.from_json(row) for row in read_rows(own.path(ANSWERS)))
    named = ((draw_bits(job.recipe.seed, one.prompt.id, "own"), one) for one in drafts if one.prompt.id in known)
    drawn = {one.prompt.id: one for _, one in heapq.nsmallest(job.recipe.audit.pairs, named, key=lambda pair: pair[0])}
    for row in read_rows(other.path(ANSWERS)):
        theirs = Draft.from_json(row)
        if (mine := drawn.get(theirs.prompt.id)) and mine.response != theirs.response:
            yield audit.Item("own", mine.prompt, mine.response, theirs.response)


def answering_runs(job: Job) -> tuple[Run, Run]:
    """This run and that of `audit.against`, first the one whose answers are of the judge's own model.

    Raises `RunError` if there is no such run, and `ConfigError` unless the judge's model answered in exactly one.
    """
    folder = Path(job.recipe.audit.against or "")
    other = Run.existing(folder)
    if "respond" not in other.steps:
        raise ConfigError(f"audit.against: {folder} has no answers yet; cai run makes them")
    judge = job.engine("judge").fingerprint
    mine, theirs = (model == judge for model in (job.engine("model").fingerprint, _model(other)))
    if mine == theirs:
        said = "both runs' answers are" if mine else "neither run's answers are"
        raise ConfigError(
            f"audit.against: {said} of the judge's own model, so there is no self-preference to be seen; give a run of "
            f"{'another model' if mine else 'the model that judges'} on the same prompts"
        )
    return (job.run, other) if mine else (other, job.run)


def against_digest(job: Job) -> Json:
    """What of the other run the audit depends on."""
    if job.recipe.audit.against is None:
        return {}
    answering_runs(job)
    return {"answers": Run.existing(Path(job.recipe.audit.against)).steps["respond"]["sha256"]}


def check_against(job: Job) -> None:
    """Raise `InputError` for an answer of the run of `audit.against` that cannot be read, where there is such a run."""
    if job.recipe.audit.against is not None:
        for _ in read_records(Run.existing(Path(job.recipe.audit.against)).path(ANSWERS), Draft.from_json):
            pass


def _model(run: Run) -> str:
    return str(run.steps["respond"]["settings"]["model"])
