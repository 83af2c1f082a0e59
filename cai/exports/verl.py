"""verl: prompts for RL with a reward model, and multi-turn SFT. Both are read from Parquet."""

from __future__ import annotations

from cai.exports import Export, Row
from cai.exports.items import Asked, Demonstration, whole


def _rl(asked: Asked) -> Row:
    """`index` is a number made of the prompt's id: the same prompt has it in every export."""
    columns = asked.columns
    return {
        "data_source": "cai",
        "prompt": asked.turns,
        "ability": asked.prompt.kind,
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": columns["split"], "index": int(asked.prompt.id[:12], 16), **_but_split(columns)},
    }


def _but_split(columns: Row) -> Row:
    return {name: value for name, value in columns.items() if name != "split"}


def _sft(one: Demonstration) -> Row:
    return {"messages": whole(one)}


RL = Export(
    "verl RL",
    "prompts",
    _rl,
    {
        "data_source": "text",
        "prompt": "turns",
        "ability": "text",
        "reward_model": "reward_model",
        "extra_info": "extra_info",
    },
    files=("parquet",),
    usage="data.train_files=FOLDER/train.parquet data.prompt_key=prompt",
)
SFT = Export(
    "verl SFT",
    "demonstrations",
    _sft,
    {"messages": "turns"},
    files=("parquet",),
    usage="data.train_files=FOLDER/train.parquet data.messages_key=messages",
)
