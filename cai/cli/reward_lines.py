"""What a reward model's figures look like on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cai.cli.tables import count, number_of, table

if TYPE_CHECKING:
    from cai.records import Json


def held_out_lines(figures: Json | None, name: str = "held-out pairs") -> list[str]:
    """The figures over all pairs, a line each; `name` is what they are called."""
    if not figures:
        return []
    pairs = f"{figures['pairs']:,} ({number_of(figures['ties'], 'tie')}, {figures['not_scored']:,} not scored)"
    return [
        f"{name:<14} {pairs}",
        *_fitted_lines(figures, "pair"),
        f"accuracy       {_estimate(figures['accuracy'])}",
        *_by_prompt_lines(figures),
        f"always longer  {_estimate(figures['always_longer'])}",
        f"difference     {_estimate(figures['lift_over_longer'])}",
        f"chance         {figures['chance']:.3f}",
        f"cross-entropy  {_number(figures['cross_entropy'], 4)} nats (a coin: {figures['cross_entropy_coin']:.4f}; "
        f"least possible: {_number(figures['cross_entropy_floor'], 4)})",
        f"calibration    {_calibration(figures['calibration'])}",
        f"prefers longer {_estimate(figures['prefers_longer'])}",
        *_refusal_lines(figures["over_refusal"]),
    ]


def breakdown_lines(figures: Json | None) -> list[str]:
    """Tables of accuracy by group of pairs, and of the calibration's bins."""
    if not figures:
        return []
    from cai.evaluation.figures import TITLES

    rows = [
        (title if not at else "", one["name"], count(one["pairs"]), *_shares(one["accuracy"]))
        for by, title in TITLES.items()
        if len(figures["by"][by]) > 1
        for at, one in enumerate(figures["by"][by])
    ]
    lines = ["", table(("accuracy by", "", "pairs", "accuracy", "95 % interval"), rows)] if rows else []
    bins = [
        (f"{one['from']:.2f} to {one['to']:.2f}", count(one["n"]), f"{one['mean_p']:.3f}", *_shares(one))
        for one in figures["calibration"]["bins"]
    ]
    head = ("the model gives its side", "pairs", "mean", "the labels", "95 % interval")
    return [*lines, *(["", table(head, bins)] if bins else [])]


def benchmark_lines(name: str, figures: Json) -> list[str]:
    """A table of subsets with their mean, under the name of the file."""
    rows = [
        (subset, count(one["n"]), *_shares(one), "" if one["chance"] is None else f"chance {one['chance']:.3f}")
        for subset, one in figures["subsets"].items()
    ]
    rows.append(("mean of subsets", count(figures["rows"]), *_shares(figures["mean"]), ""))
    head = ("subset", "rows", "score", "95 % interval", "")
    not_scored = f" ({figures['not_scored']:,} not scored)" if figures["not_scored"] else ""
    return ["", f"{name}: {figures['rows']:,} rows{not_scored}", *_fitted_lines(figures, "row"), table(head, rows)]


def _fitted_lines(figures: Json, what: str) -> list[str]:
    """What became of dialogues that the model cannot read as they are."""
    tokens, lines = figures["max_length"], []
    for key, told in (
        ("truncated", f"lost the left of the prompt, to fit {tokens} tokens"),
        ("too_long", f"too long for {tokens} tokens, not scored (first: the prompt {figures.get('too_long_first')})"),
        ("not_rendered", f"not rendered by the template, not scored: {figures['not_rendered_why']}"),
    ):
        if figures[key]:
            lines.append(f"note           {figures[key]:,} {what}{'' if figures[key] == 1 else 's'} {told}")
    return lines


def _by_prompt_lines(figures: Json) -> list[str]:
    """Nothing where every pair is of a prompt of its own."""
    if figures.get("prompts", figures["pairs"]) == figures["pairs"] or figures["accuracy"]["value"] is None:
        return []
    by_prompt = figures["accuracy_by_prompt"]
    interval = f"95 % interval {by_prompt['low']:.3f} to {by_prompt['high']:.3f}"
    return [f"               {interval} by prompt: the pairs are of {figures['prompts']:,} prompts"]


def _calibration(figure: Json) -> str:
    if figure["ece"] is None:
        return "-  no pair tells"
    return f"error (ECE) {figure['ece']:.3f} over {number_of(len(figure['bins']), 'bin')} with pairs"


def _refusal_lines(figure: Json) -> list[str]:
    """Nothing where there are no look-alikes."""
    if not figure["pairs"]:
        return []
    told = f"{figure['told']:,} of {figure['pairs']:,} pairs on look-alikes have one answer that refuses"
    others = f"{figure['neither_refuses']:,} none, {figure['both_refuse']:,} two"
    lines = [f"over-refusal   {told} ({others})"]
    if figure["told"]:
        margin, answered = figure["margin"], figure["answered"]
        interval = "" if margin["low"] is None else f"  95 % interval {margin['low']:+.3f} to {margin['high']:+.3f}"
        lines.append(f"               the other scores higher by {margin['value']:+.3f}{interval}")
        labels = f"the labels prefer it in {figure['label_answered']['value']:.3f}"
        lines.append(f"               it scores higher in {_estimate(answered)}; {labels}")
    return lines


def _shares(figure: Json) -> tuple[str, str]:
    if figure["value"] is None:
        return "-", ""
    interval = "" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
    return f"{figure['value']:.3f}", interval


def _estimate(figure: Json) -> str:
    if figure["value"] is None:
        return "-  no pair tells"
    if figure["low"] is None:
        return f"{figure['value']:.3f}  one pair alone has no interval"
    return f"{figure['value']:.3f}  95 % interval {figure['low']:.3f} to {figure['high']:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
