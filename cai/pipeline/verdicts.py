"""How the judge's verdicts are read: by which names for the choices, and whether by log-probability at all.

Checked before anything is asked: a name must be one token right after the exact text before it, or two names could not
be compared at one position. Else the next names are tried, then whole strings are scored, where the engine can, and
else verdicts are sampled. What was found is kept in the manifest, so that a rerun loads no tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cai.dialogues import NAMINGS, YES_NOS, Naming, YesNo, reasoned_verdict_prefix, verdict_prefix
from cai.models import Engine
from cai.pipeline.job import Job

Names = TypeVar("Names", Naming, YesNo)
_HOW = {
    "one token": "log-probabilities of {names}, one token each",
    "whole strings": "log-probabilities of {names}, as whole strings: no names that were tried are one token each",
    "unchecked": "log-probabilities of {names}, among the likeliest tokens that the server tells",
}
_PROBE = "Both are short."


@dataclass(frozen=True, slots=True)
class Reading(Generic[Names]):
    """The names of the choices, and how they are read: "one token", "whole strings", "unchecked" or "samples"."""

    names: Names
    how: str

    @property
    def sampled(self) -> bool:
        return self.how == "samples"

    def said(self, samples: str) -> str:
        """For the manifest and the screen; `samples` is what is said of sampled verdicts."""
        return samples if self.sampled else _HOW[self.how].replace("{names}", str(self.names))


def comparison_reading(job: Job) -> Reading[Naming]:
    """How the judge of this job tells which of two answers is better."""
    label = job.recipe.label

    def places(naming: Naming) -> list[tuple[str, tuple[str, str]]]:
        before = [verdict_prefix(label.template, naming)]
        if label.reasoning_samples:
            before.append(reasoned_verdict_prefix(_PROBE, label.template, naming))
        return [(prefix, naming.choices) for prefix in before]

    asked = f"comparison, {label.template}{', reasoned' if label.reasoning_samples else ''}"
    return _kept(job, asked, NAMINGS, [places(naming) for naming in NAMINGS])


def rubric_reading(job: Job) -> Reading[YesNo]:
    """How the judge of this job says yes or no."""
    return _kept(job, "rubric", YES_NOS, [[(one.prefix, one.choices)] for one in YES_NOS])


def _kept(
    job: Job, asked: str, names: Sequence[Names], places: Sequence[list[tuple[str, tuple[str, str]]]]
) -> Reading[Names]:
    engine = job.engine("judge")
    key = f"{engine.fingerprint}: {asked}"
    known = job.readings.get(key) or job.run.manifest.get("verdicts", {}).get(key)
    found = next((one for one in names if known and str(one) == known["names"]), None)
    if known is None or found is None:
        at, how = chosen(engine, places)
        found, known = names[at], {"names": str(names[at]), "how": how}
    job.readings[key] = known
    return Reading(found, known["how"])


def chosen(engine: Engine, places: Sequence[list[tuple[str, tuple[str, str]]]]) -> tuple[int, str]:
    """Which of several names can be read, by their places: (text before, choices); and how."""
    if not engine.scores_choices:
        return 0, "samples"
    for at, some in enumerate(places):
        told = [engine.one_token(prefix, choices) for prefix, choices in some]
        if None in told:
            return 0, "unchecked"
        if all(told):
            return at, "one token"
    return 0, "whole strings" if engine.scores_strings else "samples"
