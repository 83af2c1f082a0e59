"""OpenRLHF's `RewardDataset`, `SFTDataset` and `PromptDataset` read what is exported."""

from __future__ import annotations

import pytest

from tests.exports.consumers.source import demonstrations, dialogue, margin, pairs, prompts, said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KINDS = pytest.mark.parametrize("kind", ["jsonl", "parquet"])


@KINDS
def test_reward_pairs(read, kind):
    rows = read("openrlhf")[f"preference reward {kind}"]
    assert [(row["chosen"], row["rejected"]) for row in rows] == [
        (dialogue(turns, chosen), dialogue(turns, rejected)) for turns, chosen, rejected, _ in pairs()
    ]
    assert [row["margin"] for row in rows] == pytest.approx([margin(p) for *_, p in pairs()])


@KINDS
def test_dpo_pairs(read, kind):
    assert read("openrlhf")[f"preference dpo {kind}"] == [
        {"chosen": dialogue(turns, chosen), "rejected": dialogue(turns, rejected), "prompt": dialogue(turns)}
        for turns, chosen, rejected, _ in pairs()
    ]


@KINDS
def test_sft_learns_the_last_turn_or_every_one(read, kind):
    assert read("openrlhf")[f"sft last turn {kind}"] == [
        {"text": dialogue(turns, answer), "learned": said((), answer)} for turns, answer in demonstrations()
    ]
    assert read("openrlhf")[f"sft every turn {kind}"] == [
        {"text": dialogue(turns, answer), "learned": said(turns, answer)} for turns, answer in demonstrations()
    ]


@KINDS
def test_prompts_for_ppo(read, kind):
    assert read("openrlhf")[f"prompts {kind}"] == [
        {"datasource": "cai", "prompt": dialogue(one.messages), "label": "", "images": None} for one in prompts()
    ]
