"""LLaMA-Factory: each folder is a ``dataset_dir`` with its ``dataset_info.json``; datasets are ``<format>_<split>``.

It skips dialogues whose turns do not alternate, so these formats do not carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cai.exports import ALTERNATING, Export, Row
from cai.exports.columns import Turn
from cai.exports.items import Answer, Demonstration, Pair, whole
from cai.records import Json

_TAGS = {"user": "human", "assistant": "gpt"}


def _system(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The system turn's text, or the empty string, and the turns after it."""
    if turns[0]["role"] == "system":
        return turns[0]["content"], turns[1:]
    return "", turns


def _tagged(turns: list[Turn]) -> list[dict[str, str]]:
    return [{"from": _TAGS[one["role"]], "value": one["content"]} for one in turns]


def _gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def _sharegpt(pair: Pair) -> Row:
    system, turns = _system(pair.turns)
    return {
        "system": system, "conversations": _tagged(turns), "chosen": _gpt(pair.chosen),
        "rejected": _gpt(pair.rejected),
    }  # fmt: skip


def _alpaca(pair: Pair) -> Row:
    """Earlier turns are its `history`. In JSON lines it would have no type where the first rows have none: Parquet."""
    system, turns = _system(pair.turns)
    texts = [one["content"] for one in turns]
    history = [texts[at : at + 2] for at in range(0, len(texts) - 1, 2)]
    return {
        "system": system, "history": history, "instruction": texts[-1], "input": "", "chosen": pair.chosen,
        "rejected": pair.rejected,
    }  # fmt: skip


def _kto(one: Answer) -> Row:
    system, turns = _system(one.turns)
    return {"system": system, "conversations": [*_tagged(turns), _gpt(one.text)], "kto_tag": one.label}


def _sft(one: Demonstration) -> Row:
    return {"messages": whole(one)}


def _entries(entry: Json) -> Any:
    """What writes ``dataset_info.json``: `entry` for each data file, under the format's name and the split's."""

    def beside(name: str, files: Sequence[str]) -> dict[str, Json]:
        datasets = {f"{name}_{file.partition('.')[0]}": {"file_name": file, **entry} for file in files}
        return {"dataset_info.json": datasets}

    return beside


_PAIR = {"chosen": "chosen", "rejected": "rejected", "system": "system"}
_OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "system_tag": "system",
}  # fmt: skip

SHAREGPT = Export(
    "LLaMA-Factory DPO, reward",
    "pairs",
    _sharegpt,
    {"system": "text", "conversations": "tagged_turns", "chosen": "tagged_turn", "rejected": "tagged_turn"},
    carries=ALTERNATING,
    files=("jsonl",),
    usage="stage: dpo, dataset_dir: FOLDER, dataset: llamafactory_sharegpt_train # or stage: rm",
    beside=_entries({"formatting": "sharegpt", "ranking": True, "columns": {"messages": "conversations", **_PAIR}}),
)
ALPACA = Export(
    "LLaMA-Factory DPO, reward",
    "pairs",
    _alpaca,
    {
        "system": "text", "history": "history", "instruction": "text", "input": "text", "chosen": "text",
        "rejected": "text",
    },
    carries=ALTERNATING,
    files=("parquet",),
    usage="stage: dpo, dataset_dir: FOLDER, dataset: llamafactory_alpaca_train # or stage: rm",
    beside=_entries(
        {"ranking": True, "columns": {"prompt": "instruction", "query": "input", "history": "history", **_PAIR}}
    ),
)  # fmt: skip
KTO = Export(
    "LLaMA-Factory KTO",
    "answers",
    _kto,
    {"system": "text", "conversations": "tagged_turns", "kto_tag": "bool"},
    carries=ALTERNATING,
    files=("jsonl",),
    usage="stage: kto, dataset_dir: FOLDER, dataset: llamafactory_kto_train",
    beside=_entries(
        {
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "kto_tag": "kto_tag", "system": "system"},
        }
    ),
)
SFT = Export(
    "LLaMA-Factory SFT",
    "demonstrations",
    _sft,
    {"messages": "turns"},
    carries=ALTERNATING,
    files=("jsonl",),
    usage="stage: sft, dataset_dir: FOLDER, dataset: llamafactory_sft_train",
    beside=_entries({"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _OPENAI_TAGS}),
)
