"""LLaMA-Factory's `get_dataset` reads what is exported, by the dataset_info.json beside it."""

from __future__ import annotations

import pytest

from tests.exports.consumers.source import answers, demonstrations, dialogue, in_json, pairs, said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def converted(turns, *responses):
    """A row as the converters make it: the system's text apart from the turns."""
    system = turns[0].content if turns[0].role == "system" else ""
    return {
        "prompt": in_json(turns[1:] if system else turns),
        "response": [{"role": "assistant", "content": text} for text in responses],
        "system": system,
        "tools": "",
    }


def plain(text: str) -> str:
    """Without the beginning of sequence, which its reading of the chat template writes before every user turn."""
    return text.replace("<|bos|>", "")


@pytest.mark.parametrize("name", ["llamafactory_sharegpt", "llamafactory_alpaca"])
def test_pairs(name, read):
    seen = read("llamafactory")
    assert seen[f"{name} converted"] == [converted(turns, chosen, rejected) for turns, chosen, rejected, _ in pairs()]
    assert len(seen[f"{name} processed"]) == len(pairs())
    for row, (turns, *sides, _) in zip(seen[f"{name} processed"], pairs(), strict=True):
        for side, text in zip(("chosen", "rejected"), sides, strict=True):
            assert plain(row[f"{side}_input_ids"]) == plain(dialogue(turns, text))
            assert row[f"{side}_labels"] == f"{text}<|eos|>"


def test_kto(read):
    rows = read("llamafactory")["llamafactory_kto processed"]
    wanted = list(answers())
    assert [plain(row["input_ids"]) for row in rows] == [plain(dialogue(turns, text)) for turns, text, _ in wanted]
    assert [row["labels"] for row in rows] == [f"{text}<|eos|>" for _, text, _ in wanted]
    assert [row["kto_tags"] for row in rows] == [label for *_, label in wanted]


def test_sft_learns_every_turn(read):
    seen = read("llamafactory")
    assert seen["llamafactory_sft converted"] == [converted(turns, answer) for turns, answer in demonstrations()]
    for row, (turns, answer) in zip(seen["llamafactory_sft processed"], demonstrations(), strict=True):
        assert plain(row["input_ids"]) == plain(dialogue(turns, answer))
        assert row["labels"] == "".join(said(turns, answer))
