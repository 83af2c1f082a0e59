"""The lines about labels at the end of a run: flips, how verdicts were read, circles, abstentions, the human share."""

from __future__ import annotations

from cai.cli.tables import number_of
from cai.records import Json

_INDENT = " " * 13


def label_lines(label: Json | None) -> list[str]:
    """What the judge did; nothing where nothing was labelled."""
    if not label:
        return []
    flips = "-" if label["flip_rate"] is None else f"{label['flip_rate']:.1%}"
    clear = "" if label["clear_flip_rate"] is None else f" ({label['clear_flip_rate']:.1%} of the clear verdicts)"
    abstained = sum(label["abstained"].values())
    ties = number_of(label["ties"], "tie")
    lines = [
        f"labels       {number_of(label['pairs'], 'pair')}, flip rate {flips}{clear}, {ties}, {abstained:,} abstained",
        f"{_INDENT}read from {label['verdicts']}",
    ]
    return [*lines, *_sampled(label), *_circles(label), *_abstained(label), *_left_out(label), *_mix(label["mix"])]


def _sampled(label: Json) -> list[str]:
    if not (sampled := label["sampled"]):
        return []
    return [
        f"{_INDENT}{sampled['verdicts_a_vote']:.1f} verdicts a vote; "
        f"its 95 % interval is {sampled['interval_width']:.2f} wide on average"
    ]


def _circles(label: Json) -> list[str]:
    if not label["triples"]:
        return []
    return [
        f"{_INDENT}{label['cyclic_triples']:,} of {label['triples']:,} triples of answers run in a circle "
        f"({label['cyclic_share']:.1%}; by chance 25 %)"
    ]


def _abstained(label: Json) -> list[str]:
    if not label["abstained"]:
        return []
    kinds = [f"{one['abstained']:,} of {one['pairs']:,} {kind}" for kind, one in label["kinds"].items()]
    why = [f"{sum(kinds.values()):,} {reason}" for reason, kinds in label["abstained_why"].items()]
    return [f"abstained    {', '.join(kinds)} ({', '.join(why)})"]


def _left_out(label: Json) -> list[str]:
    """Verdicts that count for no label; of a pair that has one from others, nothing else would tell."""
    if not any(one["left_out"] for one in label["kinds"].values()):
        return []
    kinds = [f"{one['left_out']:,} of {one['verdicts']:,} {kind}" for kind, one in label["kinds"].items()]
    return [f"left out     {', '.join(kinds)} verdicts, which were not read or had too little mass"]


def _mix(mix: Json | None) -> list[str]:
    if not mix:
        return []
    human, ai = (sum(one[source] for one in mix["splits"].values()) for source in ("human", "ai"))
    short = _short(mix)
    asked = "" if mix["asked"] is None else f", {mix['asked']:.1%} asked{' on each side of the split' * bool(short)}"
    share = "-" if mix["share"] is None else f"{mix['share']:.1%}"
    if mix.get("by") == "rules":
        of = f"{human:,} by the embedded world's rules, which stand for people"
        return [f"mix          {ai:,} AI labels and {of} ({share}{asked}{short})"]
    by_model, row = mix.get("by_model", 0), "human row"
    told = f"mix          {ai:,} AI and {human:,} human labels ({share} human{asked}{short})"
    if by_model:
        some = "all" if by_model == human else f"{by_model:,}"
        say = "says that a model ranked it" if by_model == 1 else "say that a model ranked them"
        of, row = f"{ai:,} labels of this run's judge and {human:,} from preferences.human", "ranked row"
        told = f"mix          {of}, {some} of which {say} ({share} from preferences.human{asked}{short})"
    if not (rejects := mix.get("rejects")):
        return [told]
    return [told, f"{_INDENT}left out: {number_of(mix['rejected'], row)}, each with its reason in {rejects}"]


def _short(mix: Json) -> str:
    """How many more human pairs the share that is asked wants, by side; another may have some left over."""
    lacking = {split: one["wanted"] - one["human"] for split, one in mix["splits"].items()}
    wanted = [number_of(count, f"more {split} pair") for split, count in lacking.items() if count]
    return f"; {' and '.join(wanted)} would be needed" if wanted else ""


def rubric_lines(rubric: Json | None) -> list[str]:
    """How many answers were graded, and how many of them by nobody."""
    if not rubric:
        return []
    silent = sum(one["abstained"] for one in rubric["kinds"].values())
    kinds = ", ".join(f"{one['abstained']:,} of {one['answers']:,} {kind}" for kind, one in rubric["kinds"].items())
    why = ", ".join(f"{sum(counts.values()):,} {reason}" for reason, counts in rubric["abstained_why"].items())
    return [
        f"rubric       {rubric['answers']:,} answers, {silent} abstained" + (f" ({kinds}; {why})" if silent else ""),
        f"{_INDENT}read from {rubric['verdicts']}",
    ]
