"""Transcripts as HH-RLHF has them: ``"\\n\\nHuman: …\\n\\nAssistant: …"``, whole dialogues in `chosen` and `rejected`.

They have no system turn. A text with a speaker's mark inside would be read as two turns, so its row is left out.
"""

from __future__ import annotations

from cai.exports import Carries, Export, LeftOut, Row
from cai.exports.items import Pair

_SPEAKERS = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
_MARKS = ("\n\nHuman:", "\n\nAssistant:")


def _transcripts(pair: Pair) -> Row | LeftOut:
    texts = [one["content"] for one in pair.turns]
    if any(mark in text for text in (*texts, pair.chosen, pair.rejected) for mark in _MARKS):
        return LeftOut("turn_marker_in_text")
    before = "".join(_SPEAKERS[one["role"]] + one["content"] for one in pair.turns) + _SPEAKERS["assistant"]
    return {"chosen": before + pair.chosen, "rejected": before + pair.rejected}


TRANSCRIPTS = Export(
    "HH-RLHF",
    "pairs",
    _transcripts,
    {"chosen": "text", "rejected": "text"},
    carries=Carries(system=False, any_order=False),
    usage="FOLDER in place of Anthropic/hh-rlhf: transcripts under chosen and rejected",
)
