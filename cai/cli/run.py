"""`cai run`: a recipe from prompts to exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command(no_args_is_help=False)
@click.option(
    "--recipe", metavar="NAME|FILE", help="demo, sl-cai, rl-cai, or a file.  [default: rl-cai; demo without --model]"
)
@click.option("--constitution", metavar="NAME|FILE", help="A shipped constitution or a file.  [default: the recipe's]")
@click.option(
    "--prompts",
    multiple=True,
    metavar="FILE",
    help="Prompts, once for each file; FILE?kind=helpful says what they are.",
)
@click.option(
    "--model",
    metavar="ENGINE/NAME",
    help="The policy: hf/PATH, openai/NAME@URL, embedded.  [default: the recipe's]",
)
@click.option("--critic", metavar="ENGINE/NAME", help="The model that critiques.  [default: the policy]")
@click.option("--judge", metavar="ENGINE/NAME", help="The model that labels.  [default: the policy]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run's folder.  [default: outputs/<name of the recipe>]"
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="The first N prompts of each kind.  [default: all]"
)
@click.option("--until", metavar="STAGE", help="Stop after this stage.  [default: the last]")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of every draw.  [default: the recipe's]")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting over the recipe, such as reward.lr=1e-5; repeatable.",
)
@click.option(
    "--accept-audit", is_flag=True, help="Train on the labels of a judge that failed its audit; it is written down."
)
@click.option("--quiet", is_flag=True, help="No progress, no table.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(
    recipe: str | None, prompts: tuple[str, ...], out: Path | None, sets: tuple[str, ...], quiet: bool, as_json: bool,
    accept_audit: bool, **options: Any,
) -> None:  # fmt: skip
    """Run a recipe: every step that is not up to date, in order.

    Run it again after any edit: only what the edit touches is computed, and no answer is paid for twice. Stop it at any
    moment; the same command goes on.

    \b
    Example:
      cai run
      cai run --constitution my.yaml --prompts red_team.jsonl --prompts helpful.jsonl?kind=helpful \\
              --model hf/./my-model --out outputs/mine
      cai run --model openai/NAME@http://localhost:8000/v1 --set train=[] --set sample.policy=base \\
              --prompts red_team.jsonl --out outputs/data-only
      cai run --recipe sl-cai --model hf/./my-model --prompts red_team.jsonl --limit 20 --until revise
    """
    from cai.cli.progress import Bars, summary_table
    from cai.pipeline.run_recipe import run_recipe
    from cai.recipe_files import load_recipe, parse_set

    overrides: dict[str, Any] = dict(parse_set(text) for text in sets)
    overrides |= {key: value for key, value in options.items() if value is not None}
    if prompts:
        overrides["prompts"] = list(prompts)
    name = recipe if recipe is not None else "rl-cai" if options["model"] else "demo"
    made = load_recipe(name, overrides)
    folder = out or Path("outputs") / made.name
    head = f"recipe {name}, model {made.model}, constitution {made.constitution}, into {folder}/"
    command = {"recipe": name, "overrides": overrides}
    with Bars(head, quiet=quiet or as_json) as bars:
        summary = run_recipe(made, folder, until=made.until, command=command, reporter=bars, accept_audit=accept_audit)
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    elif not quiet:
        click.echo(summary_table(summary))
