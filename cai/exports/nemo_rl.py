"""NeMo-RL: ``PreferenceDataset`` (ranked completions) and ``BinaryPreferenceDataset`` (one turn, as texts)."""

from __future__ import annotations

from cai.exports import Carries, Export, Row
from cai.exports.columns import answer_turn
from cai.exports.items import Pair


def _ranked(pair: Pair) -> Row:
    """Rank 0 is the better one."""
    completions = [
        {"rank": rank, "completion": [answer_turn(text)]} for rank, text in enumerate((pair.chosen, pair.rejected))
    ]
    return {"context": pair.turns, "completions": completions}


def _binary(pair: Pair) -> Row:
    return {"prompt": pair.turns[-1]["content"], "chosen": pair.chosen, "rejected": pair.rejected}


PREFERENCE = Export(
    "NeMo-RL DPO, reward",
    "pairs",
    _ranked,
    {"context": "turns", "completions": "ranked"},
    usage="data: {train: {dataset_name: PreferenceDataset, data_path: FOLDER/train.jsonl}}",
)
BINARY = Export(
    "NeMo-RL DPO, reward",
    "pairs",
    _binary,
    {"prompt": "text", "chosen": "text", "rejected": "text"},
    carries=Carries(turns=False, system=False, any_order=False),
    usage="data: {train: {dataset_name: BinaryPreferenceDataset, data_path: FOLDER/train.jsonl}}",
)
