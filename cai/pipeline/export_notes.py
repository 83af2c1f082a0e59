"""What an export of a run says of the run itself: steps that are stale, and a judge whose audit did not pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cai.audit import untold
from cai.pipeline.audit_standing import current_audit
from cai.pipeline.status import stale_now
from cai.storage.run import Run


def run_notes(folder: Path, steps: Sequence[str]) -> list[str]:
    """A line for each thing to know of the run in `folder` before datasets made from `steps` are used.

    Raises `RunError` for a finished step's file that somebody edited.
    """
    run = Run.existing(folder)
    return [*_stale(run, steps), *_audit(run, steps)]


def _stale(run: Run, steps: Sequence[str]) -> Iterator[str]:
    stale, problem = stale_now(run)
    if problem:
        yield f"whether steps are stale cannot be told ({problem})"
    found = [f"{name} ({stale[name]})" for name in steps if name in stale and name in run.steps]
    if found:
        are = "is" if len(found) == 1 else "are"
        yield f"{', '.join(found)} {are} stale: the export is of what was made before; see cai status {run.folder}"


def _audit(run: Run, steps: Sequence[str]) -> Iterator[str]:
    """Of labels alone: no other rows hang on the judge. An audit that is not of the labels as they are says nothing."""
    if "preferences" not in steps or "audit" not in run.steps:
        return
    figures = current_audit(run)
    if figures and figures["failed"]:
        yield f"the judge failed its audit ({', '.join(figures['failed'])}): see the card, or cai audit {run.folder}"
    if figures and (lacking := untold(figures["gates"])):
        yield f"the audit of the judge leaves open whether it is fit: {'; '.join(lacking)}"
