"""One line of a plan, and the digests that tell what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cai.constitution import Form
from cai.pipeline import work
from cai.pipeline.job import SFT_MODEL, Job
from cai.records import Json
from cai.stages import STAGES


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan. `reads` names earlier steps; `settings` is all else that can change `output`.

    `beside` are files that the step may write next to its output: rejects, metrics. `gate`, given whether the step is
    to be done, raises where what it made or would make may not stand; what it returns goes into the manifest.
    """

    name: str
    reads: tuple[str, ...]
    output: str
    settings: Json
    work: Callable[[Job], Json]
    beside: tuple[str, ...] = ()
    gate: Callable[[Job, bool], Json] | None = None

    def plan(self) -> Json:
        """What the manifest keeps of it, so that a later look needs no model and no constitution."""
        return {"reads": list(self.reads), "output": self.output, "settings": self.settings}


def model_step(
    job: Job, name: str, source: str, role: str, settings: Json, reads: tuple[str, ...] = (), stage: str = ""
) -> Step:
    """The step that drives `stage` (default: the one `name` begins with) over `source` with the engine of `role`."""
    model = SFT_MODEL if role == "sft" else job.engine(role).fingerprint
    version = STAGES.load(stage or name.partition("-")[0]).VERSION
    settings = {"version": version, "model": model, "seed": job.recipe.seed, **settings}

    def run(job: Job) -> Json:
        return work.run_model_stage(job, name, source, role)

    return Step(name, (source, *reads), f"{name}.jsonl", settings, run, (f"{name}.rejected.jsonl",))


def principles_digest(job: Job, forms: tuple[Form, ...], chosen: Literal["drawn", "all", "named"]) -> Json:
    """A digest of each principle's text in `forms`, so that a plan can say which principle was edited.

    What chooses a principle counts too: weight and scope where it is `drawn`, the scope where `all` in reach are taken,
    nothing more where the rows name it.
    """
    digests: dict[str, str] = {}
    for one in job.constitution.principles:
        if all(one.form(form) and one.meant_for(form) for form in forms):
            whole: list[str | float] = [one.form(form) for form in forms]
            whole += [one.weight] if chosen == "drawn" else []
            whole += [repr(one.applies_to)] if chosen != "named" else []
            digests[one.id] = digest(whole)
    return {"principles": digests}


def examples_digest(job: Job, kind: Literal["revision", "comparison"], wanted: bool) -> Json:
    """A digest of the worked examples, None where they are not used."""
    if not wanted:
        return {"examples": None}
    examples = job.constitution.revision_examples if kind == "revision" else job.constitution.comparison_examples
    return {"examples": hashlib.sha256(repr(examples).encode()).hexdigest()[:16]}


def digest(value: object) -> str:
    """16 hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
