"""`cai evaluate`: a model against held-out data."""

from __future__ import annotations

import json
import re
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cai.cli.out_path import OutPath
from cai.cli.pair_files import model_folder, read_pairs, tell_left_out
from cai.cli.progress import Bars
from cai.cli.reward_lines import benchmark_lines, breakdown_lines, held_out_lines
from cai.cli.split_option import test_share_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cai.human_preferences.benchmarks import Benchmark, BenchmarkRow
    from cai.records import Json, Preference


@click.group()
def evaluate() -> None:
    """Measure a model on held-out data.

    \b
    Example:
      cai evaluate reward --model models/reward --preferences pairs.jsonl
    """


@evaluate.command("reward")
@click.option("--model", required=True, metavar="PATH", help="A reward model's folder.")
@click.option(
    "--preferences", "files", required=True, multiple=True, metavar="FILE",
    help="Pairs: rows of {prompt, chosen, rejected} or {prompt, response_a, response_b, p_a}, HH transcripts, a run's "
    "preferences.jsonl; or a file in the shape of RewardBench. JSONL, JSON, CSV, Parquet; repeatable.",
)  # fmt: skip
@click.option(
    "--split", type=click.Choice(["test", "train", "all"]), default="test", show_default=True,
    help="Which pairs; of a benchmark always all.",
)  # fmt: skip
@test_share_option
@click.option(
    "--max-length", type=click.IntRange(min=8),
    help="Most tokens of a dialogue; default: as the model was trained (its training.json), else its context.",
)  # fmt: skip
@click.option(
    "--too-long", type=click.Choice(["truncate_left", "reject"]),
    help="What becomes of a longer one: the left of its prompt goes, or it is not scored; default: as in training, "
    "else truncate_left. Answers are never cut, and one that leaves no room for any of its question is not scored.",
)  # fmt: skip
@click.option(
    "--max-rejected", type=click.FloatRange(0, 1), default=0.1, show_default=True, metavar="SHARE",
    help="Share of pairs that may be left without a score before this fails.",
)  # fmt: skip
@click.option(
    "--max-truncated", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
    help="Share of the pairs with a score whose prompts may lose their left before this fails.",
)  # fmt: skip
@click.option("--out", type=OutPath(), help="A folder for reward.json and the plots.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object.")
def evaluate_reward_command(
    model: str, files: tuple[str, ...], split: str, test_share: float, max_length: int | None,
    too_long: Literal["truncate_left", "reject"] | None, max_rejected: float, max_truncated: float, out: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Agreement of a reward model with the labels of FILE, beside always-longer and chance; its calibration.

    Accuracy has Wilson's 95 % interval, also by label's margin, model's margin, kind of prompt, length and source.
    Calibration holds the probability that the model gives to the answer it favours against the labels. On pairs whose
    prompts are look-alikes (FILE?kind=lookalike, or a column `kind`), where one answer alone refuses, the margin of the
    other one is measured; a refusal is told by its opening words, in English, and pairs with none or two are counted.
    Pairs whose prompts the model was trained on are counted, where its folder tells (trained_prompts.txt). RewardBench
    files (a column `subset`, or several chosen and rejected answers a row) are reported by subset and as the mean over
    subsets.

    \b
    Example:
      cai evaluate reward --model models/reward --preferences pairs.jsonl --out figures
      cai evaluate reward --model models/reward --preferences outputs/mine/preferences.jsonl \\
        --preferences human.jsonl
      cai evaluate reward --model models/reward --preferences 'xstest.jsonl?kind=lookalike' --split all
      cai evaluate reward --model models/reward --preferences reward_bench_2.parquet
    """
    folder = model_folder(model.removeprefix("hf/"))
    pairs, benchmarks, unused = _read(files, split, test_share)
    from cai.models.reward import RewardScorer, trained_with
    from cai.pipeline.measure_reward import measured_benchmark, measured_pairs
    from cai.prompts.trained import trained_on

    length, policy = trained_with(folder)
    scorer = RewardScorer(folder, max_length=max_length or length, too_long=too_long or policy)
    with Bars(quiet=as_json) as bars:
        bars.start("score", "")
        held_out = measured_pairs(scorer, pairs, bars.progress) if pairs else None
        scored = [one for at, one in enumerate(pairs) if at not in scorer.notes.not_scored]
        leaked = trained_on(folder, (one.prompt.messages for one in scored))
        measured = {file: measured_benchmark(scorer, rows, bars.progress) for file, rows in benchmarks.items()}
    _check(held_out, measured, max_rejected, max_truncated)
    result: Json = {
        "held_out": held_out, "split": split, "trained_on": leaked, "other_side": unused, "benchmarks": measured,
    }  # fmt: skip
    if out:
        _write(out, result)
    _show(result, as_json, out)


def _read(
    files: tuple[str, ...], split: str, test_share: float
) -> tuple[list[Preference], dict[str, list[BenchmarkRow]], dict[str, int]]:
    """The pairs of a side of all files, the rows of every benchmark, and how many pairs of a file were not used.

    Pairs of a benchmark are among the first. Raises `ConfigError` for a file without a pair on the side that is asked.
    """
    from cai.errors import ConfigError
    from cai.human_preferences.benchmarks import Benchmark

    pairs: list[Preference] = []
    of_benchmarks: list[Preference] = []
    benchmarks: dict[str, list[BenchmarkRow]] = {}
    unused: dict[str, int] = {}
    for file, read in _read_all(files, test_share):
        if isinstance(read, Benchmark):
            tell_left_out(read.skipped, read.first, "row")
            benchmarks[file] = read.rows
            of_benchmarks += [pair for row in read.rows if (pair := row.preference)]
            continue
        found = [one for one in read if split in (one.prompt.split, "all")]
        if not found:
            raise ConfigError(f"{file}: no pair is on the side '{split}'; --split all takes every pair")
        pairs += found
        if len(found) < len(read):
            unused[file] = len(read) - len(found)
    return _each_once(pairs) + of_benchmarks, benchmarks, unused


def _read_all(files: tuple[str, ...], test_share: float) -> list[tuple[str, Benchmark | list[Preference]]]:
    """What each file holds; the mistakes in all of them are told together."""
    from cai.errors import each
    from cai.human_preferences.benchmarks import is_benchmark, read_benchmark

    def read(file: str) -> tuple[str, Benchmark | list[Preference]]:
        return file, read_benchmark(file) if is_benchmark(file) else read_pairs(file, test_share)

    return each(read, files)


def _each_once(pairs: list[Preference]) -> list[Preference]:
    """A pair that several files hold counts once, by the mean of its labels; how many do is said."""
    from cai.human_preferences.merged import each_once, repeats_line

    found = each_once(pairs)
    if more := len(pairs) - len(found):
        click.echo(repeats_line(more), err=True)
    return found


def _check(held_out: Json | None, benchmarks: dict[str, Any], most: float, most_cut: float) -> None:
    """Raise `ConfigError` where more than the allowed share has no score, or of those that have one was cut."""
    from cai.errors import ConfigError

    counts = [("pairs", held_out["pairs"], held_out)] if held_out else []
    counts += [(f"rows of {file}", one["rows"], one) for file, one in benchmarks.items()]
    for what, scored, figures in counts:
        missing = figures["not_scored"]
        if missing > most * (missing + scored):
            why = f"{figures['too_long']:,} too long for {figures['max_length']} tokens"
            why += f", {figures['not_rendered']:,} not rendered" if figures["not_rendered"] else ""
            why += f" (first: {figures['not_rendered_why']})" if figures["not_rendered_why"] else ""
            first = f" (the first too long: the prompt {figures['too_long_first']})" if figures["too_long"] else ""
            raise ConfigError(
                f"{missing:,} of {missing + scored:,} {what} cannot be scored: {why}; --max-rejected is {most:g}{first}"
            )
        if figures["truncated"] > most_cut * scored:
            raise ConfigError(
                f"{figures['truncated']:,} of {scored:,} {what} lose the left of their prompt, to fit "
                f"{figures['max_length']} tokens, and --max-truncated is {most_cut:g}: raise --max-length as far as "
                "the model's context goes, or --max-truncated to measure all the same"
            )


def _write(out: Path, result: Json) -> None:
    """`reward.json` and the plots."""
    from cai.evaluation.figures import benchmark_plot
    from cai.pipeline.measure_reward import write_plots
    from cai.storage.run import atomic_write, write_json

    write_json(out / "reward.json", result)
    if result["held_out"]:
        write_plots(out, result["held_out"])
    names = _names(result["benchmarks"])
    for file, figures in result["benchmarks"].items():
        with atomic_write(out / f"benchmark_{names[file]}.svg") as handle:
            handle.write(benchmark_plot(figures, names[file]))


def _names(files: Iterable[str]) -> dict[str, str]:
    """The stem of each file, with a number from 2 up where an earlier file has taken that name."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        stem = re.sub(r"\W+", "_", Path(file.partition("?")[0]).stem)
        numbered = chain([stem], (f"{stem}_{number}" for number in count(2)))
        names[file] = next(name for name in numbered if name.lower() not in taken)
        taken.add(names[file].lower())
    return names


def _show(result: Json, as_json: bool, out: Path | None) -> None:
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False))
        return
    leaked = result["trained_on"]
    held_out = result["split"] == "test" and not leaked
    lines = held_out_lines(result["held_out"], "held-out pairs" if held_out else "pairs")
    if leaked:
        lines.append(f"note           of {leaked:,} of these pairs the model was trained on the prompt")
    for file, unused in result["other_side"].items():
        lines.append(f"note           {unused:,} pairs of {file} are not on the side '{result['split']}' (--split all)")
    lines += breakdown_lines(result["held_out"])
    for file, figures in result["benchmarks"].items():
        lines += benchmark_lines(file, figures)
    for line in [*lines, *([f"saved          {out}/"] if out else [])]:
        click.echo(line)
