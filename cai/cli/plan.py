"""`cai plan`: what `cai run` with the same options would ask, how long it would take, and what it would cost."""

from __future__ import annotations

import json
from typing import Any

import click

from cai.cli.recipe_options import named_recipe, named_spending, price_options, recipe_options


@click.command()
@recipe_options
@click.option(
    "--probe", type=click.IntRange(min=0), metavar="N",
    help="Prompts that are really asked, at most and in all (of each kind its share, 4 or more where N allows), to "
    "measure the engine. 0 asks nothing.  [default: a tenth of the prompts, at least 4 of each kind, at most 96]",
)  # fmt: skip
@click.option(
    "--train-probe/--no-train-probe", default=True, show_default=True,
    help="Time a few training steps in a temporary folder; nothing of them is kept.",
)  # fmt: skip
@price_options
@click.option("--quiet", is_flag=True, help="Only the table.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(probe: int | None, train_probe: bool, accept_audit: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """The price of a run before it is made: calls, tokens, time and money, step by step.

    Takes the options of `cai run`. Steps that are up to date cost nothing, and neither do answers that any run of the
    same outputs folder was given before, so after an edit only what the edit touches is counted. Trains no model and
    writes nothing into the run's folder. --budget bounds what the probe may spend, and the plan says whether the run
    keeps to it, may stop before its end, or stops.

    The probe is paid before the price is known: by default about a tenth of what the run costs, or less. The run finds
    its answers and does not pay for them again, but for those in place of a policy still to be trained; neither does a
    second plan, which tells by the answers and times that are there. --probe 0 asks nothing, and then tells only what
    earlier answers tell.

    Calls are exact where they are determined. Where they hang on texts that are not there yet (an answer that is
    rejected, two answers that are the same), the number is an estimate from the probe, with the range behind it.
    Time is measured by the probe, or was by an earlier plan's; what neither could ask is told by the speed that the
    run's manifest has of the same model, and the plan says which.

    \b
    Example:
      cai plan
      cai plan --model openai/NAME@https://host/v1 --prompts red_team.jsonl --set train=[] --set sample.policy=base \\
               --price-prompt 0.15 --price-completion 0.60
      cai plan --constitution edited.yaml --prompts red_team.jsonl --out outputs/mine --probe 0
    """
    from cai.cli.plan_table import plan_table
    from cai.cli.progress import Bars
    from cai.pipeline.make_plan import make_plan
    from cai.pipeline.plan_budget import kept_to

    made, folder, _ = named_recipe(options)
    spending = named_spending(options)
    silent = quiet or as_json
    with Bars(quiet=True) as bars:
        found = make_plan(
            made, folder, probe=probe, train_probe=train_probe, spending=spending,
            accept_audit=accept_audit, reporter=bars,
            note=(lambda text: None) if silent else (lambda text: click.echo(text, err=True)),
        )  # fmt: skip
    found["budget"] = kept_to(found["spans"], spending.budget)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else plan_table(found))
