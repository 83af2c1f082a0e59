"""Text whose words no spaces set apart (Chinese, Japanese, Thai, Khmer, …): its characters, and what it speaks of."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\uff66-\uff9f{_HAN}"
"""The characters of such scripts, as the inside of a regular expression's brackets."""
_LETTER = re.compile(rf"(?=\w)[{UNSPACED}]")
_CHARACTER = re.compile(rf"{_LETTER.pattern}[^\w\s]*|(?:(?!{_LETTER.pattern})\S)+")
_TERMS = (
    re.compile(rf"[^\W{UNSPACED}]{{4,}}"),
    re.compile(rf"(?=([{_HAN}]{{2}}))"),
    re.compile(rf"(?=((?![\u3040-\u309f]{{4}})[{UNSPACED}]{{4}}))"),
)


def is_unspaced(text: str) -> bool:
    """Whether spaces set no words apart: between two of them stand more than two letters of such scripts on average."""
    return len(_LETTER.findall(text)) > 2 * len(text.split())


def characters(text: str) -> list[str]:
    """Each letter of such a script with the marks and punctuation behind it; words of other scripts whole."""
    return _CHARACTER.findall(text)


def joined(pieces: Sequence[str]) -> str:
    """Pieces of `characters` as one text, in which spaces stand around words of other scripts alone."""
    return " ".join("".join(one if _LETTER.match(one) else f" {one} " for one in pieces).split())


def terms(text: str) -> set[str]:
    """What a text without spaces speaks of: any two Han characters, or four of any such script, that stand together.

    Four of hiragana alone are left out, for they are seldom more than an ending. Of other scripts, words of four
    letters or more.
    """
    plain = text.casefold()
    return {term for pattern in _TERMS for term in pattern.findall(plain)}
