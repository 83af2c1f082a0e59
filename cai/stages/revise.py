"""Revise: the latest text rewritten to answer its critique (paper §3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from cai.constitution import Constitution
from cai.dialogues import RevisionExample, revision_messages
from cai.draws import draw_seed
from cai.errors import ParseError
from cai.records import Answer, Draft, GenerateRequest, Json, Request, Sampling
from cai.stages import whole_text

_ADJECTIVE = r"(?:revised|rewritten|updated|improved|edited|new|better|safer)"
_NOUN = r"(?:revision|rewrite|version|response|answer|reply)"
_SUBJECT = rf"(?:(?:the|a|an|my|your) )?(?:{_ADJECTIVE}(?: \w+){{0,2}}? {_NOUN}|revision|rewrite)\b"
_LEAD = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok|absolutely|understood)[,.!:]?\s+)?"
    rf"(?:(?:here(?:['’]s| is)|this is|below is)\s+{_SUBJECT}[^\n:.!?]{{0,80}}:"
    rf"|(?:{_ADJECTIVE} {_NOUN}|revision|revised|assistant)\s*:)\s*",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    rf"^(?:the {_ADJECTIVE} {_NOUN}\b|th(?:e|is) (?:revision|rewrite)\b"
    r"|(?:in|for) (?:the|this|my) (?:revision|rewrite)\b"
    r"|(?:the (?:assistant|ai|model)['’]s|the|my) (?:last|previous|original) (?:response|answer|reply)\b"
    r"|the (?:assistant|ai|model)['’]s (?:response|answer|reply)\b"
    r"|the assistant (?:should|could|did|has|was)\b"
    r"|i(?: have|['’]ve)? (?:revised|rewritten|rewrote|edited) (?:the|my|this)\b"
    rf"|i(?: have|['’]ve)? (?:removed|changed|updated|replaced) [^.]{{0,60}}\b(?:{_NOUN}|harmful|wording|text)\b"
    rf"|to revise (?:the|my|this)\b)",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "“": "”", "'''": "'''", '"""': '"""'}


def clean_revision(text: str) -> str:
    """A revision without its "Here is a revised version:" lead and without quotes around the whole."""
    text = _LEAD.sub("", text.strip(), count=1).strip()
    for opening, closing in _QUOTES.items():
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and opening not in inner and closing not in inner:
            return inner.strip()
    return text


def check_revision(revision: str, critique: str) -> None:
    """Raises `ParseError` for a revision that is empty, is the critique again, or talks about the revision."""
    if not revision:
        raise ParseError("empty revision")
    if _same(revision) == _same(critique):
        raise ParseError("the revision repeats the critique")
    if _ABOUT.match(revision):
        raise ParseError("talks about the revision in place of giving it")


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


@dataclass(frozen=True, slots=True)
class Revise:
    """Asks for the revision that the critique of this round calls for, under the same principle."""

    VERSION: ClassVar[int] = 1
    constitution: Constitution
    sampling: Sampling
    round: int = 1
    examples: tuple[RevisionExample, ...] = ()
    seed: int = 0

    def read(self, row: Json) -> Iterable[Draft]:
        yield Draft.from_json(row)

    def requests(self, draft: Draft) -> list[Request]:
        if not draft.rounds:
            return []
        last = draft.rounds[-1]
        principle = self.constitution.by_id(last.principle_id)
        messages = revision_messages(
            draft.prompt.messages, draft.latest, principle.critique, last.critique,
            principle.revision, self.examples,
        )  # fmt: skip
        return [GenerateRequest(messages, self.sampling, draw_seed(self.seed, draft.id, "revise", self.round))]

    def parse(self, draft: Draft, answers: list[Answer]) -> Draft:
        if not draft.rounds:
            return draft
        last = draft.rounds[-1]
        revision = clean_revision(whole_text(answers[0]))
        check_revision(revision, last.critique)
        return replace(draft, rounds=(*draft.rounds[:-1], replace(last, revision=revision)))
