"""A plan as a table for the terminal, and the lines under it that say what the numbers are worth."""

from __future__ import annotations

from collections.abc import Mapping

from cai.cli.tables import table
from cai.records import Json

_HEAD = ("step", "answered", "to ask", "prompt tokens", "completion tokens", "time")


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
    paid = "unknown" if row["unpriced"] else "" if row["money"] is None else f"{row['money']:,.4f}"
    money = (paid,) if priced else ()
    return (name, f"{answered:,}", f"{about}{calls:,}", *tokens, duration(row["seconds"]), *money, _note(row))


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
        f"{duration(plan['load_seconds'])} to load models ({plan['loads']} times); arithmetic and exports left out",
    ]
    if not tokens and not any(row["why"] for row in plan["steps"]):
        return ["everything is up to date: `cai run` asks nothing"]
    if budget := plan.get("budget"):
        said = "the run keeps to it" if budget["fits"] else "whether the run keeps to it cannot be told"
        said = f"the run would stop before it passes {budget['passes']}" if budget["passes"] else said
        lines.append(f"budget       by this plan, {said}")
    if recorded := [row["step"] for row in plan["steps"] if row["timed"] == "run"]:
        lines.append(f"             {', '.join(recorded)}: by the speed that this run had of the same model")
    if probed := [row["step"] for row in plan["steps"] if row["timed"] == "probe" and recorded]:
        lines.append(f"             {', '.join(probed)}: measured now")
    if plan["unmeasured"]:
        lines.append(f"not timed    {', '.join(plan['unmeasured'])}: nothing was there to measure it by")
    if not total["calls_exact"]:
        lines.append("~ calls      hang on texts that are not there yet: answers rejected, or two of a prompt the same")
    if plan["untrained_policy"]:
        lines.append(
            "sample       is asked of a model still to be trained; its answers are taken for like the revisions"
        )
    lines += [f"not probed   {why}" for why in probe["failed"].values()]
    if probe["calls"]:
        money = f", {probe['money']:,.4f} of money" if probe["money"] else ""
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
