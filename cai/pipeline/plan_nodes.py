"""The steps of a recipe that ask a model, as a plan sees them: what each reads, asks, and of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cai.pipeline.job import Job
from cai.pipeline.spending import scored_tokens
from cai.pipeline.step import Step
from cai.pipeline.work import stage_of
from cai.recipe import Recipe
from cai.records import ChoiceScores, Completion, GenerateRequest, Json, Kind, Request
from cai.stages import STAGES, Stage
from cai.storage.run import read_rows

PLACEHOLDER = 240
"""Characters of a text that is not there yet, where nothing is known of its length."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step that asks a model. `fingerprint` is None while the model itself is still to be trained.

    `scored` is how many tokens the engine writes to score choices (`spending.scored_tokens`).
    `why` says why the step is to be done; it is empty for one that is up to date.
    """

    step: str
    source: str
    role: str
    stage: Stage
    fingerprint: str | None
    why: str
    scored: int = 0


def model_nodes(job: Job, steps: Sequence[Step], stale: Mapping[str, str]) -> list[Node]:
    """Those of `steps` that ask a model about rows, in order."""
    nodes = []
    for step in steps:
        if step.name.partition("-")[0] in STAGES:
            role = role_of(job.recipe, step.name)
            fingerprint = None if role == "sft" and "sft" in stale else job.engine(role).fingerprint
            why = stale.get(step.name, "")
            scored = 0 if role == "sft" else scored_tokens(job.engine(role).spec)
            nodes.append(Node(step.name, step.reads[0], role, stage_of(job, step.name), fingerprint, why, scored))
    return nodes


def role_of(recipe: Recipe, step: str) -> str:
    """Whose model a step asks."""
    match step.partition("-")[0]:
        case "respond" | "revise":
            return "model"
        case "critique":
            return "critic"
        case "sample":
            return "sft" if recipe.sample.policy == "sft" else "model"
    return "judge"


def source_rows(job: Job, source: str) -> Iterator[Json]:
    """The rows that a step reads: the job's prompts, or a file of the run."""
    if source == "prompts":
        return (prompt.to_json() for prompt in job.prompts.prompts)
    return read_rows(job.run.path(f"{source}.jsonl"))


def prompt_of(row: Json) -> Json:
    """The prompt that a row of any stage is about."""
    found: Json = row.get("prompt", row)
    return found


def kind_of(row: Json) -> Kind:
    kind: Kind = prompt_of(row)["kind"]
    return kind


def characters(request: Request) -> int:
    """Characters that a model reads before it answers."""
    return sum(len(message.content) for message in request.messages) + len(request.prefix)


def placeholder(step: str, request: Request, number: int, length: float) -> Completion | ChoiceScores:
    """Stands for an answer to `step` that is not there yet: about `length` characters, unlike any other of its row."""
    if not isinstance(request, GenerateRequest):
        return ChoiceScores(tuple(-1.0 for _ in request.choices), 0)
    head = f"({step} {number})"
    return Completion(head + " word" * max(1, round((length - len(head)) / 5)), "stop", 0, 0)
