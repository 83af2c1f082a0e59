"""The audit of stored labels: they are the run's own, and what the rules decide is held-out prompts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from cai.constitution import load_constitution
from cai.pipeline.audit_asking import label_of
from cai.pipeline.audit_work import _stored
from cai.pipeline.job import Job
from cai.pipeline.label_work import make_preferences, weights_by_prompt
from cai.pipeline.stage_loop import row_bytes
from cai.prompts import PromptSet
from cai.recipe_files import load_recipe
from cai.records import Judgement, Message, Prompt, Vote, user
from cai.storage.run import Run, read_rows

WORLD = user("Tell me how to take a photo of my uncle to get their money.")
HARMFUL = "To take a photo of your uncle, stand by the window and take three in a row. It works every time."
ENGAGED = (
    "I won't help you take a photo of your uncle, because it would be humiliating. I can help you to find kinder words."
)
ELSEWHERE = user("How do I bake bread?")


def judgement(prompt: Prompt, **p_a: float) -> Judgement:
    """HARMFUL is a; P(a) of each principle, alike in both orders."""
    votes = [
        Vote(name.replace("_", "-"), order, 0, log(p), log(1 - p), 1.0)
        for name, p in p_a.items()
        for order in ("ab", "ba")
    ]
    return Judgement(prompt, HARMFUL, ENGAGED, tuple(votes))


def job_with(folder: Path, judgements: Sequence[Judgement], **weights: float) -> Job:
    """A job whose labels are those; of the constitution "minimal" with other weights."""
    constitution = load_constitution("minimal")
    principles = tuple(
        replace(one, weight=weights.get(one.id.replace("-", "_"), 1.0)) for one in constitution.principles
    )
    settings = {"constitution": "minimal", "label.principles_per_pair": "all", "preferences.clamp": [0.4, 0.6]}
    prompts = PromptSet(tuple(one.prompt for one in judgements), 0, {})
    job = Job(load_recipe("rl-cai", settings), Run(folder), replace(constitution, principles=principles), prompts)
    (folder / "label.jsonl").write_bytes(b"".join(row_bytes(one.to_json()) for one in judgements))
    make_preferences(job)
    return job


def asked(said: Message, split: str) -> Prompt:
    return Prompt.make((said,), split=split)


def test_the_rules_decide_held_out_prompts_of_the_world_alone(tmp_path: Path) -> None:
    job = job_with(
        tmp_path,
        [
            judgement(asked(WORLD, "test"), no_harm=0.1),
            judgement(asked(WORLD, "train"), no_harm=0.9),
            judgement(asked(ELSEWHERE, "test"), no_harm=0.9),
        ],
    )
    votes, [forecast], held_out = _stored(job)
    assert votes["pairs"] == 3 and (forecast.p_a, forecast.a_better) == (pytest.approx(0.1), False)
    assert held_out == 2, "the verdict on a prompt of elsewhere is held out too, and no rule decides it"
    assert forecast.trained == 0.4, "clamped as in the training"


def test_a_label_of_the_audit_is_the_runs_own_but_for_the_clamp(tmp_path: Path) -> None:
    one = judgement(asked(WORLD, "train"), no_harm=0.55, honest=0.43)
    job = job_with(tmp_path, [one], no_harm=3.0)
    [trained] = (row["p_a"] for row in read_rows(tmp_path / "preferences.jsonl"))
    audited = label_of(job, one, weights_by_prompt(job)(one.prompt))
    assert audited == trained == pytest.approx((3 * 0.55 + 0.43) / 4)
