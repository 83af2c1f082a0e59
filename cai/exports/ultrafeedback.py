"""The schema of UltraFeedback-binarized. Its `prompt` is one text, so a row is one turn; scores are probabilities.

HuggingFaceH4/ultrafeedback_binarized has the splits `train_prefs`, `train_sft`, `train_gen` and the same three of
`test`; here they are `train` and `test`, as in every format. alignment-handbook takes the names from `dataset_splits`.
"""

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
    usage="dataset_mixer: {FOLDER: 1.0}, dataset_splits: [train, test] # not train_prefs, test_prefs",
)  # fmt: skip
