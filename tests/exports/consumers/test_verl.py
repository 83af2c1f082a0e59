"""verl's `RLHFDataset`, `MultiTurnSFTDataset` and `RMDataset` read what is exported."""

from __future__ import annotations

import pytest

from tests.exports.consumers.source import demonstrations, dialogue, in_json, pairs, prompts, said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_rl_prompts(read):
    rows = read("verl")["rl"]
    assert [row["raw_prompt"] for row in rows] == [in_json(one.messages) for one in prompts()]
    assert {(row["data_source"], *row["reward_model"].values()) for row in rows} == {("cai", "model", "")}
    assert [(row["ability"], row["extra_info"]["split"]) for row in rows] == [
        (one.kind, one.split) for one in prompts()
    ]
    assert all(row["index"] == row["extra_info"]["index"] for row in rows)
    assert len({row["index"] for row in rows}) == len(rows)


def test_sft_learns_every_turn(read):
    assert read("verl")["sft"] == [
        {"text": dialogue(turns, answer), "learned": "".join(said(turns, answer))} for turns, answer in demonstrations()
    ]


def test_reward_pairs_as_texts(read):
    assert read("verl")["reward"] == [
        {"chosen": f"{one.content}{chosen}<|eos|>", "rejected": f"{one.content}{rejected}<|eos|>"}
        for (one,), chosen, rejected, _ in pairs(one_turn=True, system=False)
    ]
