"""`cai export`: formats of a run that is there, written in one pass, each with its facts beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from cai.errors import ConfigError, RunError
from cai.exports import EXPORTS, Export, ExportOptions, FileType, check_format, load_export
from cai.exports.writing import FILE_TYPES, DatasetWriter
from cai.pipeline.dataset_card import EXPORTED, check_place, write_card
from cai.pipeline.export_facts import FACTS, RunFacts, check_options, export_facts
from cai.pipeline.export_mix import Mix
from cai.pipeline.export_sources import Fed, check_files, missing_step, records, steps_of_source
from cai.pipeline.export_staging import staging, take_place
from cai.pipeline.export_work import cannot_carry, no_row, write_formats
from cai.pipeline.rebuilding import export_command
from cai.records import Json
from cai.storage.run import Run, write_json

ALL = "all"


class Filter(Protocol):
    """Takes a function that reads the records, and gives them with a `LeftOut` in place of each that is not to be used.

    `told` says in `export.json` what it took out, `words` are the options that ask for it.
    """

    def __call__(self, read: Callable[[], Fed]) -> Fed: ...

    def told(self) -> list[Json]: ...

    def words(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is to be exported: `formats` are names, or "all"; `out` holds one folder a format.

    `seed` is the recipe's where it is None. `helpful_share` is the share of rows whose prompt is not red-team, or None
    for all rows.
    """

    formats: tuple[str, ...]
    out: Path | None = None
    files: tuple[FileType, ...] = FILE_TYPES
    options: ExportOptions = field(default_factory=ExportOptions)
    seed: int | None = None
    single_turn_only: bool = False
    helpful_share: float | None = None
    filters: tuple[Filter, ...] = ()


def export_run(folder: Path, request: ExportRequest) -> Json:
    """Write the formats; returns the facts of each, and under "refused" why the others of "all" are not there.

    Raises a `CAIError` and changes nothing when a format that was named cannot carry the run's dialogues or has no row.
    """
    check_options(request.options, request.helpful_share)
    about = RunFacts.read(Run.existing(folder))
    exports, refused = _chosen(about, request)
    check_files(about.run, {one.source for one in exports.values()}, about.recipe)
    out = request.out or folder / EXPORTED
    check_place(about.run, out)
    for name in exports:
        _require_ours(out / name)
    exports, read, unmixed = _fed(about, exports, request)
    refused |= unmixed
    asked = {
        "single_turn_only": request.single_turn_only,
        "mix": request.helpful_share,
        "filters": [told for one in request.filters for told in one.told()],
        "command": export_command(folder, request),
    }
    facts: dict[str, Json] = {}
    with staging(out) as staged:
        writers = write_formats(exports, read(), staged, request.files)
        refused |= _refused(writers, request)
        for name, writer in writers.items():
            if name not in refused:
                facts[name] = export_facts(name, writer, asked, about)
                write_json(writer.folder / FACTS, facts[name])
        for name in facts:
            _require_ours(out / name)
        for name in facts:
            take_place(staged / name, out / name)
    if facts:
        write_card(about.run, out)
    return {"out": str(out), "formats": facts, "refused": refused}


def steps_read(folder: Path, request: ExportRequest) -> list[str]:
    """The steps of the run that the formats are made from; names that are no format are left to `export_run`."""
    recipe = RunFacts.read(Run.existing(folder)).recipe
    names = EXPORTS if ALL in request.formats else [name for name in request.formats if name in EXPORTS]
    sources = sorted({load_export(name).source for name in names})
    return list(dict.fromkeys(step for source in sources for step in steps_of_source(source, recipe)))


def _chosen(about: RunFacts, request: ExportRequest) -> tuple[dict[str, Export], dict[str, str]]:
    """The exports by name, and why formats of "all" cannot be made of this run."""
    names = list(EXPORTS) if ALL in request.formats else [check_format(name) for name in request.formats]
    options = about.options(request.options, request.seed)
    exports = {name: load_export(name, about.recipe, options) for name in dict.fromkeys(names)}
    if request.options.margin and not any(one.margin for one in exports.values()):
        able = [name for name in EXPORTS if load_export(name).margin]
        raise ConfigError(f"--margin: none of these formats has one (those that do: {', '.join(able)})")
    lacking = {
        name: step for name, one in exports.items() if (step := missing_step(about.run, one.source, about.recipe))
    }
    if lacking and (ALL not in request.formats or len(lacking) == len(exports)):
        name, step = next(iter(lacking.items()))
        raise RunError(f"{about.run.folder}: {name} is made from the step '{step}', which the run has not done")
    kept = {name: one for name, one in exports.items() if name not in lacking}
    return kept, {name: f"the run has not done the step '{step}'" for name, step in lacking.items()}


def _fed(
    about: RunFacts, exports: Mapping[str, Export], request: ExportRequest
) -> tuple[dict[str, Export], Callable[[], Fed], dict[str, str]]:
    """The exports to make, what reads their records, filtered, then mixed, and why formats of "all" cannot be mixed."""
    read = _filtered(about, exports, request)
    if request.helpful_share is None:
        return dict(exports), read, {}
    mix = Mix.measured(read(), request.helpful_share, next(iter(exports.values())).options)
    refused = {name: mix.lacking[one.source] for name, one in exports.items() if one.source in mix.lacking}
    if refused and (ALL not in request.formats or len(refused) == len(exports)):
        raise ConfigError("; ".join(dict.fromkeys(refused.values())))
    mixable = {name: one for name, one in exports.items() if name not in refused}
    return mixable, partial(mix, _filtered(about, mixable, request)), refused


def _filtered(about: RunFacts, exports: Mapping[str, Export], request: ExportRequest) -> Callable[[], Fed]:
    sources = {one.source for one in exports.values()}
    read: Callable[[], Fed] = partial(records, about.run, sources, about.recipe, about.grade_weights)
    for one in request.filters:
        read = partial(one, read)
    return read


def _refused(writers: Mapping[str, DatasetWriter], request: ExportRequest) -> dict[str, str]:
    """Why formats are refused that cannot carry some dialogues or would have no row.

    Raises `ConfigError` if they were asked for by name.
    """
    found: dict[str, str] = {}
    for name, writer in writers.items():
        lost = "" if request.single_turn_only else cannot_carry(writer.counts)
        if why := lost or no_row(writer.counts):
            found[name] = why
    if found and ALL not in request.formats:
        raise ConfigError("; ".join(f"{name}: {why}" for name, why in found.items()))
    return found


def _require_ours(folder: Path) -> None:
    """Raise `RunError` for a folder that holds anything but an export: it would be replaced as a whole."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir() or (any(folder.iterdir()) and not (folder / FACTS).is_file()):
        raise RunError(f"{folder}: there, and no export of cai (no {FACTS}); choose another --out")
    if (found := _foreign(folder)) is not None:
        raise RunError(
            f"{found}: not of the export in {folder.name}/, which would be replaced as a whole; move it away, or "
            "choose another --out"
        )


def _foreign(folder: Path) -> Path | None:
    """The first file or link in the folder of an export that the export did not write; an empty folder is one, too."""
    own = _written(folder)
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or (path.is_file() and path.name not in own):
            return path
        if path.is_dir():
            return next((one for one in sorted(path.rglob("*")) if one.is_symlink() or not one.is_dir()), path)
    return None


def _written(folder: Path) -> set[str]:
    """The names of the files that the export in `folder` wrote: `export.json`, what it lists, and what lies beside."""
    try:
        files = [*json.loads((folder / FACTS).read_text(encoding="utf-8"))["files"].keys()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {FACTS}
    beside = load_export(folder.name).beside
    return {FACTS, *files, *(beside(folder.name, files) if beside is not None else ())}
