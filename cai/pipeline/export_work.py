"""Exports of a run: every format written beside the others in one pass, each folder replaced as a whole."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cai import __version__
from cai.exports import Export, FileType, Source, load_export
from cai.exports.columns import PROVENANCE
from cai.exports.writing import DatasetWriter, export_items
from cai.pipeline.export_facts import RunFacts
from cai.pipeline.export_sources import records
from cai.pipeline.job import Job
from cai.pipeline.step import digest
from cai.recipe import Recipe
from cai.records import SPLITS, Json


def export_step(job: Job) -> Json:
    """Every dataset of the recipe under `datasets/`, replaced as a whole; what has no row in a format is counted."""
    about = RunFacts.read(job.run)
    made = {name: load_export(name, job.recipe, about.options()) for name in job.recipe.export.formats}
    fed = records(job.run, {one.source for one in made.values()}, job.recipe, about.grade_weights)
    with staging(job.run.folder) as staged:
        writers = write_formats(made, fed, staged / "datasets", job.recipe.export.files)
        take_place(staged / "datasets", job.run.path("datasets"))
    counts = {name: dict(writer.counts) for name, writer in writers.items()}
    left_out: Counter[str] = Counter()
    for name, one in counts.items():
        left_out.update({f"{name}: {why}": n for why, n in one.items() if why not in SPLITS and n})
    rows = sum(one[split] for one in counts.values() for split in SPLITS)
    return {"rows": rows, "datasets": counts, "left_out": dict(left_out)}


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
    with ExitStack() as stack:
        writers = {name: stack.enter_context(DatasetWriter(one, folder / name, files)) for name, one in exports.items()}
        by_source: dict[Source, list[DatasetWriter]] = {}
        for writer in writers.values():
            by_source.setdefault(writer.export.source, []).append(writer)
        export_items(by_source, fed)
    return writers


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` to write in first; gone afterwards, with what is left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new.", suffix=".tmp", dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def take_place(new: Path, folder: Path) -> None:
    """Put `new`, which is in a `staging` folder, in the place of `folder`."""
    new.mkdir(exist_ok=True)
    if folder.exists():
        folder.rename(new.with_name(f"{folder.name}.old"))
    new.rename(folder)
