"""Axolotl: ``chat_template.default`` (DPO), ``{chatml,llama3}.prompt_pairs`` (KTO), ``bradley_terry.chat_template``
(reward, one turn; it looks up `system` in every row) and ``chat_template`` (SFT)."""

from __future__ import annotations

from cai.exports import Carries, Export, Row
from cai.exports.columns import Turn, answer_turn
from cai.exports.items import Answer, Demonstration, Pair, whole

_ONE_TURN = Carries(turns=False, any_order=False)


def _system(turns: list[Turn]) -> str:
    return str(turns[0]["content"]) if turns[0]["role"] == "system" else ""


def _preference(pair: Pair) -> Row:
    return {"messages": pair.turns, "chosen": answer_turn(pair.chosen), "rejected": answer_turn(pair.rejected)}


def _kto(one: Answer) -> Row:
    return {
        "system": _system(one.turns), "prompt": one.turns[-1]["content"], "completion": one.text, "label": one.label,
    }  # fmt: skip


def _reward(pair: Pair) -> Row:
    return {
        "system": _system(pair.turns), "input": pair.turns[-1]["content"], "chosen": pair.chosen,
        "rejected": pair.rejected,
    }  # fmt: skip


def _sft(one: Demonstration) -> Row:
    return {"messages": whole(one)}


PREFERENCE = Export(
    "Axolotl DPO",
    "pairs",
    _preference,
    {"messages": "turns", "chosen": "turn", "rejected": "turn"},
    usage="rl: dpo, datasets: [{path: FOLDER/train.jsonl, type: chat_template.default}]",
)
KTO = Export(
    "Axolotl KTO",
    "answers",
    _kto,
    {"system": "text", "prompt": "text", "completion": "text", "label": "bool"},
    carries=_ONE_TURN,
    usage="rl: kto, datasets: [{path: FOLDER/train.jsonl, type: chatml.prompt_pairs}] # or llama3.*",
)
REWARD = Export(
    "Axolotl reward",
    "pairs",
    _reward,
    {"system": "text", "input": "text", "chosen": "text", "rejected": "text"},
    carries=_ONE_TURN,
    usage="reward_model: true, datasets: [{path: FOLDER/train.jsonl, type: bradley_terry.chat_template}]",
)
SFT = Export(
    "Axolotl SFT",
    "demonstrations",
    _sft,
    {"messages": "turns"},
    usage="datasets: [{path: FOLDER/train.jsonl, type: chat_template}]",
)
