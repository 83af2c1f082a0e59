"""Which steps of a run would be done again, and why. Reads the manifest and file times; needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.errors import RunError
from cai.storage.run import Run, untouched

Plan = dict[str, dict[str, Any]]
SHOWN = 4
"""Causes of one step's being stale that are named."""


def stale_steps(run: Run, plan: Plan) -> dict[str, str]:
    """Step -> why it must be done again, in the order of the plan; steps that are as planned are left out.

    Raises `RunError` when a finished step's file is not what the manifest says: somebody edited it.
    """
    reasons: dict[str, str] = {}
    for name, planned in plan.items():
        if why := why_stale(run, name, planned, reasons):
            reasons[name] = why
    return reasons


def why_stale(run: Run, name: str, planned: dict[str, Any], reasons: Mapping[str, str]) -> str:
    """Why one step must be done again, given the `reasons` of steps before it; empty when it is as planned.

    All that has changed is named, but for more than `SHOWN` causes.
    """
    entry = run.steps.get(name)
    if entry is None:
        return "not done yet"
    again = [source for source in planned["reads"] if source in reasons]
    known = {source: run.steps.get(source, {}).get("sha256") for source in entry["inputs"] if source not in again}
    causes = [f"{source} is to be done again" for source in again]
    causes += [f"{source} has changed" for source, sha256 in known.items() if sha256 != entry["inputs"][source]]
    causes += ["it reads other steps than before"] if set(entry["inputs"]) != set(planned["reads"]) else []
    causes += differences(entry["settings"], planned["settings"])
    if not causes:
        return _files_problem(run, name, entry)
    more = len(causes) - SHOWN
    return "; ".join(causes[:SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


def _files_problem(run: Run, name: str, entry: dict[str, Any]) -> str:
    for file, known in entry["files"].items():
        path = run.path(file)
        if not path.exists():
            return f"{file} is gone"
        if not untouched(path, known):
            raise RunError(
                f"{path}: not the file that step '{name}' wrote (its sha256 is not the manifest's); "
                "delete it to have it made again, or use another --out"
            )
    return ""


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """``"template: 'paper' -> 'principle_last'"`` for each difference of two settings."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*new, *(key for key in old if key not in new)]
        return [one for key in keys for one in _of_member(old, new, key, f"{name}.{key}" if name else key)]
    if old == new or (isinstance(old, list | tuple) and isinstance(new, list | tuple) and list(old) == list(new)):
        return []
    if _is_digest(old) and _is_digest(new):
        return [f"{name} has changed"]
    return [f"{name}: {old!r} -> {new!r}"]


def _of_member(old: dict[str, Any], new: dict[str, Any], key: str, name: str) -> list[str]:
    principle = name.startswith("principles.")
    if key not in old:
        return [f"principle '{key}' was added" if principle else f"{name} is new"]
    if key not in new:
        return [f"principle '{key}' was removed" if principle else f"{name} is gone"]
    if principle and old[key] != new[key]:
        return [f"principle '{key}' was edited"]
    return differences(old[key], new[key], name)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= 16 and not set(value) - set("0123456789abcdef:-")


def later_steps(run: Run, plan: Plan, names: Sequence[str]) -> Plan:
    """Finished steps among `names` that lie beyond `plan`, planned as they were done: so they are seen to be stale."""
    return {
        name: {"reads": list(entry["inputs"]), "output": entry["output"], "settings": entry["settings"]}
        for name in names
        if name not in plan and (entry := run.steps.get(name)) is not None
    }


def changed_sources(run: Run) -> list[str]:
    """Files that the last plan was made from and that are no longer what they were."""
    return [file for file, known in run.manifest.get("sources", {}).items() if not untouched(Path(file), known)]
