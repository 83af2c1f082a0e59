"""`cai run`: a recipe from prompts to exports."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cai.cli.recipe_options import named_recipe, named_spending, price_options, recipe_options

if TYPE_CHECKING:
    from cai.recipe import Recipe


@click.command(no_args_is_help=False)
@recipe_options
@price_options
@click.option("--quiet", is_flag=True, help="No progress, no table.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(accept_audit: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Run a recipe: every step that is not up to date, in order.

    Run it again after any edit: only what the edit touches is computed, and no answer is paid for twice. Stop it at any
    moment; the same command goes on. `cai plan` with the same options tells beforehand what it will ask and cost;
    --budget stops it before it costs more. Exit status 1 where the audit of the judge is not passed and something is to
    be trained on its labels, or --until audit was asked for.

    \b
    Example:
      cai run
      cai run --constitution my.yaml --prompts red_team.jsonl --prompts helpful.jsonl?kind=helpful \\
              --model hf/./my-model --out outputs/mine
      cai run --model openai/NAME@http://localhost:8000/v1 --set train=[] --set sample.policy=base \\
              --prompts red_team.jsonl --out outputs/data-only
      cai run --recipe sl-cai --model hf/./my-model --prompts red_team.jsonl --limit 20 --until revise
    """
    from cai.audit import objections
    from cai.cli.progress import Bars, summary_table
    from cai.pipeline.audit_work import refusal
    from cai.pipeline.run_recipe import run_recipe

    made, folder, command = named_recipe(options)
    command |= {"accept_audit": True} if accept_audit else {}
    spending = named_spending(options)
    head = f"recipe {command['recipe']}, model {made.model}, constitution {made.constitution}, {_prompts(made, folder)}"
    head += f", into {folder}/"
    with Bars(head, quiet=quiet or as_json) as bars:
        summary = run_recipe(
            made, folder, until=made.until, command=command, reporter=bars, accept_audit=accept_audit, spending=spending
        )
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    elif not quiet:
        click.echo(summary_table(summary))
    held_to = summary["audit"] if made.until == "audit" and not accept_audit else None
    if held_to and objections(held_to["gates"]):
        raise refusal(made, folder, held_to["gates"])


def _prompts(made: Recipe, folder: Path) -> str:
    """The prompt files, and which others the run had before: one that forgot to name them again sees it here."""
    from cai.errors import CAIError
    from cai.recipe_files import load_recipe

    before = folder / "recipe.yaml"
    try:
        had = load_recipe(str(before)).prompts if before.is_file() else made.prompts
    except CAIError:  # which is for the run itself to tell, or to mend
        had = made.prompts
    same = [*map(os.path.abspath, had)] == [*map(os.path.abspath, made.prompts)]
    return f"prompts {_some(made.prompts)}" + ("" if same else f" (this run had {_some(had)})")


def _some(names: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
