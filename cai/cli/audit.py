"""`cai audit`: is the judge of a run fit to label?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cai.records import Json


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--truth", multiple=True, metavar="FILE",
    help="Pairs that people ranked, to hold the run's labels against; repeatable.  [default: the recipe's]",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
def audit(ctx: click.Context, run: Path, truth: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Audit the judge of RUN: its votes, pairs of which the better answer is known, attacks, and the gates.

    What the judge was asked before is not asked again. Exit status 1 where a gate fails; `cai run` then does not train
    on the labels. Bounds are set in the recipe, such as --set audit.attacks=0.9.

    \b
    Example:
      cai audit outputs/demo
      cai audit outputs/mine --truth human_pairs.jsonl
    """
    from cai.cli.progress import Bars
    from cai.errors import RunError
    from cai.pipeline.run_recipe import run_recipe
    from cai.recipe_files import load_recipe
    from cai.storage.run import Run

    found = Run.existing(run)
    if "preferences" not in found.steps:
        raise RunError(f"{run}: has no labels yet; cai run makes them (cai status {run} tells how far it is)")
    overrides: dict[str, Any] = {"audit.truth": list(truth)} if truth else {}
    recipe = load_recipe(str(found.path("recipe.yaml")), overrides)
    if not recipe.audit.items:
        raise RunError(f"{run}: its recipe says audit.items: 0; set it to the pairs of each kind that are to be asked")
    command = found.manifest["command"]
    command = {**command, "overrides": {**command.get("overrides", {}), **overrides}}
    with Bars(f"audit of {run}/", quiet=quiet or as_json) as bars:
        run_recipe(recipe, run, until="audit", command=command, reporter=bars)
    figures = json.loads(found.path("metrics/audit.json").read_text(encoding="utf-8"))
    click.echo(json.dumps(figures, indent=2, ensure_ascii=False) if as_json else "\n".join(audit_lines(figures)))
    ctx.exit(1 if figures["failed"] else 0)


def audit_lines(figures: Json) -> list[str]:
    """The audit as a person reads it."""
    votes, truth = figures["votes"], figures["truth"]
    lines = [
        f"judge             {figures['judge']}",
        f"pairs             {votes['pairs']:,}, {votes['ties']:,} ties, abstained {_kinds(votes['abstained'])}",
        f"flips             {_share(votes['flip_rate'])} of verdicts turn with the order, "
        f"{_share(votes['clear_flip_rate'])} of the clear ones",
        f"first place       P = {_number(votes['p_first'])} for what stands first",
        f"length            rank correlation with the label {_estimate(votes['length_correlation'])}",
        f"principles        mean κ {_number(votes['agreement']['mean_kappa'])} "
        f"over {len(votes['agreement']['pairs'])} pairs of principles",
    ]
    if truth:
        first, longer = (_share(truth[one]["value"]) for one in ("always_a", "always_longer"))
        agrees = f"agrees on {_estimate(truth['accuracy'])} of {truth['accuracy']['n']:,}"
        lines.append(f"truth             {truth['source']}: {agrees}")
        lines.append(f"                  beside always-A {first}, always-longer {longer}")
        lines.append(f"calibration       ECE {truth['ece']:.3f}, Brier {truth['brier']:.3f}")
    lines += ["", f"{'planted':<12}{'n':>5}  {'right (95 %)':<26}{'mean p':>7}  held under attack (95 %)"]
    for kind, one in figures["planted"].items():
        if kind == "items":
            continue
        held = _estimate(one["held"]) if "held" in one else ""
        right = _estimate(one["right"])
        lines.append(f"{kind:<12}{one['right']['n']:>5}  {right:<26}{_number(one['mean_p']):>7}  {held}".rstrip())
    return [*lines, "", *map(_gate, figures["gates"])]


def _gate(gate: Json) -> str:
    said = {True: "passed", False: "FAILED", None: "not measured"}[gate["passed"]]
    found = "-" if gate["value"] is None else f"{gate['value']:.3f}"
    return f"{said:<13}{gate['gate']:<16}{found:>6}  {gate['sense']} {gate['bound']:g}: {gate['what']}"


def _kinds(counts: Json) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in counts.items()) or "0"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _estimate(one: Json) -> str:
    if one["value"] is None:
        return "-"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
