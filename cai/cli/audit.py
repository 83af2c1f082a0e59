"""`cai audit`: is the judge of a run fit to label?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cai.storage.run import Run

NONE = "none"
"""In place of a file or run: what the recipe has is taken out. A file of that name is ./none."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--truth", multiple=True, metavar="FILE",
    help="Pairs that people ranked, to hold the run's labels against; repeatable. Kept in the run's recipe, in place "
    "of what is there, for later audits too; --truth none takes all out again.  [default: the recipe's]",
)  # fmt: skip
@click.option(
    "--against", metavar="RUN", default=None,
    help="A run of another model on the same prompts, to see whether the judge prefers its own. Kept as --truth is; "
    "--against none takes it out again.  [default: the recipe's]",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
def audit(
    ctx: click.Context, run: Path, truth: tuple[str, ...], against: str | None, quiet: bool, as_json: bool
) -> None:
    """Audit the judge of RUN: its votes, pairs of which the better answer is known, attacks, and the gates.

    What the judge was asked before is not asked again, and votes that are not those of the run's files as they are now
    (an edited constitution) are not audited: `cai run` makes them. Exit status 1 where a gate fails, or too little
    could be measured or has a bound; `cai run` then does not train on the labels. Bounds are the recipe's: set them
    where the run is made, `cai run ... --set audit.attacks=0.9`.

    \b
    Example:
      cai audit outputs/demo
      cai audit outputs/mine --truth human_pairs.jsonl
      cai audit outputs/mine --truth none
      cai audit outputs/mine --against outputs/other-model
    """
    from cai.audit import objections
    from cai.cli.audit_lines import audit_lines
    from cai.cli.progress import Bars
    from cai.errors import RunError
    from cai.pipeline.run_recipe import run_recipe
    from cai.recipe_files import load_recipe
    from cai.storage.run import Run

    found = Run.existing(run)
    if "label" not in found.steps:
        raise RunError(f"{run}: has no labels yet; cai run makes them (cai status {run} tells how far it is)")
    _check_votes(found)
    overrides = _overrides(truth, against)
    recipe = load_recipe(str(found.path("recipe.yaml")), overrides)
    if not recipe.audit.items:
        raise RunError(
            f"{run}: its recipe says audit.items: 0; `cai run ... --set audit.items=24` has 24 pairs of each kind asked"
        )
    command = found.manifest["command"]
    command = {**command, "overrides": {**command.get("overrides", {}), **overrides}}
    with Bars(f"audit of {run}/", quiet=quiet or as_json) as bars:
        run_recipe(recipe, run, until="audit", command=command, reporter=bars)
    figures = json.loads(found.path("metrics/audit.json").read_text(encoding="utf-8"))
    click.echo(json.dumps(figures, indent=2, ensure_ascii=False) if as_json else "\n".join(audit_lines(figures)))
    ctx.exit(1 if objections(figures["gates"]) else 0)


def _overrides(truth: tuple[str, ...], against: str | None) -> dict[str, Any]:
    """What the options put into the recipe; `NONE` takes out what is there."""
    from cai.errors import ConfigError

    if NONE in truth and set(truth) != {NONE}:
        raise ConfigError(f"--truth {NONE} takes all files out: give it alone; a file of that name is ./{NONE}")
    overrides: dict[str, Any] = {"audit.truth": [] if NONE in truth else list(truth)} if truth else {}
    return overrides | ({"audit.against": None if against == NONE else against} if against is not None else {})


def _check_votes(run: Run) -> None:
    """Raise `RunError` where what was done of the run before its audit would be done again, and so asked anew."""
    from cai.errors import RunError
    from cai.pipeline.rebuilding import own_command
    from cai.pipeline.status import stale_now

    for step, why in stale_now(run)[0].items():
        if step == "audit":
            return
        if step in run.steps:
            command = own_command(run)
            todo = f"`{command}` makes them" if command else "running its recipe into it again makes them"
            raise RunError(
                f"{run.folder}: step '{step}' is stale ({why}), so its votes are not those to audit; {todo}, and "
                f"`cai audit {run.folder}` then audits them"
            )
