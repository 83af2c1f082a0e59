"""NeMo-RL's rows against the schema that its documentation gives: its package on the index holds no code.

A preference has a `context` and two `completions` of unequal `rank`, the lower the better; the binary form has texts
under `prompt`, `chosen` and `rejected` (NeMo-RL's guides "dpo" and "rm").
"""

from __future__ import annotations

import datasets
import pytest
from jsonschema import Draft202012Validator

from tests.exports.consumers.source import in_json, pairs

KINDS = pytest.mark.parametrize("kind", ["jsonl", "parquet"])
TEXT = {"type": "string"}
TURN = {
    "type": "object",
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": TEXT},
    "required": ["role", "content"],
    "additionalProperties": False,
}
COMPLETION = {
    "type": "object",
    "properties": {
        "rank": {"type": "integer"},
        "completion": {
            "type": "array",
            "items": TURN | {"properties": TURN["properties"] | {"role": {"const": "assistant"}}},
            "minItems": 1,
            "maxItems": 1,
        },
    },
    "required": ["rank", "completion"],
    "additionalProperties": False,
}
RANKED = {
    "type": "object",
    "properties": {
        "context": {"type": "array", "items": TURN, "minItems": 1},
        "completions": {"type": "array", "items": COMPLETION, "minItems": 2, "maxItems": 2},
    },
    "required": ["context", "completions"],
}
BINARY = {
    "type": "object",
    "properties": {"prompt": TEXT, "chosen": TEXT, "rejected": TEXT},
    "required": ["prompt", "chosen", "rejected"],
}


def rows(exported, name: str, kind: str, schema: dict, cache) -> list[dict]:
    """All rows, as `datasets` loads them for NeMo-RL, each held against the schema."""
    builder = "json" if kind == "jsonl" else kind
    loaded: list[dict] = []
    for split in ("train", "test"):
        path = str(exported / name / f"{split}.{kind}")
        loaded += datasets.load_dataset(builder, data_files=path, split="train", cache_dir=str(cache))
    for row in loaded:
        Draft202012Validator(schema).validate(row)
    return loaded


@KINDS
def test_ranked_completions(exported, kind, tmp_path):
    found = rows(exported, "nemo_rl_preference", kind, RANKED, tmp_path)
    assert [row["context"] for row in found] == [in_json(turns) for turns, *_ in pairs()]
    for row, (_, chosen, rejected, _) in zip(found, pairs(), strict=True):
        better, worse = sorted(row["completions"], key=lambda one: one["rank"])
        assert better["rank"] < worse["rank"]
        assert (better["completion"][0]["content"], worse["completion"][0]["content"]) == (chosen, rejected)


@KINDS
def test_binary(exported, kind, tmp_path):
    found = rows(exported, "nemo_rl_binary", kind, BINARY, tmp_path)
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in found] == [
        (one.content, chosen, rejected) for (one,), chosen, rejected, _ in pairs(one_turn=True, system=False)
    ]
