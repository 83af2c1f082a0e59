"""The schema of UltraFeedback-binarized. Its `prompt` is one text, so a row is one turn; scores are probabilities."""

from __future__ import annotations

from cai.exports import Carries, Export, Row
from cai.exports.columns import answer_turn
from cai.exports.items import Pair


def _binarized(pair: Pair) -> Row:
    """`score_chosen` is the probability that `chosen` is the better answer, `score_rejected` the rest of it."""
    chosen, p = [*pair.turns, answer_turn(pair.chosen)], pair.columns["p_chosen"]
    return {
        "prompt": pair.turns[-1]["content"],
        "prompt_id": pair.prompt.id,
        "chosen": chosen,
        "rejected": [*pair.turns, answer_turn(pair.rejected)],
        "messages": chosen,
        "score_chosen": p,
        "score_rejected": 1.0 - p,
    }


BINARIZED = Export(
    "UltraFeedback-binarized",
    "pairs",
    _binarized,
    {
        "prompt": "text", "prompt_id": "text", "chosen": "turns", "rejected": "turns", "messages": "turns",
        "score_chosen": "float", "score_rejected": "float",
    },
    carries=Carries(turns=False, system=False, any_order=False),
    usage="FOLDER in place of HuggingFaceH4/ultrafeedback_binarized: splits train and test",
)  # fmt: skip
