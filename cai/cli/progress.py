"""What a run shows while it works and when it ends: bars on standard error on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from cai.cli.label_lines import label_lines, rubric_lines
from cai.cli.tables import count, number_of, table
from cai.records import Json

TELL_EVERY = 30.0
"""Seconds between two lines of a step that goes on, where there are no bars."""


class Bars:
    """A `Reporter` for people. On a terminal one bar a step with rate and time left.

    Elsewhere a line a finished step, and one every half a minute of a long one.
    """

    def __init__(self, head: str = "", quiet: bool = False) -> None:
        self._head = head
        self._quiet = quiet
        self._bars: Any = None
        self._task: Any = None
        self._step, self._told = "", 0.0

    def __enter__(self) -> Bars:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def note(self, text: str) -> None:
        self._begin()
        if not self._quiet:
            click.echo(f"note: {text}", err=True)

    def start(self, step: str, why: str) -> None:
        self._begin()
        self._step, self._told = step, time.monotonic()
        if self._bars is not None:
            self._task = self._bars.add_task(step, total=None, rate="", note=why)

    def _begin(self) -> None:
        if self._head and not self._quiet:
            click.echo(self._head, err=True)
        self._head = ""

    def progress(self, done: int, total: int, note: object = "") -> None:
        text = f"loss {note:.3f}" if isinstance(note, float) else str(note)
        if self._bars is None:
            if not self._quiet and time.monotonic() - self._told >= TELL_EVERY:
                self._told = time.monotonic()
                click.echo(f"{self._step:<12} {done:>8,} of {max(done, total):,}   {text}".rstrip(), err=True)
            return
        speed = self._bars.tasks[self._bars.task_ids.index(self._task)].speed
        rate = f"{speed:.1f}/s" if speed else ""
        self._bars.update(self._task, completed=done, total=max(done, total), rate=rate, note=text)

    def finish(self, step: str, entry: Json) -> None:
        if self._bars is not None:
            self._bars.remove_task(self._task)
        for line in (_line(step, entry), *(f"{'':<12} {note}" for note in entry.get("notes", ()))):
            if self._bars is not None:
                self._bars.console.print(line, highlight=False, soft_wrap=True, markup=False)
            elif not self._quiet:
                click.echo(line, err=True)


def _line(step: str, entry: Json) -> str:
    parts = [f"{step:<12} {entry['rows']:>8,} rows"]
    if entry.get("rejected"):
        parts.append(f"{entry['rejected']:,} rejected")
    if entry.get("calls_made") or entry.get("calls_saved"):
        parts.append(f"{entry['calls_made']:,} calls, {entry['calls_saved']:,} saved")
    return "   ".join([*parts, f"{entry['seconds']:.1f} s"])


def summary_table(summary: Json) -> str:
    """The short table at the end of a run: steps, flip rate, accuracy, where everything lies, what to type next."""
    rows = [_row(one) for one in summary["stages"]]
    lines = [table(("step", "rows", "rejects", "calls", "saved", "seconds", ""), rows), ""]
    ran = [one for one in summary["stages"] if one["ran"]]
    calls, seconds = (sum(one.get(key, 0) for one in ran) for key in ("calls_made", "seconds"))
    lines += [f"this run     {number_of(len(ran), 'step')}, {number_of(calls, 'call')}, {seconds:.1f} s"]
    lines += label_lines(summary["label"]) + rubric_lines(summary["rubric"])
    lines += (
        _audit_lines(summary["audit"], summary["audit_accepted"])
        + _reward_lines(summary["reward"])
        + _world_lines(summary["world"])
    )
    lines += ["", f"everything   {summary['run']}/", f"next         {summary['next']}"]
    return "\n".join(lines)


def _row(one: Json) -> tuple[str, ...]:
    counts = (count(one["rows"]), count(one.get("rejected")))
    if not one["ran"]:
        return (one["step"], *counts, "", "", "", _note(one))
    calls = (count(one.get("calls_made")), count(one.get("calls_saved")))
    return (one["step"], *counts, *calls, f"{one['seconds']:.1f}", _note(one))


def _note(stage: Json) -> str:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in stage.get("left_out", {}).items())
    state = f"stale: {stage['stale']}" if stage["stale"] else "" if stage["ran"] else "was up to date"
    return "; ".join(part for part in (state, f"left out: {left_out}" if left_out else "") if part)


_MEASURES = ("harmful", "evasive", "helpful", "lookalike_refused", "untrue", "overlong", "incoherent")
_PAIRS = {
    "accuracy": "pairs of the policy's answers to held-out red-team prompts",
    "grammar": "of the world's own", "ordinary": "of ordinary prompts", "lookalike": "of look-alikes",
}  # fmt: skip
_POLICIES = {"base": "before", "sl": "SL-CAI", "rl": "RL-CAI"}


def _world_lines(world: Json | None) -> list[str]:
    """What the rules of the embedded world say of held-out prompts, in per cent."""
    if not world:
        return []
    rows = [("before", *_percent(world["policies"]["base"]))]
    rows += [
        (f"revision {one['round']}", f"{one['harmful']:.1%}", f"{one['evasive']:.1%}", "", "", "", "", "")
        for one in world["revisions"][1:]
    ]
    rows += [(_POLICIES[name], *_percent(one)) for name, one in world["policies"].items() if name != "base"]
    heads = [name.replace("lookalike_", "look-alikes ") for name in _MEASURES]
    lines = ["", "held-out prompts of the embedded world, by its rules:", table(("", *heads), rows)]
    measured = world["reward_model"] or {}
    begin = "the reward model agrees with the rules on"
    for key, pairs in _PAIRS.items():
        if (one := measured.get(key)) and one["value"] is not None:
            share = f"{one['value']:.1%} of {one['n']} {pairs} ({one['low']:.1%} to {one['high']:.1%})"
            lines.append(f"{begin:>41} {share}" + (f"; always longer: {one['longer']:.1%}" if "longer" in one else ""))
            begin = "and on"
    return lines


def _percent(rates: Json) -> list[str]:
    return ["-" if rates[one]["value"] is None else f"{rates[one]['value']:.1%}" for one in _MEASURES]


def _audit_lines(audit: Json | None, accepted: str | None) -> list[str]:
    so = "accepted (--accept-audit), so the reward model was trained on its labels all the same"
    if not audit:
        return [f"audit        {accepted}: {so}"] if accepted else []
    from cai.audit import standing, too_little, unheld

    gates = audit["gates"]
    lines = [f"audit        {standing(gates)}"]
    lines += [f"             not passed: measured too little to tell: {few}"] if (few := too_little(gates)) else []
    lines += [f"             not passed: no bound on {loose}"] if (loose := unheld(gates)) else []
    lines += [f"             {so}"] if accepted else []
    lines += [f"             {audit['planted']['items']} planted pairs and attacks"]
    opened = [f"{one['gate']} {one['value']:.2f}" for one in gates if one["value"] is not None and one["bound"] is None]
    lines += [f"             opened gates come to: {', '.join(opened)}"] if opened else []
    return [*lines, *(f"             note: {note}" for note in audit["notes"])]


def _reward_lines(reward: Json | None) -> list[str]:
    if not reward:
        return []
    accuracy, longer = reward["accuracy"], reward["always_longer"]
    if accuracy["value"] is None:
        return ["reward model no held-out label prefers a side, so there is nothing to agree with"]
    sources = {one["name"]: one["accuracy"] for one in reward.get("by", {}).get("source", ())}
    apart = [
        f"{sources[name]['value']:.1%} of {sources[name]['n']} {name}" for name in ("ai", "human") if name in sources
    ]
    return [
        f"reward model agrees with {accuracy['value']:.1%} of {accuracy['n']} held-out labels "
        f"(95 % interval {accuracy['low']:.1%} to {accuracy['high']:.1%}; "
        f"always-longer {longer['value']:.1%}, chance 50 %)",
        *([f"             {'; '.join(apart)}"] if len(apart) > 1 else []),
    ]
