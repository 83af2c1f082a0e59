"""`cai embedded`: rebuild the model that ships with the package, measure it, write its world's prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from cai.cli.out_path import OutPath
from cai.records import Json


@click.group()
def embedded() -> None:
    """The small model that ships with the package: rebuild it, measure it, write its prompts.

    \b
    Example:
      cai embedded evaluate
    """


@embedded.command("train")
@click.option("--out", type=OutPath(), default=Path("outputs/embedded"), show_default=True,
              help="Where checkpoints and the model go.")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Fixes the text, its order and the first weights.",
)
@click.option("--steps", type=click.IntRange(min=1), default=None, show_default="the recipe's",
              help="Steps of training; fewer make a poorer model.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda where there is one.")
@click.option("--quiet", is_flag=True, help="Print nothing while training.")
def train_command(out: Path, seed: int, steps: int | None, device: str, quiet: bool) -> None:
    """Rebuild the model from nothing: text, tokenizer, weights. The same command goes on after an interruption.

    \b
    Example:
      cai embedded train
      cai embedded train --out outputs/small --steps 200
    """
    from cai.cli.progress import Bars
    from cai.embedded.train import TrainSettings, train

    settings = TrainSettings(seed=seed) if steps is None else TrainSettings(seed=seed, steps=steps)
    with Bars(quiet=quiet) as bars:
        bars.start("embedded", "")
        train(out, settings, lambda row: bars.progress(int(row["step"]) + 1, settings.steps, row["text_loss"]), device)
    if not quiet:
        click.echo(f"The model is in {out / 'model'}. Measure it: cai embedded evaluate --model {out / 'model'}")


@embedded.command("evaluate")
@click.option("--model", type=click.Path(path_type=Path), default=None, show_default="the shipped one",
              help="A folder that `cai embedded train` wrote.")  # fmt: skip
@click.option("--count", type=click.IntRange(min=10), default=300, show_default=True, help="Cases for each skill.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Which cases are drawn.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda where there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print {key: {value, low, high, n}}.")
def evaluate_command(model: Path | None, count: int, seed: int, device: str, as_json: bool) -> None:
    """Measure the model on combinations, ways of asking and wordings that it was not trained on.

    \b
    Example:
      cai embedded evaluate
      cai embedded evaluate --model outputs/embedded/model --count 100 --json
    """
    from cai.cli.progress import Bars
    from cai.embedded import weights_path
    from cai.embedded.evaluate import evaluate, table
    from cai.errors import InputError

    folder = model or weights_path()
    if not (folder / "model.safetensors").exists():
        raise InputError("no model here; `cai embedded train` writes one", folder)
    with Bars(f"{count} cases for each skill; 300 take two minutes on two cores") as bars:

        def progress(done: int, total: int, part: str) -> None:
            if not done:
                bars.start("evaluate", "")
            bars.progress(done, total, part)

        figures = evaluate(folder, count, seed, device=device, progress=progress)
    click.echo(json.dumps(figures, indent=2, allow_nan=False) if as_json else table(figures))


@embedded.command("prompts")
@click.option("--out", type=OutPath(files="*"), default=None, show_default="standard output",
              help="A JSONL file to write.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="0 is the shipped draw; another one draws other prompts of the same world.")  # fmt: skip
def prompts_command(out: Path | None, seed: int) -> None:
    """Write the world's prompts as JSONL: prompt or messages, kind, split.

    \b
    Example:
      cai embedded prompts | head -3
      cai embedded prompts --seed 1 --out fresh.jsonl
    """
    from cai.embedded.prompts import shipped_prompts, to_line, write_prompts

    if out is None:
        for prompt in shipped_prompts(seed):
            click.echo(to_line(prompt), nl=False)
        return
    click.echo(f"{write_prompts(out, seed)} prompts written to {out}", err=True)


@embedded.command("preferences")
@click.option("--out", type=OutPath(files="*"), default=None, show_default="standard output",
              help="A JSONL file to write.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="0 is the shipped draw; another one draws other pairs of the same world.")  # fmt: skip
def preferences_command(out: Path | None, seed: int) -> None:
    """Write ranked answers to the world's harmless prompts as JSONL: prompt, chosen, rejected, kind, split.

    By the world's rules, which stand for people: `preferences.human=["embedded"]` mixes the shipped ones in.

    \b
    Example:
      cai embedded preferences | head -3
      cai embedded preferences --seed 1 --out ranked.jsonl
    """
    from cai.embedded.people import shipped_pairs, to_line, write_pairs

    if out is None:
        for pair in shipped_pairs(seed):
            click.echo(to_line(pair), nl=False)
        return
    click.echo(f"{write_pairs(out, seed)} pairs written to {out}", err=True)


@embedded.command("outcome")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True,
              help="Which prompts; test ones are combinations that the model was not trained on.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print {stage: {class: {value, low, high, n}}}.")
def outcome_command(run: Path, split: Literal["train", "test"], as_json: bool) -> None:
    """How harmful the answers of RUN are before, between and after the revisions, by the rules of the embedded world.

    \b
    Example:
      cai embedded outcome outputs/demo
    """
    from cai.cli.show import warn_if_stale
    from cai.embedded.outcome import outcome, outcome_table
    from cai.errors import RunError

    warn_if_stale(run, "sample")
    figures = outcome(run, split)
    if not figures:
        raise RunError(f"{run}: holds no answer to a {split} red-team prompt of the embedded world")
    click.echo(json.dumps(figures, indent=2, allow_nan=False) if as_json else outcome_table(figures))


@embedded.command("compare")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--control", type=click.Path(path_type=Path),
              help="Lay them beside the policy of this run, not the model that each was made from.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print [{run, policy, rates, changes}, …] with intervals.")
def compare_command(runs: tuple[Path, ...], control: Path | None, as_json: bool) -> None:
    """What the policies of RUNS do to held-out prompts of the embedded world, and what each changed.

    A change is the policy's rate less that of the model that it was made from, on the same prompts, in points. Its
    interval lets answers about one fact, or about one action and purpose, go together. A control tells what the
    principles changed from what fine-tuning changes by itself: a run that learned its own first answers
    (`cai run --set sft.rounds=first`).

    \b
    Example:
      cai embedded compare outputs/demo outputs/only-honesty outputs/only-brevity
      cai embedded compare outputs/demo outputs/only-honesty --control outputs/control
    """
    from cai.pipeline.measure import compare

    rows = compare(runs, control)
    if as_json:
        click.echo(json.dumps(rows, indent=2, allow_nan=False))
        return
    before = "base" if control is None else "control"
    for name in rows[0]["rates"]:
        click.echo(f"{name.replace('_', ' '):<34}{'rate':>7}  change since {before}, in points (95 %)")
        for row in rows:
            change = _change(row["changes"][name]) if row["changes"] else ""
            click.echo(f"  {row['policy']:<6}{row['run']:<26}{_share(row['rates'][name]):>7}  {change}".rstrip())


def _share(rate: Json) -> str:
    return f"{rate['value']:.1%}" if rate["n"] else "-"


def _change(change: Json) -> str:
    if change["low"] is None:
        return "-"
    value, low, high = (100 * change[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
