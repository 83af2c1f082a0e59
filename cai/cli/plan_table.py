"""A plan as a table for the terminal, and the lines under it that say what the numbers are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cai.cli.tables import number_of, table
from cai.pipeline.prices import OPTIONS, money_text, unpriced
from cai.records import Json

_HEAD = ("step", "answered", "to ask", "prompt tokens", "completion tokens", "time")
_TIMED = {
    "run": "by the speed that this run had of the same model", "plan": "measured by an earlier plan",
    "probe": "measured now",
}  # fmt: skip


def plan_table(plan: Json) -> str:
    """One line a step, the total, and what is exact, estimated, and not in it."""
    priced = plan["total"]["money"] is not None or plan["total"]["unpriced"]
    head = (*_HEAD, *(("money",) if priced else ()), "")
    rows = [_row(row, priced) for row in plan["steps"]]
    total = plan["total"]
    rows.append(_cells("total", total, priced, total["answered"], total["calls"]))
    return "\n".join([table(head, rows), "", *_lines(plan)])


def _row(row: Json, priced: bool) -> tuple[str, ...]:
    if not row["why"]:
        return (row["step"], *([""] * (len(_HEAD) - 1 + priced)), "up to date")
    if row["training_steps"]:
        blank = (row["step"], "", "", "", "", duration(row["seconds"]), *([""] * priced))
        return (*blank, f"{row['training_steps']:,} training steps; {row['why']}")
    if not row["calls"] and not row["answered"]:
        return (row["step"], *([""] * (len(_HEAD) - 1 + priced)), row["why"])
    return _cells(row["step"], row, priced, row["answered"], row["calls"])


def _cells(name: str, row: Json, priced: bool, answered: int, calls: int) -> tuple[str, ...]:
    about = "" if row["calls_exact"] else "~"
    tokens = [_about(row[key]) for key in ("prompt_tokens", "completion_tokens")]
    money = (_money(row),) if priced else ()
    return (name, f"{answered:,}", f"{about}{calls:,}", *tokens, duration(row["seconds"]), *money, _note(row))


def _money(row: Json) -> str:
    if row["money"] is None:
        without = row["no_price"] and all(len(kinds) == len(OPTIONS) for kinds in row["no_price"].values())
        return "no price" if without else "unknown" if row["unpriced"] else ""
    return f"{'> ' if row['no_price'] else ''}{row['money']:,.4f}"


def _kept(budget: Json) -> str:
    bound = budget["passes"]
    if budget["says"] == "stops":
        return f"the run stops at {bound}, before its end"
    if budget["says"] == "unknown":
        return f"whether the run keeps to {bound} cannot be told: nothing tells how long answers are"
    if budget["says"] == "keeps":
        return "the run keeps to it"
    unit = bound.partition(" ")[2]
    needs = money_text(budget["needs"]) if unit == "of money" else f"{math.ceil(budget['needs']):,}"
    return f"the run may stop at {bound}, before its end; {needs} {unit} hold the most that it may come to"


def _about(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"~{tokens:,}" if tokens else "0"


def _note(row: Mapping[str, object]) -> str:
    if row["calls_exact"]:
        note = "" if not row["calls"] else "calls exact"
    else:
        note = f"calls {row['calls_low']:,} to {row['calls_high']:,}"
    return "; ".join(part for part in (note, str(row.get("why", ""))) if part)


def _lines(plan: Json) -> list[str]:
    total, probe = plan["total"], plan["probe"]
    untold = total["completion_tokens"] is None
    tokens = total["prompt_tokens"] + (total["completion_tokens"] or 0)
    about = "" if total["seconds"] is None else "more than " if plan["unmeasured"] else "~"
    lines = [
        f"tokens       ~{tokens:,} of prompts; those of answers are unknown, as none is there to tell"
        if untold
        else f"tokens       ~{tokens:,}, give or take {total['tokens_error']:,} (95 %)",
        f"time         {about}{duration(total['seconds'])}, of it {duration(plan['start_seconds'])} to start and "
        f"{duration(plan['load_seconds'])} to load models ({number_of(plan['loads'], 'time')}); arithmetic and exports "
        "left out",
    ]
    if not tokens and not any(row["why"] for row in plan["steps"]):
        return ["everything is up to date: `cai run` asks nothing"]
    timed = {by: [row["step"] for row in plan["steps"] if row["timed"] == by] for by in _TIMED}
    if timed["run"] or timed["plan"]:
        lines += [f"             {', '.join(steps)}: {_TIMED[by]}" for by, steps in timed.items() if steps]
    if total["no_price"]:
        known = "unknown" if total["money"] is None else f"more than {total['money']:,.4f}"
        lines.append(f"money        {known}: no price for {unpriced(total['no_price'])}")
    if budget := plan.get("budget"):
        lines.append(f"budget       by this plan, {_kept(budget)}")
    if plan["unmeasured"]:
        lines.append(f"not timed    {', '.join(plan['unmeasured'])}: nothing was there to measure it by")
    if not total["calls_exact"]:
        lines.append("~ calls      hang on texts that are not there yet: answers rejected, or two of a prompt the same")
    if plan["untrained_policy"]:
        lines.append(
            "sample       is asked of a model still to be trained; its answers are taken for like the revisions"
        )
    lines += [f"note         {said}" for said in plan["notes"]]
    lines += [f"not probed   {why}" for why in probe["failed"].values()]
    if probe["calls"]:
        more = "more than " if total["no_price"] else ""
        money = f", {more}{probe['money']:,.4f} of money" if probe["money"] else ""
        said = f"{probe['calls']:,} calls, {probe['prompt_tokens'] + probe['completion_tokens']:,} tokens{money}"
        lines.append(f"the probe    asked {said}; kept in {probe['store']}")
    return lines


def duration(seconds: float | None) -> str:
    """``"41 s"``, ``"6.2 min"``, ``"3.1 h"``;  "unknown" for what was not measured."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 or not seconds else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
