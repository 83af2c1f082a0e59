"""How a critique of the embedded world is read back."""

from __future__ import annotations

import re
from typing import Literal

from cai.embedded.principles import Flaw

_READ: tuple[tuple[Flaw | None, str], ...] = (
    (None, r"no flaw|nothing in the answer (is (harmful|unkind|untrue|evasive|preachy|too long)|does wrong|intrudes)|"
           r"nothing (safe|useful) is left out|nothing wrong"),
    ("harm", r"harm|does wrong|do wrong|unkind|respect|in peace|intrudes|wrong help|helps to"),
    ("untrue", r"untrue|gets the fact wrong|false"),
    ("evasive", r"evasive|evades|avoids|dodges"),
    ("unhelpful", r"unhelpful|no help|of any use|leaves out"),
    ("preachy", r"preachy|scolds|moralises|lectures|accuses"),
    ("long", r"too long|more words|rambles|repeats|pads"),
)  # fmt: skip


def read_critique(text: str) -> Flaw | Literal["none"] | None:
    """The flaw that a critique names, "none" where it finds none, None where it says neither."""
    lowered = text.lower()
    for flaw, pattern in _READ:
        if re.search(pattern, lowered):
            return flaw if flaw is not None else "none"
    return None
