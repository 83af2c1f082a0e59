"""The options by which `cai run` and `cai plan` name a recipe: declared once, read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cai.cli.out_path import OutPath

if TYPE_CHECKING:
    from cai.pipeline.spending import Spending
    from cai.recipe import Recipe

_Command = TypeVar("_Command", bound=Callable[..., Any])
_RECIPE = (
    click.option(
        "--recipe",
        metavar="NAME|FILE",
        help="demo, sl-cai, rl-cai, or a file.  [default: rl-cai; demo without --model]",
    ),
    click.option(
        "--constitution", metavar="NAME|FILE", help="A shipped constitution or a file.  [default: the recipe's]"
    ),
    click.option(
        "--prompts",
        multiple=True,
        metavar="FILE",
        help="Prompts, once for each file; FILE?kind=helpful says what they are.",
    ),
    click.option(
        "--model",
        metavar="ENGINE/NAME",
        help="The policy: hf/PATH, openai/NAME@URL, embedded.  [default: the recipe's]",
    ),
    click.option("--critic", metavar="ENGINE/NAME", help="The model that critiques.  [default: the policy]"),
    click.option("--judge", metavar="ENGINE/NAME", help="The model that labels.  [default: the policy]"),
    click.option("--out", type=OutPath(), help="The run's folder.  [default: outputs/<name of the recipe>]"),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="The first N prompts of each kind.  [default: all]"
    ),
    click.option("--until", metavar="STAGE", help="Stop after this stage.  [default: the last]"),
    click.option(
        "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of every draw.  [default: the recipe's]"
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="One setting over the recipe, such as reward.lr=1e-5; repeatable.",
    ),
)
_BOUNDS = (
    click.option(
        "--accept-audit",
        is_flag=True,
        help="Train on the labels of a judge that did not pass an audit, or has none; it is written down.",
    ),
    click.option(
        "--budget",
        multiple=True,
        metavar="AMOUNT",
        help="The most that this command may spend: 5.50 (money; every endpoint needs both prices), 2000calls or "
        "3Mtokens; repeatable.",
    ),
)
_PRICES = (
    click.option(
        "--price-prompt",
        multiple=True,
        metavar="[ROLE=]MONEY",
        help="For a million prompt tokens: of every endpoint, or of the model, critic or judge that is a model of its "
        "own; 0 where they are free; repeatable.",
    ),
    click.option(
        "--price-completion",
        multiple=True,
        metavar="[ROLE=]MONEY",
        help="For a million completion tokens, likewise; repeatable.",
    ),
)


def recipe_options(command: _Command) -> _Command:
    """Everything that says what is to be run, and where."""
    return _with(_RECIPE + _BOUNDS, command)


def price_options(command: _Command) -> _Command:
    """What an endpoint charges."""
    return _with(_PRICES, command)


def _with(options: tuple[Callable[[Any], Any], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def named_recipe(options: Mapping[str, Any]) -> tuple[Recipe, Path, dict[str, Any]]:
    """The recipe that `recipe_options` name, its run's folder, and what the manifest keeps of the command."""
    from cai.recipe_files import load_recipe, parse_sets

    overrides = parse_sets(options["sets"])
    plain = ("constitution", "model", "critic", "judge", "limit", "until", "seed")
    overrides |= {key: options[key] for key in plain if options[key] is not None}
    if options["prompts"]:
        overrides["prompts"] = list(options["prompts"])
    name = options["recipe"] or ("rl-cai" if options["model"] else "demo")
    made = load_recipe(name, overrides)
    command: dict[str, Any] = {"recipe": name, "overrides": overrides}
    command |= {"out": str(options["out"])} if options["out"] is not None else {}
    return made, options["out"] or Path("outputs") / made.name, command


def named_spending(options: Mapping[str, Any]) -> Spending:
    """What --budget and `price_options` say."""
    from cai.pipeline.prices import parse_prices
    from cai.pipeline.spending import Spending, parse_budget

    prices = parse_prices(options["price_prompt"], options["price_completion"])
    return Spending(parse_budget(options["budget"]), prices)
