"""`cai import`: other people's preferences and prompts as files that a run and the trainers read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cai.cli.out_path import OutPath
from cai.cli.split_option import test_share_option
from cai.cli.tables import number_of

if TYPE_CHECKING:
    from pathlib import Path

    from cai.imports import ImportReport

_SHOWN = 10


@click.command(name="import")
@click.argument("file")
@click.option(
    "--out",
    required=True,
    type=OutPath(files="*.jsonl"),
    metavar="FOLDER_OR_FILE",
    help="A folder, or the .jsonl file to write.",
)
@click.option(
    "--format",
    "format_name",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="The format, by its name in `cai export`; auto recognises it by the columns.",
)
@click.option(
    "--as",
    "wanted",
    type=click.Choice(["preferences", "prompts"]),
    help="What to take; without it preferences where the format carries them, else prompts.",
)
@click.option(
    "--source",
    type=click.Choice(["human", "ai"]),
    default="human",
    show_default=True,
    help="Who ranked the pairs of rows that do not say so.",
)
@click.option("--kind", type=click.Choice(["red_team", "helpful", "lookalike"]), help="Kind of rows that name none.")
@test_share_option
@click.option("--dataset", metavar="NAME", help="The entry to read of LLaMA-Factory's dataset_info.json.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def import_(
    file: str,
    out: Path,
    format_name: str,
    wanted: Any,
    source: Any,
    kind: Any,
    test_share: float,
    dataset: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Turn preference or prompt data of others in FILE into rows that `cai` reads.

    FILE is JSONL, JSON, CSV, Parquet, a folder with train and test files, a folder that datasets.save_to_disk wrote, or
    a folder of LLaMA-Factory's with its dataset_info.json. Every format of `cai export` is read, and HH transcripts,
    UltraFeedback, AlpacaEval annotations and PKU-SafeRLHF. Texts are taken to the letter, but for the space around the
    turns of transcripts and plain completions. A row that cannot be carried is counted, and written with the reason to
    a .rejected.jsonl beside the output: under row, or under row_text as a text where it holds a number that JSON has
    not, such as Infinity. What is read waits on the disk ($SQLITE_TMPDIR); only a JSON object of columns is held in
    memory.

    \b
    Example:
      cai import pairs.parquet --out data/theirs
      cai train reward --preferences data/theirs/preferences.jsonl --model hf/./my-model --out models/reward
      cai import LLaMA-Factory/data --dataset dpo_en_demo --source ai --out data/dpo.jsonl
      cai import sft.jsonl --out data/sft && cai run --prompts data/sft/prompts.jsonl
    """
    from cai.imports import find_sources, import_data

    path, report = import_data(
        find_sources(file, dataset), out, format_name, wanted=wanted, ranker=source, kind=kind,
        test_share=test_share, force=force,
    )  # fmt: skip
    if as_json:
        import json

        click.echo(json.dumps({"out": str(path), **report.to_json()}, ensure_ascii=False, indent=2))
        return
    _show(report, path)


def _show(report: ImportReport, path: Path) -> None:
    noun = "prompt" if not report.sources else "preference"
    formats = ", ".join(
        f"{name}{'' if len(report.formats) == 1 else f' ({rows:,})'}" for name, rows in report.formats.items()
    )
    click.echo(f"read       {number_of(report.rows, 'row')}, format {formats}")
    click.echo(f"           columns not read: {_columns(report)}")
    splits = f"{report.splits['train']:,} train, {report.splits['test']:,} test"
    ties = f", {number_of(report.ties, 'tie')}" if report.ties else ""
    click.echo(f"kept       {number_of(report.kept, noun)}: {splits}{ties}")
    for ranker, count in report.sources.items():
        click.echo(f"source     {ranker} ({count:,})")
    if report.annotators:
        [(name, count), *_] = report.annotators.most_common(1)
        say, them = ("pair says", "it") if count == 1 else ("pairs say", "them")
        click.echo(f"           {count:,} {say} that {name!r} ranked {them}; --source ai keeps a model's apart")
    for (kind, ground), count in report.kinds.items():
        click.echo(f"kind       {kind}, {_GROUNDS[ground]} ({count:,})")
    if report.duplicates:
        against = f", {report.contradicting:,} of them ranked the other way" if report.contradicting else ""
        means = "; the label is their mean" if report.sources else ""
        click.echo(f"repeated   {report.duplicates:,} merged with the first{against}{means}")
    if report.moved:
        click.echo(f"moved      {report.moved:,} from train to test: their opening turn is in test too")
    _show_rejects(report, path)
    click.echo(f"wrote      {path}")


def _columns(report: ImportReport) -> str:
    names = [repr(name[:40]) + ("" if rows == report.rows else f" ({rows:,})") for name, rows in report.unread.items()]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more or "none"


def _show_rejects(report: ImportReport, path: Path) -> None:
    if not report.rejected:
        return
    click.echo(f"left out   {report.rejected.total():,}, each with its reason in {path.stem}.rejected.jsonl")
    for reason, count in report.rejected.most_common(_SHOWN):
        click.echo(f"           {count:,} × {reason} (first: {report.first[reason]})")
    if (more := len(report.rejected) - _SHOWN) > 0:
        click.echo(f"           and {number_of(more, 'other reason')}")


_GROUNDS = {
    "given": "as given",
    "row": "as each row says",
    "label": "from its safe/unsafe label",
    "name": "derived from the file's name",
    "default": "by default: nothing names a kind",
}
