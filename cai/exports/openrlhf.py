"""OpenRLHF with ``--data.apply_chat_template``.

`openrlhf_preference` is for ``--data.prompt_key prompt``; `openrlhf_sft` for ``--data.input_key input`` without an
output key, whether or not all turns are trained on; `openrlhf_prompts` for ``--data.input_key input``.
"""

from __future__ import annotations

from cai.exports import Export, Row
from cai.exports.columns import answer_turn
from cai.exports.items import Asked, Demonstration, Pair, whole


def _preference(pair: Pair) -> Row:
    return {"prompt": pair.turns, "chosen": [answer_turn(pair.chosen)], "rejected": [answer_turn(pair.rejected)]}


def _sft(one: Demonstration) -> Row:
    return {"input": whole(one)}


def _prompt(asked: Asked) -> Row:
    return {"input": asked.turns, "datasource": "cai"}


PREFERENCE = Export(
    "OpenRLHF reward, DPO",
    "pairs",
    _preference,
    {"prompt": "turns", "chosen": "turns", "rejected": "turns"},
    margin=True,
    usage="--data.dataset FOLDER/train.jsonl --data.apply_chat_template --data.prompt_key prompt",
)
SFT = Export(
    "OpenRLHF SFT",
    "demonstrations",
    _sft,
    {"input": "turns"},
    usage="--data.dataset FOLDER/train.jsonl --data.apply_chat_template --data.input_key input",
)
PROMPTS = Export(
    "OpenRLHF PPO",
    "prompts",
    _prompt,
    {"input": "turns", "datasource": "text"},
    usage="--data.prompt_dataset FOLDER/train.jsonl --data.apply_chat_template --data.input_key input",
)
