"""`cai export`: datasets of a run for other trainers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cai.cli.out_path import OutPath


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--format", "formats", multiple=True, metavar="NAME", help="A format, once for each; or all.")
@click.option("--list", "listed", is_flag=True, help="List the formats, who reads them, and by which options.")
@click.option("--out", type=OutPath(), help="The folder with one folder a format.  [default: RUN/exports]")
@click.option(
    "--labels",
    type=click.Choice(["argmax", "threshold", "bernoulli", "duplicate"]),
    default="argmax",
    show_default=True,
    help="How a soft label becomes a hard one.",
)
@click.option(
    "--threshold", type=float, default=0.1, show_default=True, metavar="TAU", help="Keep pairs with |p − ½| ≥ TAU."
)
@click.option(
    "--copies", type=int, default=10, show_default=True, metavar="K", help="Rows a preference becomes with duplicate."
)
@click.option("--margin", is_flag=True, help="A margin column, for reward trainers that read one.")
@click.option("--mix", "share", type=float, metavar="SHARE", help="Share of rows that are not red-team, 0 to 1.")
@click.option(
    "--single-turn-only",
    is_flag=True,
    help="Leave out and count the dialogues that a format cannot carry, in place of refusing.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of the draws.  [default: the recipe's]")
@click.option(
    "--files",
    type=click.Choice(["jsonl", "parquet", "both"]),
    default="both",
    show_default=True,
    help="File types, where a format's reader takes either.",
)
@click.option(
    "--near-duplicates",
    type=float,
    metavar="J",
    help="Leave out prompts that share J or more of their five-character shingles with a kept one (Jaccard), say 0.8.",
)
@click.option(
    "--decontaminate",
    multiple=True,
    metavar="FILE",
    help="Leave out prompts that share 13 words in a row with a prompt of FILE, or all of a shorter one. Answers are "
    "not searched. Repeatable.",
)
@click.option("--push-to-hub", "repository", metavar="REPO", help="Say what would go to this dataset repository.")
@click.option("--yes-push", is_flag=True, help="With --push-to-hub: send it.")
@click.option("--public", is_flag=True, help="With --push-to-hub: a new repository is for all to see.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def export(
    run: Path | None, formats: tuple[str, ...], listed: bool, out: Path | None, share: float | None,
    single_turn_only: bool, seed: int | None, files: str, near_duplicates: float | None,
    decontaminate: tuple[str, ...], repository: str | None, yes_push: bool, public: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Write datasets of RUN for other trainers, each with its facts in export.json.

    Soft labels become hard ones by --labels; the raw probability stays beside each row. argmax takes the likelier
    answer, so a label that was clamped to 0.6 counts as one of 1.0; threshold leaves unsure pairs out; bernoulli draws
    the winner with its probability, which gives the loss on the soft label on average; duplicate writes K rows, the
    share of each side as the label says.

    README.md beside the formats is the dataset's card. With --push-to-hub nothing is sent before --yes-push is there
    too; the token is the one that huggingface_hub finds, such as HF_TOKEN.

    \b
    Example:
      cai export --list
      cai export outputs/demo --format all
      cai export outputs/demo --format openrlhf_preference --format verl_rl --labels bernoulli --out data
      cai export outputs/demo --format all --near-duplicates 0.8 --decontaminate benchmark.jsonl
      cai export outputs/demo --format sft --push-to-hub me/my-data
    """
    if listed:
        click.echo(_formats())
        return
    if run is None or not formats:
        raise click.UsageError("give a RUN and --format NAME, or --format all; cai export --list names the formats")
    from cai.exports import ExportOptions
    from cai.exports.writing import FILE_TYPES
    from cai.pipeline.dataset_card import described
    from cai.pipeline.export_filters import PromptFilter
    from cai.pipeline.export_notes import run_notes
    from cai.pipeline.export_run import ExportRequest, export_run, steps_read
    from cai.pipeline.hub import check_repository, planned_upload, push
    from cai.storage.run import Run

    if (yes_push or public) and repository is None:
        raise click.UsageError("--yes-push and --public need --push-to-hub REPO")
    if repository is not None:
        check_repository(repository)
    filtering = near_duplicates is not None or decontaminate
    filters = (PromptFilter(Run.existing(run), near_duplicates, decontaminate),) if filtering else ()
    kinds = FILE_TYPES if files == "both" else (files,)
    made = ExportOptions(**options)
    asked = ExportRequest(formats, out, kinds, made, seed, single_turn_only, share, filters)  # type: ignore[arg-type]
    _warn_if_unread(options["labels"])
    notes = run_notes(run, steps_read(run, asked))
    for note in notes:
        click.echo(f"note: {note}", err=True)
    told = export_run(run, asked) | {"notes": notes}
    upload = None
    if repository is not None:
        placed = Path(told["out"])
        upload = planned_upload(placed, described(Run.existing(run), placed), repository, not public)
    if upload is not None:
        told["upload"] = upload.to_json()
    click.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else _page(told))
    if upload is not None and yes_push:
        click.echo(f"sent: {push(upload)}", err=as_json)
    if not told["formats"]:
        click.get_current_context().exit(1)


def _warn_if_unread(labels: str) -> None:
    """Say on standard error that an option was given that the way of making labels does not read."""
    from click.core import ParameterSource

    context = click.get_current_context()
    for option, reader in (("threshold", "threshold"), ("copies", "duplicate")):
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE and labels != reader:
            click.echo(f"note: --{option} changes nothing with --labels {labels}; only {reader} reads it", err=True)


def _formats() -> str:
    from cai.cli.tables import table
    from cai.exports import EXPORTS, load_export

    made = {name: load_export(name) for name in EXPORTS}
    rows = [(name, one.source, _carried(one), one.consumer) for name, one in made.items()]
    told = [(name, one.usage) for name, one in made.items()]
    where = "FOLDER is the folder of the format; data is datasets.load_dataset(FOLDER)."
    tables = (
        table(("format", "made from", "dialogues", "read by"), rows),
        table(("format", "what its reader is told"), told),
    )
    return "\n\n".join([*tables, where])


def _carried(export: Any) -> str:
    if export.carries.any_order:
        return "any"
    turns = "alternating" if export.carries.turns else "one turn"
    return f"{turns}, {'system' if export.carries.system else 'no system'}"


def _page(told: dict[str, Any]) -> str:
    from cai.cli.tables import count, table

    rows = [
        (
            name, count(one["rows"]["train"]), count(one["rows"]["test"]),
            ", ".join(_left_out(n, why, one["left_out_unit"].get(why, "")) for why, n in one["left_out"].items()),
        )
        for name, one in told["formats"].items()
    ]  # fmt: skip
    lines = [table(("format", "train", "test", "left out"), rows)] if rows else []
    lines += [f"{names}: not written: {why}" for why, names in _names_by(told["refused"].items())]
    notes = _names_by((name, note) for name, one in told["formats"].items() for note in one["notes"])
    place = [f"in {told['out']}/"] if rows else []
    lines += [_upload(told["upload"], told["formats"])] if "upload" in told else []
    return "\n".join([*lines, *(f"note: {names}: {note}" for note, names in notes), *place])


def _left_out(number: int, why: str, unit: str) -> str:
    if not unit:
        return f"{number:,} {why}"
    return f"{number:,} {unit if number != 1 else unit.replace('s or', ' or').removesuffix('s')} {why}"


def _names_by(said: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each text once, with all the formats that it was said of."""
    names: dict[str, list[str]] = {}
    for name, text in said:
        names.setdefault(text, []).append(name)
    return [(text, ", ".join(some)) for text, some in names.items()]


def _upload(upload: dict[str, Any], formats: Iterable[str]) -> str:
    from cai.cli.tables import table

    rows = [(f"{size:,}", name) for name, size in upload["files"].items()]
    seen = "private, if it is new" if upload["private"] else "for all to see, if it is new"
    head = f"for the hub: {len(rows)} files, {upload['bytes']:,} bytes, to datasets/{upload['repository']}, {seen}"
    before = sorted({folder for name in upload["files"] if (folder := name.rpartition("/")[0]) not in (*formats, "")})
    if before:
        head += f" (also of formats that were there before, as they were made then: {', '.join(before)})"
    unsent = "".join(f"\nnot sent: {name}" for name in upload["not_sent"])
    return f"{head}; --yes-push sends them\n{table(('bytes', 'file'), rows)}{unsent}"
