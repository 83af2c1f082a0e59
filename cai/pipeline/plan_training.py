"""How long training takes: a few steps of the real trainer on the probe's texts, in a temporary folder, thrown away."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from cai.errors import TrainingError
from cai.exports import LeftOut, load_export
from cai.pipeline.job import Job
from cai.pipeline.label_work import mixed_in
from cai.recipe import RewardSettings, SFTSettings
from cai.records import SPLITS, Draft, Json, Judgement, Message, Messages, Preference, Split

STEPS = 4
"""Steps that are timed, after a first one that is not."""
_FORWARD = 0.45
"""What scoring a pair's two answers costs, of a training step's share for it: one pass of three, without packing."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training to come: its steps, and what was measured of it, in seconds; None where nothing could be."""

    steps: int
    each: float | None = None
    start: float = 0.0
    after: float = 0.0
    timed: str = "probe"

    @property
    def seconds(self) -> float | None:
        return None if self.each is None else self.start + self.steps * self.each + self.after


class _Enough(Exception):
    """Raised inside the trainer once the steps are timed: nothing is saved."""


def sft_training(job: Job, drafts: Sequence[Json], folder: Path, measure: bool) -> Training:
    """Steps from how many rows a draft of each kind gives; their time from the probe's drafts."""
    settings, export = job.recipe.sft, load_export("sft", job.recipe)
    per_kind: dict[str, list[int]] = {}
    dialogues: list[Messages] = []
    for row in drafts:
        made = [one for one in export.rows([Draft.from_json(row)]) if not isinstance(one, LeftOut)]
        per_kind.setdefault(row["prompt"]["kind"], []).append(len(made))
        dialogues += [tuple(Message.from_json(turn) for turn in one["messages"]) for one in made]
    trained = Counter(prompt.kind for prompt in job.prompts.prompts if prompt.split == "train")
    rows = sum(count * sum(per_kind.get(kind, [1])) / len(per_kind.get(kind, [1])) for kind, count in trained.items())
    steps = max(1, round(settings.epochs * math.ceil(rows / settings.batch_size)))
    if not measure or not dialogues:
        return Training(steps)
    timed = _timed("sft", job, job.weights(settings.init), dialogues, settings, folder)
    return replace(timed, steps=steps)


def reward_training(job: Job, judged: Sequence[Json], pairs: float, folder: Path, measure: bool) -> Training:
    """Of about `pairs` labelled pairs and the human ones, those of train prompts are trained on, the others scored."""
    settings = job.recipe.reward
    kinds = job.recipe.sample.kinds
    splits = Counter(prompt.split for prompt in job.prompts.prompts if prompt.kind in kinds)
    share = splits["train"] / max(1, splits.total())
    own: dict[Split, int] = {"train": round(pairs * share), "test": round(pairs * (1 - share))}
    mix = mixed_in(job, own).counts
    trained, scored = (own[side] + mix.get(side, {"human": 0})["human"] for side in SPLITS)
    steps = max(1, round(settings.epochs * math.ceil(trained / settings.batch_size)))
    if not measure or not judged:
        return Training(steps)
    made = [Judgement.from_json(row) for row in judged]
    preferences = [Preference(one.prompt, one.response_a, one.response_b, 0.8) for one in made]
    init = "model" if settings.init == "sft" else settings.init
    timed = _timed("reward", job, job.weights(init), preferences, settings, folder)
    if timed.each is None:
        return Training(steps)
    after = _FORWARD * timed.each / settings.batch_size * scored
    return replace(timed, steps=steps, after=after)


def _timed(
    name: str, job: Job, model: Path, rows: Sequence[Any], settings: SFTSettings | RewardSettings, folder: Path
) -> Training:
    from cai.training import TRAINERS

    epochs = float(1 + math.ceil((STEPS + 2) * settings.batch_size / len(rows)))
    stamps = [time.monotonic()]

    def watch(step: int, total: int, loss: float) -> None:
        stamps.append(time.monotonic())
        if len(stamps) > STEPS + 2:
            raise _Enough

    job.release()
    with suppress(_Enough, TrainingError):
        TRAINERS.load(name)(
            model, rows, folder / f"model-{name}", replace(settings, epochs=epochs), job.recipe.seed,
            checkpoints=folder / f"checkpoints-{name}", progress=watch, template=job.recipe.engine.template,
        )  # fmt: skip
    if len(stamps) < 4:
        return Training(0)
    each = median(after - before for before, after in pairwise(stamps[2:]))
    return Training(0, each, max(0.0, stamps[1] - stamps[0] - each))
