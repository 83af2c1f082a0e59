"""TRL's conversational formats; the reward trainer reads `margin` where it is there."""

from __future__ import annotations

from cai.exports import Export, Row
from cai.exports.columns import answer_turn
from cai.exports.items import Answer, Asked, Demonstration, Pair, whole


def _sft(one: Demonstration) -> Row:
    return {"messages": whole(one)}


def _prompt_completion(one: Demonstration) -> Row:
    return {"prompt": one.turns, "completion": [answer_turn(one.answer)]}


def _preference(pair: Pair) -> Row:
    return {"prompt": pair.turns, "chosen": [answer_turn(pair.chosen)], "rejected": [answer_turn(pair.rejected)]}


def _implicit(pair: Pair) -> Row:
    chosen, rejected = answer_turn(pair.chosen), answer_turn(pair.rejected)
    return {"chosen": [*pair.turns, chosen], "rejected": [*pair.turns, rejected]}


def _unpaired(one: Answer) -> Row:
    return {"prompt": one.turns, "completion": [answer_turn(one.text)], "label": one.label}


def _prompt(asked: Asked) -> Row:
    return {"prompt": asked.turns}


_THREE = {"prompt": "turns", "chosen": "turns", "rejected": "turns"}
_COMPLETION = {"prompt": "turns", "completion": "turns"}

SFT = Export(
    "TRL SFT", "demonstrations", _sft, {"messages": "turns"}, usage='SFTTrainer(train_dataset=data["train"])'
)  # fmt: skip
PROMPT_COMPLETION = Export(
    "TRL SFT",
    "demonstrations",
    _prompt_completion,
    _COMPLETION,
    usage='SFTTrainer(train_dataset=data["train"]) # learns the completion alone',
)
PREFERENCE = Export(
    "TRL DPO, reward",
    "pairs",
    _preference,
    _THREE,
    margin=True,
    usage='DPOTrainer(train_dataset=data["train"]) # or RewardTrainer',
)
IMPLICIT_PREFERENCE = Export(
    "TRL reward, DPO",
    "pairs",
    _implicit,
    {"chosen": "turns", "rejected": "turns"},
    margin=True,
    usage='RewardTrainer(train_dataset=data["train"]) # or DPOTrainer',
)
UNPAIRED_PREFERENCE = Export(
    "TRL KTO",
    "answers",
    _unpaired,
    {**_COMPLETION, "label": "bool"},
    usage='KTOTrainer(train_dataset=data["train"])',
)
PROMPTS = Export(
    "TRL GRPO, RLOO",
    "prompts",
    _prompt,
    {"prompt": "turns"},
    usage='GRPOTrainer(train_dataset=data["train"]) # or RLOOTrainer',
)
