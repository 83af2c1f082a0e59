"""`cai status`: what each step of a run did, and whether it is stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(run: Path, as_json: bool) -> None:
    """Each step of RUN: rows, rejects, calls made and saved, and why it is stale if it is.

    \b
    Example:
      cai status outputs/demo
    """
    from cai.pipeline.status import run_status

    rows = run_status(run)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from cai.cli.tables import count, table

    lines = [
        (
            row["step"], count(row["rows"]), count(row["rejected"]), count(row["calls_made"]),
            count(row["calls_saved"]), _state(row),
        )
        for row in rows
    ]  # fmt: skip
    click.echo(table(("step", "rows", "rejects", "calls", "saved", ""), lines))


def _state(row: dict[str, Any]) -> str:
    if not row["stale"]:
        return "up to date"
    if "kept" in row:
        return f"begun: {row['kept']:,} of about {max(row['kept'], row['expected']):,} answers kept"
    return row["why"] if row["rows"] is None else f"stale: {row['why']}"
