"""`cai train` and `cai evaluate`: one model at a time, on files of your own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cai.prompts.files import Row
    from cai.records import Json, Messages, Preference

_model = click.option("--model", required=True, metavar="hf/PATH", help="A folder with a language model, or embedded.")
_out = click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder of the trained model.")
_sets = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, such as lr=1e-4 or lora.r=8; repeatable."
)
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every draw.")
_share = click.option(
    "--test-share", type=click.FloatRange(0, 1), default=0.2, show_default=True,
    help="Share of prompts held out, where the file does not say; drawn by opening turn.",
)  # fmt: skip
_quiet = click.option("--quiet", is_flag=True, help="No progress, no figures.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
_preferences = click.option(
    "--preferences", "file", required=True, metavar="FILE",
    help="Pairs: HH transcripts, TRL preference rows, or a run's preferences.jsonl.",
)  # fmt: skip


@click.group()
def train() -> None:
    """Train one model on files of your own. A killed training goes on with the same command.

    \b
    Example:
      cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
      cai train sft --data dialogues.jsonl --model hf/./my-model --out models/sft
    """


@click.group()
def evaluate() -> None:
    """Measure a model on held-out data.

    \b
    Example:
      cai evaluate reward --model models/reward --preferences pairs.jsonl
    """


@train.command("reward")
@_preferences
@_model
@_out
@_share
@_sets
@_seed
@_quiet
@_json
def train_reward_command(
    file: str, model: str, out: Path, test_share: float, sets: tuple[str, ...], seed: int, quiet: bool, as_json: bool
) -> None:
    """Train a reward model on the pairs of FILE, and measure it on the prompts held out.

    Settings are those of the recipe's `reward` block. On several processors, start it with `accelerate launch`; with
    `--use_fsdp --fsdp_version 2` in place of `--multi_gpu` the weights are spread over them.

    \b
    Example:
      cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
      cai train reward --preferences pairs.jsonl --model embedded --out rm --set lr=1e-4 --set epochs=2
      accelerate launch --multi_gpu --num_processes 2 --no_python \\
        cai train reward --preferences pairs.jsonl --model hf/./my-model --out models/reward
    """
    settings, weights = _settings("reward", sets), _weights(model)
    preferences = _read_preferences(file, test_share)
    with _reporter(quiet or as_json or not _leads(), "reward") as report:
        from cai.training.reward import train_reward

        learnt = [one for one in preferences if one.prompt.split == "train"]
        training = train_reward(weights, learnt, out, settings, seed, checkpoints=_checkpoints(out), progress=report)
        if not _leads():
            return
        figures = _measured(out, [one for one in preferences if one.prompt.split == "test"])
    _show({"training": training, "held_out": figures}, quiet, as_json, out)


@train.command("sft")
@click.option("--data", "file", required=True, metavar="FILE", help="JSONL or Parquet with a `messages` column.")
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
    with _reporter(quiet or as_json, "sft") as report:
        from cai.training.sft import train_sft

        training = train_sft(weights, dialogues, out, settings, seed, checkpoints=_checkpoints(out), progress=report)
    _show({"training": training}, quiet, as_json, out)


@evaluate.command("reward")
@click.option("--model", required=True, metavar="PATH", help="A reward model's folder.")
@_preferences
@click.option(
    "--split", type=click.Choice(["test", "train", "all"]), default="test", show_default=True, help="Which pairs."
)
@_share
@_json
def evaluate_reward_command(model: str, file: str, split: str, test_share: float, as_json: bool) -> None:
    """Accuracy of a reward model on the pairs of FILE, beside always-longer and chance.

    \b
    Example:
      cai evaluate reward --model models/reward --preferences pairs.jsonl
      cai evaluate reward --model models/reward --preferences other.jsonl --split all
    """
    from cai.errors import ConfigError

    folder = _model_folder(model.removeprefix("hf/"))
    preferences = [one for one in _read_preferences(file, test_share) if split in (one.prompt.split, "all")]
    if not preferences:
        raise ConfigError(f"{file}: no pair is on the side '{split}'")
    _show({"held_out": _measured(folder, preferences)}, False, as_json)


# ------------------------------------------------------------------------------------------------ reading


def _settings(block: str, sets: tuple[str, ...]) -> Any:
    """One block of the recipe with ``--set`` over it; the block's name may stand before a key."""
    from cai.recipe_files import load_recipe, parse_set

    pairs = [parse_set(text) for text in sets]
    recipe = load_recipe(None, {f"{block}.{key.removeprefix(f'{block}.')}": value for key, value in pairs})
    return getattr(recipe, block)


def _read_preferences(file: str, test_share: float) -> list[Preference]:
    """A run's own preferences, or pairs that people ranked."""
    if _is_run_file(Path(file)):
        from cai.prompts.files import read_rows
        from cai.prompts.spec import PromptFile

        return [_preference(row) for row in read_rows(PromptFile(Path(file), "jsonl"))]
    from cai.human_preferences import read_human_preferences

    read = read_human_preferences(file, test_share=test_share)
    for reason, count in read.notes.skipped.items() if _leads() else ():
        click.echo(f"{count:,} {'pair' if count == 1 else 'pairs'} left out: {reason}", err=True)
    return read.preferences


def _preference(row: Row) -> Preference:
    """A line of a run's preferences.jsonl; raises `InputError` with its place if it is not one."""
    from cai.records import Preference

    try:
        one = Preference.from_json(row.value)
        sound = one.prompt.messages and 0 <= one.p_a <= 1 and one.weight >= 0
        texts = (*(turn.content for turn in one.prompt.messages), one.response_a, one.response_b)
    except KeyError as error:
        raise row.error(f"not a preference of a run: it has no {error}") from None
    except (TypeError, AttributeError):
        raise row.error("not a preference of a run: a value is of the wrong type") from None
    if not sound or not all(isinstance(text, str) for text in texts):
        raise row.error("not a preference of a run: p_a must lie in 0 … 1, weight in 0 … ∞, and all answers be text")
    return one


def _is_run_file(path: Path) -> bool:
    """Whether the first line is a record of this package."""
    if not path.is_file() or path.suffix != ".jsonl":
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        try:
            row = json.loads(lines.readline())
        except ValueError:
            return False
    return isinstance(row, dict) and {"prompt", "response_a", "response_b", "p_a"} <= row.keys()


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
    from cai.errors import ConfigError

    if model == "embedded":
        from cai.embedded import weights_path

        return weights_path()
    if not model.startswith("hf/"):
        raise ConfigError(f"{model}: only weights on this machine can be trained; name them hf/PATH")
    return _model_folder(model.removeprefix("hf/"))


def _model_folder(name: str) -> Path:
    from cai.errors import ConfigError

    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        why = "it has no config.json" if folder.is_dir() else "there is no such folder"
        raise ConfigError(f"{folder} is not a model folder: {why}")
    return folder


def _leads() -> bool:
    """Whether this is the only process, or the first of those that were launched together."""
    return os.environ.get("RANK", "0") == "0"


def _checkpoints(out: Path) -> Path:
    out = out.resolve()
    return out.parent / f".{out.name}.checkpoints"


# ------------------------------------------------------------------------------------------------ figures


def _measured(model: Path, preferences: list[Preference]) -> Json | None:
    if not preferences:
        return None
    from cai.evaluation.reward import evaluate_reward
    from cai.models.reward import RewardScorer

    scorer = RewardScorer(model)
    scores_a = scorer.score([(one.prompt.messages, one.response_a) for one in preferences])
    scores_b = scorer.score([(one.prompt.messages, one.response_b) for one in preferences])
    return evaluate_reward(preferences, scores_a, scores_b).to_json()


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
        for line in [*_training_lines(result.get("training")), *_held_out_lines(result.get("held_out"))]:
            click.echo(line)
        if out is not None:
            click.echo(f"saved          {out}/")


def _training_lines(training: Json | None) -> list[str]:
    if not training:
        return []
    rows = ", ".join(
        f"{training[key]:,} {key.removeprefix('rows_').replace('_', ' ')}"
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


def _held_out_lines(figures: Json | None) -> list[str]:
    if not figures:
        return []
    pairs = f"{figures['pairs']:,} ({figures['ties']:,} ties, {figures['not_scored']:,} not scored)"
    return [
        f"held-out pairs {pairs}",
        f"accuracy       {_estimate(figures['accuracy'])}",
        f"always longer  {_estimate(figures['always_longer'])}",
        f"difference     {_estimate(figures['lift_over_longer'])}",
        f"chance         {figures['chance']:.3f}",
        f"cross-entropy  {_number(figures['cross_entropy'], 4)} nats (a coin: {figures['cross_entropy_coin']:.4f}; "
        f"least possible: {_number(figures['cross_entropy_floor'], 4)})",
        f"prefers longer {_estimate(figures['prefers_longer'])}",
    ]


def _estimate(figure: Json) -> str:
    if figure["value"] is None:
        return "-  no pair tells"
    if figure["low"] is None:
        return f"{figure['value']:.3f}  one pair alone has no interval"
    return f"{figure['value']:.3f}  95 % interval {figure['low']:.3f} to {figure['high']:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
