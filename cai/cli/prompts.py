"""`cai prompts`: what would be read from prompt files, before anything is run on them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from cai.cli.split_option import test_share_option
from cai.cli.tables import number_of

if TYPE_CHECKING:
    from cai.prompts import FileReport, PromptSet


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--kind",
    type=click.Choice(["red_team", "helpful", "lookalike"]),
    help="Kind of every file that names none with ?kind=.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Keep the first N prompts of each kind.")
@test_share_option
@click.option(
    "--sample", type=click.IntRange(min=0), default=3, show_default=True, help="Prompts of each kind to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
def prompts(
    files: tuple[str, ...], kind: str | None, limit: int | None, test_share: float, sample: int, as_json: bool
) -> None:
    """Show what would be read from prompt FILES: kinds, splits, turns, duplicates and a sample.

    A file is JSONL, JSON, CSV, TSV, plain text (a prompt a line), Parquet, or a folder that
    datasets.save_to_disk wrote. What it does not say itself goes behind its name:

    \b
      red.csv?kind=red_team&column=goal     every prompt is red_team, read from `goal`
      new.txt?kind=helpful&split=test       held out from training
      chats.jsonl?answers=drop              leave off the answer each dialogue ends with

    \b
    Example:
      cai prompts red_team.jsonl 'questions.csv?kind=helpful'
    """
    from cai.prompts import read_prompts

    read = read_prompts([_with_kind(name, kind) for name in files], limit=limit, test_share=test_share)
    if as_json:
        click.echo(json.dumps(read.summary(), ensure_ascii=False, indent=2))
        return
    _show_counts(read)
    for report in read.files:
        _show_file(report)
    _show_sample(read, sample)


def _with_kind(name: str, kind: str | None) -> str:
    from cai.prompts import parse_spec

    if kind is None or parse_spec(name).kind is not None:
        return name
    return f"{name}{'&' if '?' in name else '?'}kind={kind}"


def _show_counts(read: PromptSet) -> None:
    click.echo(number_of(len(read.prompts), "prompt"))
    table = Counter((prompt.kind, prompt.split) for prompt in read.prompts)
    for kind in dict.fromkeys(kind for kind, _ in table):
        click.echo(f"  {kind:<10} {table[kind, 'train']:>8,} train {table[kind, 'test']:>8,} test")
    click.echo("  turns      " + ", ".join(f"{count:,} with {n}" for n, count in read.turns.items()))
    if read.duplicates:
        click.echo(f"  {number_of(read.duplicates, 'duplicate')} merged")
    if read.over_limit:
        click.echo(f"  {read.over_limit:,} more left out by --limit")
    if read.moved:
        click.echo(f"  {read.moved:,} moved from train to test: their opening turn is in test too")


_GROUNDS = {
    "given": "as given",
    "row": "as each row says",
    "label": "from its safe/unsafe label",
    "name": "derived from the file's name",
    "default": "by default: nothing names a kind",
}


def _show_file(report: FileReport) -> None:
    click.echo(f"\n{report.path}: {number_of(report.rows, 'row')}, {number_of(report.prompts, 'new prompt')}")
    for (kind, ground), rows in report.kinds.items():
        click.echo(f"  kind {kind} {_GROUNDS[ground]} ({number_of(rows, 'row')})")
    click.echo("  read from " + ", ".join(f"{name} ({rows:,})" for name, rows in report.columns.items()))
    if report.unread:
        click.echo(f"  columns not read: {', '.join(report.unread)}")
    for note, rows in report.notes.items():
        click.echo(f"  {rows:,} × {note} (first: {report.first[note]})")
    for reason, rows in report.skipped.items():
        click.echo(f"  {number_of(rows, 'row')} left out: {reason} (first: {report.first[reason]})")


def _one_line(text: str) -> str:
    """A text without line breaks or anything that a terminal would obey."""
    return " ".join("".join(one if one.isprintable() or one.isspace() else "" for one in text).split())


def _show_sample(read: PromptSet, count: int) -> None:
    for kind in dict.fromkeys(prompt.kind for prompt in read.prompts):
        for prompt in [prompt for prompt in read.prompts if prompt.kind == kind][:count]:
            text = _one_line(prompt.messages[-1].content)
            turns = f"turn {len(prompt.messages)}, " if len(prompt.messages) > 1 else ""
            click.echo(
                f"\n[{kind}, {turns}{prompt.split}, {prompt.source}] {text[:200]}{'…' if len(text) > 200 else ''}"
            )
