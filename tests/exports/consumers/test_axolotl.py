"""Axolotl's `prepare_preference_datasets` and `prepare_datasets` read what is exported, JSONL and then Parquet."""

from __future__ import annotations

import pytest

from cai.records import Message
from tests.exports.consumers.source import answers, demonstrations, dialogue, pairs, said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_preference(read):
    rows = read("axolotl")["preference"]
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in rows] == 2 * [
        (dialogue(turns), f"{chosen}<|eos|>", f"{rejected}<|eos|>") for turns, chosen, rejected, _ in pairs()
    ]


def test_kto(read):
    rows = read("axolotl")["kto"]
    assert [(row["prompt"], row["completion"], row["label"]) for row in rows] == 2 * [
        ("".join(map(chatml, turns)) + "<|im_start|>assistant\n", f"{text}<|im_end|>", label)
        for turns, text, label in answers(one_turn=True)
    ]


def chatml(one: Message) -> str:
    return f"<|im_start|>{one.role}\n{one.content}<|im_end|>\n"


def test_reward_where_a_row_without_system_gets_an_empty_system_turn(read):
    nobody = Message("system", "")
    wanted = [
        (turns if turns[0].role == "system" else (nobody, *turns), chosen, rejected)
        for turns, chosen, rejected, _ in pairs(one_turn=True)
    ]
    assert read("axolotl")["reward"] == 2 * [
        {
            "chosen_ids": dialogue(turns, chosen),
            "labels_chosen": 1.0,
            "rejected_ids": dialogue(turns, rejected),
            "labels_rejected": 0.0,
        }
        for turns, chosen, rejected in wanted
    ]


def test_sft_learns_every_turn(read):
    assert read("axolotl")["sft"] == 2 * [
        {"input_ids": dialogue(turns, answer), "labels": "".join(said(turns, answer))}
        for turns, answer in demonstrations()
    ]
