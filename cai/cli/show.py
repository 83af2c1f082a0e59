"""`cai show`: the rows of a stage as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from cai.cli.vote_lines import counted, share, vote_table

HUMAN = "human.rejected.jsonl"
"""As `cai.pipeline.label_work` writes it, which takes long to load."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("stage", required=False)
@click.option(
    "--id",
    "prefix",
    default="",
    metavar="PREFIX",
    help="Only rows whose prompt id, or pair id as in exports, begins so.",
)
@click.option("--rejected", is_flag=True, help="The rejected rows, with their reasons.")
@click.option("--kind", type=click.Choice(["red_team", "helpful", "lookalike"]), help="Only prompts of this kind.")
@click.option("-n", "number", type=click.IntRange(min=1), default=3, show_default=True, help="How many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as they lie in the file.")
def show(
    run: Path, stage: str | None, prefix: str, rejected: bool, kind: str | None, number: int, as_json: bool
) -> None:
    """Read rows of STAGE of RUN; "revise" means its last round. Without STAGE, list what there is.

    Of a vote: the log-probability that the judge gave each answer in each order ("ab": a stands first), what a has of
    the two together, and the mass, which is how much of its probability the judge gave the two at all. The mean of an
    order is of its votes as they are; the label that weighs and debiases them is in "preferences".

    With --rejected, STAGE "human" is the rows of the recipe's human files that were left out.

    \b
    Example:
      cai show outputs/demo revise --id 3f2a
      cai show outputs/demo preferences -n 10
      cai show outputs/demo revise --rejected
      cai show outputs/mine human --rejected
    """
    from cai.errors import RunError
    from cai.storage.run import read_rows

    files = _stage_files(run)
    if stage is None:
        click.echo("\n".join(files))
        return
    path = _find(run, stage, files, rejected)
    warn_if_stale(run, _step_of(path) if path.parent == run else path.parent.name)
    rows = (row for row in read_rows(path) if _wanted(row, prefix, kind)) if path.exists() else iter(())
    shown = list(islice(rows, number))
    if not shown:
        about = f" of kind {kind}" * bool(kind) + f" with an id that begins with {prefix!r}" * bool(prefix)
        if not rejected:
            raise RunError(f"{path}: no row{about or ' is there'}")
        click.echo(f"{path.name.partition('.')[0]}: nothing{about} was rejected", err=as_json)
    for row in shown:
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else _page(row))
    if rejected and _step_of(path) == "preferences" and path.name != HUMAN and (run / HUMAN).exists():
        click.echo(f"note: rows of the human files that were left out are in {run / HUMAN}: stage human", err=True)


def _step_of(path: Path) -> str:
    """The step that wrote a file of the run's folder."""
    return "preferences" if path.name == HUMAN else path.name.partition(".")[0]


def warn_if_stale(run: Path, step: str) -> None:
    """Say on standard error that a step's output is not what the run's recipe and files ask for now."""
    from cai.pipeline.status import stale_now
    from cai.storage.run import Run

    stale, _ = stale_now(Run.existing(run))
    if why := stale.get(step):
        click.echo(f"note: {step} is stale ({why}); see cai status {run}", err=True)


def _stage_files(run: Path) -> list[str]:
    from cai.storage.run import Run

    held = Run.existing(run)
    plan = held.manifest.get("plan", {})
    return [name for name in plan if name in held.steps and (run / f"{name}.jsonl").exists()]


def _find(run: Path, stage: str, files: list[str], rejected: bool) -> Path:
    from cai.errors import RunError, did_you_mean

    suffix = ".rejected.jsonl" if rejected else ".jsonl"
    if stage == "audit" and (run / "audit" / f"votes{suffix}").exists():
        return run / "audit" / f"votes{suffix}"
    if rejected and stage == "human" and "preferences" in files:
        return run / HUMAN
    candidates = [name for name in files if stage in (name, name.rpartition("-")[0])]
    if not candidates and not (run / f"{stage}{suffix}").exists():
        raise RunError(f"{run}: no stage '{stage}'{did_you_mean(stage, files)} (there: {', '.join(files)})")
    return run / f"{(candidates or [stage])[-1]}{suffix}"


def _prompt(row: dict[str, Any]) -> dict[str, Any]:
    inner = row.get("record", row)
    prompt: dict[str, Any] = inner.get("prompt", inner)
    return prompt


def _wanted(row: dict[str, Any], prefix: str, kind: str | None) -> bool:
    if "place" in row:
        cells = row.get("row")
        said = cells if isinstance(cells, dict) else {}
        return kind in (None, said.get("kind")) and str(said.get("id", "")).startswith(prefix)
    return kind in (None, _prompt(row)["kind"]) and any(one.startswith(prefix) for one in _ids(row))


def _ids(row: dict[str, Any]) -> list[str]:
    """Of the prompt, and of a pair the one that exports write."""
    from cai.records import content_id

    inner, found = row.get("record", row), [_prompt(row)["id"]]
    if "response_a" in inner:
        found.append(content_id(found[0], inner["response_a"], inner["response_b"]))
    return found


def _page(row: dict[str, Any]) -> str:
    if "place" in row:
        return _page_of_a_file(row)
    prompt = _prompt(row)
    lines = [click.style(f"── {prompt['id']}  {prompt['kind']}, {prompt['split']}, {prompt['source']}", bold=True)]
    if "reason" in row:
        lines.append(_part("rejected", row["reason"]))
    lines += [_part(message["role"], message["content"]) for message in prompt["messages"]]
    lines += _body(row.get("record", row))
    if "answers" in row:
        lines += [_part("raw answer", json.dumps(answer, ensure_ascii=False)) for answer in row["answers"]]
    return "\n".join([*lines, ""])


def _page_of_a_file(row: dict[str, Any]) -> str:
    """A row of a user's file that was left out, as it is there."""
    cells = row["row"] if "row" in row else row["row_text"]
    parts = cells.items() if isinstance(cells, dict) else [("row", cells)]
    lines = [click.style(f"── {_printable(row['place'])}", bold=True), _part("rejected", row["reason"])]
    lines += [
        _part(_printable(name), one if isinstance(one, str) else json.dumps(one, ensure_ascii=False))
        for name, one in parts
    ]
    return "\n".join([*lines, ""])


def _body(row: dict[str, Any]) -> Iterator[str]:
    if "response" in row:
        yield _part("answer", row["response"])
    for number, one in enumerate(row.get("rounds", ()), 1):
        yield _part(f"critique {number}", f"[{one['principle_id']}] {one['critique']}")
        if one["revision"] is not None:
            yield _part(f"revision {number}", one["revision"])
    ranked = row.get("scores")
    for number, text in enumerate(row.get("responses", ()), 1):
        yield _part(f"answer {number}", text)
        if ranked:
            yield _part(f"rank {row['ranks'][number - 1]}", f"{ranked[number - 1]:+.3f} nats")
    for side in ("response_a", "response_b"):
        if side in row:
            yield _part(side.replace("_", " "), row[side])
    for one in row.get("reasonings", ()):
        stated = f" → {one['stated']}" if one["stated"] else ""
        said = "(nothing that can be used)" if one["text"] is None else one["text"]
        yield _part(f"thought {one['order']}", f"[{one['principle_id']}] {said}{stated}")
    for one in row.get("grades", ()):
        yes, sampled = share(one["logprob_yes"], one["logprob_no"]), counted(one, "yes", "no")
        yield _part("p(yes)", f"[{one['principle_id']}] {yes:.4f}, mass {one['mass']:.3f}{sampled}")
    for vote in row.get("votes", ()):
        if vote["rationale"]:
            yield _part(f"thought {vote['order']}", vote["rationale"])
    if row.get("votes"):
        yield _part("votes", vote_table(row["votes"]))
    if "p_a" in row:
        yield _part("p(a better)", f"{row['p_a']:.4f}   weight {row['weight']:g}, {row['source']}")


def _part(name: str, text: str) -> str:
    body = _printable(text).replace("\n", "\n" + " " * 14)
    return f"{click.style(f'{name:>12}', dim=True)}  {body}"


def _printable(text: str) -> str:
    """Control characters written out, so that no text can drive the terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)
