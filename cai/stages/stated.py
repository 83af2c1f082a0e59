"""The verdict that a judge's own words come to, in the forms in which judges state one; nothing is guessed.

A verdict is written after "Answer:" or the like, wherever that stands, or said in the last paragraph: "Response (B) is
better", "the answer is (A)", a label alone on the last line. Words that take it back, that doubt it or that name the
other answer beside it make it none.
"""

from __future__ import annotations

import re

from cai.dialogues import LABELS

_MARKUP = re.compile(r"[*_`#]")
_SENTENCE_END = re.compile(r"""[.!?]["')\]]*(?:\s+|$)|\n""")
_NOUN = r"(?:(?i:response|answer|option|choice)\s+)"
_NAME = rf"{_NOUN}?(?:\(([AB])\)|\b([AB])\b)"
_ENDED = r"(?=[^\S\n]*(?:$|[\n.,;:!–—(]|-\s|(?i:because|since|as|than|over|under|according)\b))"
_BETTER = r"(?i:better|best|preferable|preferred|superior)"
_WHAT = r"(?i:response|answer|option|choice|one)"
_ADVERBS = r"(?:(?i:also|clearly|much|far|slightly|therefore|thus|hence|overall|ultimately|still|definitely)\s+)*"

_MARK = re.compile(
    rf"(?<!\w)(?:(?i:answer|verdict|choice|decision|winner|preference|judge?ment)|{_BETTER}\s+{_WHAT})"
    r"(?:\s+is)?\s*:\s*"
)
_WRITTEN = re.compile(rf"\(?([AB])(?:\)(?!\w)|{_ENDED})|(?i:the\s+)?{_NOUN}\(?([AB])\b\)?{_ENDED}")
_SAID = re.compile(
    rf"(?:{_NAME}\s+(?i:is|would\s+be|remains)\s+{_ADVERBS}(?:the\s+|a\s+)?(?:{_BETTER}|(?i:winner))"
    rf"(?:\s+(?:{_WHAT}|(?i:overall|here|of\s+the\s+two)))*"
    rf"|{_NAME}\s+(?i:wins)"
    rf"|(?:{_BETTER}\s+{_WHAT}|(?i:answer|verdict|choice|decision|winner|preference))\s+is,?\s+{_ADVERBS}{_NAME}"
    rf"|(?i:choose|pick|select|prefer|favou?r|go\s+with)\s+{_NAME}){_ENDED}"
)
_LONE = re.compile(rf"{_NOUN}?\(?([AB])\)?[.!]?")

_LEADS = frozenset(
    re.findall(
        r"\w+",
        """a all and as balance based basis believe best better but choose clear clearly conclude conclusion correct d
    end final finally find follows for have hence here i in is it judge judgement judgment ll mean meaning means must my
    on opinion overall own preferred reason reasons result right say short so summary that the then therefore these
    think this thus to ultimately verdict view we which whole will would yet""",
    )
)
"""All that may stand between the last comma and a verdict."""
_SO = frozenset(("but", "hence", "so", "therefore", "thus", "yet"))
_ASIDE = re.compile(r"\s*(?:while|(?:even\s+)?though|although|whereas|since|because|as|unlike|given)\b", re.IGNORECASE)
_DOUBT = re.compile(
    r"\b(?:if|whether|unless|depend\w*|unclear|unsure|hard\s+to|might|"
    r"(?:not|cannot|never|\w+n['’]t)\s+(?:\w+\s+)?(?:think|say|believe|conclude|clear|sure|certain|obvious))\b",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"\b(?:but|however|although|though|unless|if|while|whereas|except|nevertheless|nonetheless|still)\b", re.IGNORECASE
)
_REASON = re.compile(r"\b(?:because|since|as)\b.*")
_CONTRAST = re.compile(r"\b(?:while|whereas|unlike|though|although)\b.*")
_TURNED = re.compile(
    rf"\s*(?:\?|(?i:is|was|seems|would\s+be)\s+{_ADVERBS}(?:(?i:the\s+)?(?i:worse|worst|inferior|wrong)"
    rf"|(?i:not\s+(?:the\s+|a\s+)?)(?:{_BETTER}|(?i:right|correct|winner))))"
)
_CORRECTED = r"\b(?i:no\s*[,.;:!–—-]|(?:wait|actually|sorry|correction)\b)"
_AGAINST = re.compile(rf"\b(?:than|over|to|with|of)\s+(?:the\s+)?{_NOUN}?\(?[AB]\b\)?")


def stated_verdict(text: str, ended: bool = True) -> str | None:
    """The label that `text` states as its verdict, "A" or "B"; None where it states none, or one as well as the other.

    Of a text that was cut off (not `ended`) only a verdict that is written counts: what was said last was not its end.
    """
    plain = plainly(text)
    found: set[str] = set()
    after = 0
    for mark in _MARK.finditer(plain):
        if not (mark.group()[0].isupper() or _is_claimed(_opening(plain[: mark.start()]))):
            continue
        after = mark.end()
        if written := _WRITTEN.match(plain, after):
            label, after = _label(written), written.end()
            sentence, _ = _closing(plain[after:])
            found |= {label} if _alone(label, sentence) else set(LABELS)
    if ended:
        found |= _said_last(plain[after:])
    return found.pop() if len(found) == 1 else None


def takes_back(label: str, rest: str) -> bool:
    """Whether `rest`, which follows a verdict for `label` at once, takes it back or names the other one beside it."""
    plain, other = plainly(rest), _other(label)
    sentence, later = _closing(plain)
    for aside in (_CONTRAST, _REASON, _AGAINST, re.compile(rf"\bnot\s+{_NOUN}?\(?{other}\b\)?")):
        sentence = aside.sub("", sentence)
    named = rf"(?:\({other}\)|{_NOUN}{other}\b|\b(?i:or|maybe|perhaps|no,?|wait,?)\s+{other}\b)"
    return bool(_TURNED.match(plain) or re.search(named, sentence) or re.search(rf"{_CORRECTED}.*{named}", later))


def plainly(text: str) -> str:
    """`text` without the marks of bold, italic, code and headings."""
    return _MARKUP.sub("", text)


def _said_last(text: str) -> set[str]:
    """The labels that the last paragraph says are better."""
    [*_, last] = re.split(r"\n\s*\n", text.strip())
    if lone := _LONE.fullmatch(last.rpartition("\n")[2].strip()):
        return {lone[1]}
    said = [match for match in _SAID.finditer(last) if _is_claimed(_opening(last[: match.start()]))]
    if len({_label(match) for match in said}) > 1:
        return set(LABELS)
    return {_label(said[-1])} if said and _stands(last, said[-1]) else set()


def _is_claimed(opening: str) -> bool:
    """Whether a verdict that begins so is the judge's own, and is not in doubt."""
    return _words(_clause(opening)) <= _LEADS and not _DOUBT.search(opening)


def _stands(text: str, match: re.Match[str]) -> bool:
    """Whether nothing around a verdict takes it back or speaks as well of the other answer."""
    label = _label(match)
    other = _other(label)
    opening, rest = _opening(text[: match.start()]), text[match.end() :]
    sentence, later = _closing(rest)
    set_aside = _ASIDE.match(opening) or not _SO.isdisjoint(_words(_clause(opening)))
    return (
        (bool(set_aside) or not re.search(rf"\b{other}\b", opening))
        and _alone(label, sentence)
        and not _BUT.search(rest)
        and not re.search(rf"\({other}\)|{_NOUN}{other}\b", later)
    )


def _alone(label: str, sentence: str) -> bool:
    """Whether the rest of a verdict's sentence names no other label, but as what it is better than or in a reason."""
    return not re.search(rf"\b{_other(label)}\b", _AGAINST.sub("", _REASON.sub("", sentence)))


def _opening(before: str) -> str:
    """What comes before a place in its sentence."""
    return _SENTENCE_END.split(before)[-1]


def _closing(after: str) -> tuple[str, str]:
    """What comes after a place in its sentence, and all that follows."""
    end = _SENTENCE_END.search(after)
    return (after[: end.start()], after[end.end() :]) if end else (after, "")


def _clause(opening: str) -> str:
    return re.split(r"[,;:–—]", opening)[-1]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d]+", text.casefold()))


def _label(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def _other(label: str) -> str:
    return LABELS[label == LABELS[0]]
