"""Exports of a run: every format written beside the others in one pass, each folder replaced as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cai import __version__
from cai.errors import ConfigError
from cai.exports import CANNOT_CARRY, Export, FileType, Source, load_export
from cai.exports.columns import PROVENANCE
from cai.exports.files import Arrays
from cai.exports.writing import DatasetWriter, export_items
from cai.pipeline.export_facts import RunFacts
from cai.pipeline.export_sources import records
from cai.pipeline.export_staging import staging, take_place
from cai.pipeline.job import Job
from cai.pipeline.step import digest
from cai.recipe import Recipe
from cai.records import SPLITS, Json, Kind


def export_step(job: Job) -> Json:
    """Every dataset of the recipe under `datasets/`, replaced as a whole; what has no row in a format is counted."""
    about = RunFacts.read(job.run)
    made = {name: load_export(name, job.recipe, about.options()) for name in job.recipe.export.formats}
    fed = records(job.run, {one.source for one in made.values()}, job.recipe, about.grade_weights)
    with staging(job.run.folder) as staged:
        writers = write_formats(made, fed, staged / "datasets", job.recipe.export.files)
        _refuse(job.recipe, {name: writer.counts for name, writer in writers.items()}, "rows")
        take_place(staged / "datasets", job.run.path("datasets"))
    counts = {name: dict(writer.counts) for name, writer in writers.items()}
    left_out: Counter[str] = Counter()
    for name, one in counts.items():
        left_out.update({f"{name}: {why}": n for why, n in one.items() if why not in SPLITS and n})
    rows = sum(one[split] for one in counts.values() for split in SPLITS)
    return {"rows": rows, "datasets": counts, "left_out": dict(left_out)}


def check_dialogues(job: Job) -> None:
    """Raise `ConfigError` where the prompts show already that a format of the recipe cannot carry its dialogues."""
    counts: dict[str, Counter[str]] = {}
    for name in job.recipe.export.formats:
        export = load_export(name)
        of = [one for one in job.prompts.prompts if one.kind in _kinds(export.source, job.recipe)]
        why = (export.carries.why_not(one) for one in of)
        counts[name] = Counter("kept" if one is None else one.reason for one in why)
    _refuse(job.recipe, counts, "prompts")


def _kinds(source: Source, recipe: Recipe) -> tuple[Kind, ...]:
    """The kinds of prompts that rows of `source` are made of, whatever the models answer."""
    every: tuple[Kind, ...] = ("red_team", "helpful", "lookalike")
    if source == "demonstrations":
        return every if recipe.sft.helpful else ("red_team",)
    return every if source == "prompts" else recipe.sample.kinds


def _refuse(recipe: Recipe, counts: Mapping[str, Mapping[str, int]], what: str) -> None:
    option = "export.single_turn_only=true"
    found = {name: why for name, one in counts.items() if (why := cannot_carry(one, what, option))}
    if found and not recipe.export.single_turn_only:
        raise ConfigError("export.formats: " + "; ".join(f"{name}: {why}" for name, why in found.items()))


_SAID = {"several_turns": "several turns", "system_turn": "a system turn", "not_alternating": "turns out of order"}


def cannot_carry(counts: Mapping[str, int], what: str = "rows", option: str = "--single-turn-only") -> str:
    """Which dialogues a format cannot carry, by its `counts`, and the `option` that leaves them out; else empty."""
    lost = {why: counts[why] for why in CANNOT_CARRY if counts.get(why)}
    if not lost:
        return ""
    total, kept = sum(counts.values()), sum(counts.get(name, 0) for name in ("kept", *SPLITS))
    which = " and ".join(f"{n:,} {'has' if n == 1 else 'have'} {_SAID[why]}" for why, n in lost.items())
    return (
        f"of {total:,} {what} {which}, which the format cannot carry; {option} writes the {kept:,} that it can "
        "and counts the rest"
    )


def no_row(counts: Mapping[str, int]) -> str:
    """That an export would be empty, with why by its `counts`; empty where it has a row."""
    if any(counts.get(split) for split in SPLITS):
        return ""
    lost = ", ".join(f"{n:,} {why}" for why, n in counts.items() if n)
    return f"would have no row ({lost or 'the run has none to make it of'})"


def told_besides(job: Job) -> Json:
    """What rows of some formats say of the run, and how its grades are weighed: they change the datasets too."""
    about = RunFacts(job.run, job.recipe, job.constitution)
    sources = {load_export(name).source for name in job.recipe.export.formats}
    told: Json = {}
    if "comparisons" in sources:
        told |= {"provenance": {**about.provenance, PROVENANCE[-1]: __version__}, "asked": digest(about.principles)}
    if "answers" in sources and (weights := about.grade_weights) and job.recipe.rubric.principles_per_answer:
        told["grade_weights"] = weights
    return told


def reads_besides(recipe: Recipe) -> tuple[str, ...]:
    """The steps whose files only some formats read: votes, and grades where the recipe asks for them."""
    sources = {load_export(name).source for name in recipe.export.formats}
    votes = ("label",) if "comparisons" in sources else ()
    return (*votes, "rubric") if "answers" in sources and recipe.rubric.principles_per_answer else votes


def write_formats(
    exports: Mapping[str, Export], fed: Iterable[tuple[Source, Any]], folder: Path, files: Sequence[FileType]
) -> dict[str, DatasetWriter]:
    """Write every export into the folder of its name under `folder`; the writers, done, have the counts."""
    arrays = Arrays()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(DatasetWriter(one, folder / name, files, arrays=arrays))
            for name, one in exports.items()
        }
        by_source: dict[Source, list[DatasetWriter]] = {}
        for writer in writers.values():
            by_source.setdefault(writer.export.source, []).append(writer)
        export_items(by_source, fed)
    return writers
