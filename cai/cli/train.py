"""`cai train`: one model at a time, on files of your own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cai.cli.out_path import OutPath
from cai.cli.pair_files import check_some_train, model_folder, read_pairs
from cai.cli.reward_lines import held_out_lines
from cai.cli.split_option import test_share_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cai.recipe import RewardSettings
    from cai.records import Json, Messages, Preference

_model = click.option("--model", required=True, metavar="hf/PATH", help="A folder with a language model, or embedded.")
_out = click.option("--out", required=True, type=OutPath(), help="The folder of the trained model.")
_sets = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, such as lr=1e-4 or lora.r=8; repeatable."
)
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every draw.")
_quiet = click.option("--quiet", is_flag=True, help="No progress, no figures.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")


def _the_only(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> str:
    """The file of an option that may be given once: of two, click would take the last in silence."""
    if len(files) > 1:
        raise click.BadParameter(f"given {len(files)} times; one file is read, so put {' and '.join(files)} into one")
    return files[0]


_preferences = click.option(
    "--preferences", "file", required=True, metavar="FILE", multiple=True, callback=_the_only,
    help="Pairs: HH transcripts, rows of TRL, AlpacaEval or UltraFeedback, of {prompt, response_a, response_b, p_a}, "
    "or a run's preferences.jsonl.",
)  # fmt: skip


@click.group()
def train() -> None:
    """Train one model on files of your own. A killed training goes on with the same command.

    \b
    Example:
      cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
      cai train sft --data dialogues.jsonl --model hf/./my-model --out models/sft
    """


@train.command("reward")
@_preferences
@_model
@_out
@test_share_option
@_sets
@_seed
@click.option(
    "--accept-audit",
    is_flag=True,
    help="Train on the labels of a run whose judge did not pass an audit that is of them; it is written down.",
)
@_quiet
@_json
def train_reward_command(
    file: str, model: str, out: Path, test_share: float, sets: tuple[str, ...], seed: int, accept_audit: bool,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a reward model on the pairs of FILE, and measure it on the prompts held out.

    Labels of a run whose judge failed its audit are refused, and so are those of which an audit measured too little to
    tell, and those that none is of: none was made, or the votes, the judge or the settings are others since
    (RUN/metrics/audit.json). What --accept-audit accepts is written into RUN's manifest and into training.json of the
    model. Labels that say they are an AI judge's and lie in no run are trained on, and it is said and written down that
    no audit of them is known.

    Settings are those of the recipe's `reward` block. A dialogue over max_length tokens loses the left of its prompt,
    or is left out (too_long=reject), as is one that would lose all of its last question. Training fails if over
    max_rejected of the rows are left out, or over max_truncated of the others cut (0.5 each). The pairs held out are
    read alike.

    On several processors, start it with `accelerate launch`; with `--use_fsdp --fsdp_version 2` in place of
    `--multi_gpu` the weights are spread over them.

    \b
    Example:
      cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
      cai train reward --preferences pairs.jsonl --model embedded --out rm --set lr=1e-4 --set epochs=2
      accelerate launch --multi_gpu --num_processes 2 --no_python \\
        cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
    """
    settings, weights = _settings("reward", sets), _weights(model)
    audited = _audited(file, accept_audit, out)
    preferences = read_pairs(file, test_share, told=_leads())
    check_some_train(file, preferences)
    audited = audited or _unknown(file, preferences)
    _tell_kept(out)
    with _reporter(quiet or as_json or not _leads(), "reward") as report:
        from cai.training.reward import train_reward

        learnt = [one for one in preferences if one.prompt.split == "train"]
        training = train_reward(weights, learnt, out, settings, seed, checkpoints=_checkpoints(out), progress=report)
        if not _leads():
            return
        if quiet:
            _tell_lost(training["notes"])
        figures = _measured(out, [one for one in preferences if one.prompt.split == "test"], settings)
    said = {"audit": audited} if audited else {}
    if said:
        from cai.training.folder import note

        note(out, said)
    _show({"training": training, "held_out": figures, **said}, quiet, as_json, out)


@train.command("sft")
@click.option(
    "--data", "file", required=True, metavar="FILE", multiple=True, callback=_the_only,
    help="JSONL or Parquet with a `messages` column.",
)  # fmt: skip
@_model
@_out
@_sets
@_seed
@_quiet
@_json
def train_sft_command(
    file: str, model: str, out: Path, sets: tuple[str, ...], seed: int, quiet: bool, as_json: bool
) -> None:
    """Fine-tune a model on the last assistant turn of every dialogue of FILE.

    Settings are those of the recipe's `sft` block.

    \b
    Example:
      cai train sft --data outputs/mine/datasets/sft/train.jsonl --model hf/./my-model --out models/sft
    """
    settings, weights = _settings("sft", sets), _weights(model)
    dialogues = _read_dialogues(file)
    _tell_kept(out)
    with _reporter(quiet or as_json, "sft") as report:
        from cai.training.sft import train_sft

        training = train_sft(weights, dialogues, out, settings, seed, checkpoints=_checkpoints(out), progress=report)
    _show({"training": training}, quiet, as_json, out)


# ------------------------------------------------------------------------------------------------ reading


def _settings(block: str, sets: tuple[str, ...]) -> Any:
    """One block of the recipe with ``--set`` over it; the block's name may stand before a key."""
    from cai.recipe_files import load_recipe, parse_sets

    return getattr(load_recipe(None, parse_sets(sets, block)), block)


def _audited(file: str, accepted: bool, out: Path) -> str:
    """What the audit says of the labels in the file; of what was accepted, their run's manifest is told first."""
    from cai.pipeline.audit_standing import audit_of, note_accepted
    from cai.prompts.spec import parse_spec

    path = parse_spec(file).path
    said = audit_of(path, accepted)
    if _leads():
        note_accepted(path, out, said)
    return said


def _unknown(file: str, preferences: list[Preference]) -> str:
    """What is said of labels without a run: said on standard error too where an AI judge gave any; else nothing."""
    from cai.pipeline.audit_standing import UNKNOWN

    judged = sum(one.source == "ai" for one in preferences)
    if not judged:
        return ""
    if _leads():
        click.echo(f"{file}: {UNKNOWN}: an AI judge gave {judged:,}, and the file lies in no run", err=True)
    return UNKNOWN


def _read_dialogues(file: str) -> list[Messages]:
    from cai.prompts.files import read_rows
    from cai.prompts.shapes import find_column, read_cell
    from cai.prompts.spec import parse_spec

    dialogues = []
    for row in read_rows(parse_spec(file)):
        if not isinstance(row.value, dict):
            raise row.error("expected an object with the column 'messages'")
        column = find_column(row, row.value, ("messages", "conversations", "conversation"))
        messages = tuple(read_cell(row, row.value[column], column).messages)
        if not messages or messages[-1].role != "assistant":
            raise row.error("a dialogue to learn from must end with an assistant turn")
        dialogues.append(messages)
    return dialogues


def _weights(model: str) -> Path:
    from cai.embedded import model_spec
    from cai.errors import ConfigError

    engine, _, folder = model_spec(model).partition("/")
    if engine != "hf" and Path(model).is_dir():
        raise ConfigError(f"no engine is named '{engine}'; for the model in that folder: hf/{model}")
    if engine != "hf":
        raise ConfigError(f"{model}: only weights on this machine can be trained; name them hf/PATH, or embedded")
    return model_folder(folder)


def _leads() -> bool:
    """Whether this is the only process, or the first of those that were launched together."""
    return os.environ.get("RANK", "0") == "0"


def _tell_kept(out: Path) -> None:
    """A line on standard error where another training's model may lie."""
    if _leads() and (out / "training.json").is_file():
        click.echo(
            f"{out}/ holds a trained model; if it is of other data or settings, the new one replaces it", err=True
        )


def _tell_lost(notes: Sequence[str]) -> None:
    """Of the notes on a training, on standard error, those on rows that were left out or cut, being too long."""
    for line in notes:
        if "left out: too long for" in line or "lost the left of the prompt" in line:
            click.echo(line, err=True)


def _checkpoints(out: Path) -> Path:
    out = out.resolve()
    return out.parent / f".{out.name}.checkpoints"


# ------------------------------------------------------------------------------------------------ figures


def _measured(model: Path, preferences: list[Preference], settings: RewardSettings) -> Json | None:
    if not preferences:
        return None
    from cai.models.reward import RewardScorer
    from cai.pipeline.measure_reward import measured_pairs

    scorer = RewardScorer(model, max_length=settings.max_length, too_long=settings.too_long)
    return measured_pairs(scorer, preferences)


def _reporter(quiet: bool, name: str) -> Any:
    from contextlib import contextmanager

    from cai.cli.progress import Bars

    @contextmanager
    def reporter() -> Any:
        with Bars(quiet=quiet) as bars:
            bars.start(name, "")
            yield bars.progress

    return reporter()


def _show(result: Json, quiet: bool, as_json: bool, out: Path | None = None) -> None:
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False))
    elif not quiet:
        held_out = held_out_lines(result.get("held_out"))
        if "held_out" in result and not held_out:
            held_out = ["held-out pairs 0, so nothing was measured: cai evaluate reward, on other pairs"]
        for line in [*_training_lines(result.get("training")), *held_out]:
            click.echo(line)
        if "audit" in result:
            click.echo(f"audit          {result['audit']}")
        if out is not None:
            click.echo(f"saved          {out}/")


def _training_lines(training: Json | None) -> list[str]:
    if not training:
        return []
    rows = ", ".join(
        f"{training[key]:,} {'to learn from' if key == 'rows_given' else key.removeprefix('rows_').replace('_', ' ')}"
        for key in training
        if key.startswith("rows_") and (training[key] or key in ("rows_given", "rows_used"))
    )
    loss = f"{training['loss_first']:.4f} over the first tenth, {training['loss']:.4f} over the last"
    notes = [f"note           {note}" for note in training.get("notes", ())]
    layout = []
    if "layout" in training:
        layout = [f"layout         {training['layout']}, {training['tokens']:,} tokens an epoch"]
    return [
        f"rows           {rows}",
        *layout,
        f"steps          {training['steps']:,}",
        f"loss           {loss}",
        *notes,
    ]
