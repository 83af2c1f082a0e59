"""What of a prompt is compared with other prompts: its turns in one spelling, and the words of a turn."""

from __future__ import annotations

import re
import unicodedata

from cai.records import Prompt
from cai.unspaced import UNSPACED

_WORD = re.compile(f"[{UNSPACED}]|[^\\W_{UNSPACED}]+")
"""A run of letters and digits; in scripts that set no spaces (Chinese, Japanese, Thai, Khmer, …), one character."""


def words(text: str) -> list[str]:
    """The words of a text without case, compatibility forms (NFKC) and punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def turns_compared(prompt: Prompt) -> list[str]:
    """The texts of its user and assistant turns. Not the system's: one such text stands before many prompts."""
    return [message.content for message in prompt.messages if message.role != "system"]


def plain_text(prompt: Prompt) -> str:
    """All turns compared as one text of words with single spaces; where there is no word at all, the turns as given."""
    found = [word for turn in turns_compared(prompt) for word in words(turn)]
    return " ".join(found) or "\n".join(turns_compared(prompt))
