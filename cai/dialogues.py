"""What is said to a model, as messages: the critique, the revision and the comparison (paper §3.1, §4.1, appendix C).

Pure rendering by concatenation. User and model text is inserted, never formatted: a brace or a "{response}" in it stays
what it is. Every wording here is part of the key under which answers are stored; a change of wording gets a new name in
`TEMPLATES`, so that old answers stay reachable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cai.records import Message, Messages, assistant, user

TemplateName = Literal["principle_last", "paper"]
TEMPLATES: tuple[TemplateName, ...] = ("principle_last", "paper")
LABELS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Naming:
    """How two answers are named in a comparison, and so what a verdict begins with: "(A)" or, unbracketed, "A"."""

    first: str = "A"
    second: str = "B"
    brackets: bool = True

    @property
    def choices(self) -> tuple[str, str]:
        """What may come right after `verdict_prefix`: an opened bracket is in the prefix, a space is in the choice."""
        return (self.first, self.second) if self.brackets else (f" {self.first}", f" {self.second}")

    @property
    def shown(self) -> tuple[str, str]:
        """How the answers are headed."""
        return (f"({self.first})", f"({self.second})") if self.brackets else (self.first, self.second)

    def __str__(self) -> str:
        return " and ".join(self.shown)


AB = Naming()
NAMINGS: tuple[Naming, ...] = (AB, Naming("1", "2"), Naming(brackets=False), Naming("1", "2", brackets=False))
"""In order of preference; a judge gets the first that its tokenizer writes with one token a name."""


@dataclass(frozen=True, slots=True)
class YesNo:
    """The assistant text after which a yes or no is read, and how the two are written there."""

    prefix: str = "Answer:"
    yes: str = " Yes"
    no: str = " No"

    @property
    def choices(self) -> tuple[str, str]:
        return (self.yes, self.no)

    def __str__(self) -> str:
        return f"'{self.yes.strip()}' and '{self.no.strip()}'"


YES_NO = YesNo()
YES_NOS: tuple[YesNo, ...] = (YES_NO, YesNo("Answer:", " yes", " no"), YesNo("Answer: (", "Yes", "No"))
"""In order of preference, as `NAMINGS`."""

_SPEAKER = {"system": "System", "user": "Human", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class RevisionExample:
    """A worked critique and revision that goes before the question (paper §3.1); a no-op example revises to itself."""

    messages: Messages
    response: str
    critique_request: str
    critique: str
    revision_request: str
    revision: str


@dataclass(frozen=True, slots=True)
class ComparisonExample:
    """A worked comparison that goes before the question (paper §4.1)."""

    messages: Messages
    comparison: str
    response_a: str
    response_b: str
    better: Literal["a", "b"]


def critique_messages(
    messages: Messages, response: str, request: str, examples: Sequence[RevisionExample] = ()
) -> Messages:
    """The dialogue, its answer, and the request for a critique of that answer."""
    return (*_worked(examples), *messages, assistant(response), user(request))


def revision_messages(
    messages: Messages, response: str, critique_request: str, critique: str, request: str,
    examples: Sequence[RevisionExample] = (),
) -> Messages:  # fmt: skip
    """The same, with the critique given and the request for a revision after it."""
    asked = critique_messages(messages, response, critique_request, examples)
    return (*asked, assistant(critique), user(request))


def _worked(examples: Sequence[RevisionExample]) -> Messages:
    turns: list[Message] = []
    for one in examples:
        turns += revision_messages(one.messages, one.response, one.critique_request, one.critique, one.revision_request)
        turns.append(assistant(one.revision))
    return tuple(turns)


def transcript(messages: Sequence[Message]) -> str:
    r"""``"\n\nHuman: …\n\nAssistant: …"`` without the leading break: the paper's plain form of a dialogue."""
    return "\n\n".join(f"{_SPEAKER[message.role]}: {message.content}" for message in messages)


def comparison_messages(
    messages: Messages, response_a: str, response_b: str, comparison: str,
    template: TemplateName = "principle_last", examples: Sequence[ComparisonExample] = (), naming: Naming = AB,
) -> Messages:  # fmt: skip
    """One user turn that shows the dialogue and both answers and asks which is better under `comparison`.

    `principle_last` puts the principle behind the answers, so that all principles share one long stem; `paper` puts
    it before them.
    """
    turns: list[Message] = []
    for one in examples:
        verdict = naming.choices[one.better == "b"]
        turns.append(user(_question(one.messages, one.response_a, one.response_b, one.comparison, template, naming)))
        turns.append(assistant(verdict_prefix(template, naming) + verdict + verdict_suffix(template, naming)))
    turns.append(user(_question(messages, response_a, response_b, comparison, template, naming)))
    return tuple(turns)


def verdict_prefix(template: TemplateName, naming: Naming = AB) -> str:
    """The assistant text after which the label is read."""
    said = "Answer:" if template == "principle_last" else "The answer is:"
    return f"{said} (" if naming.brackets else said


REASONING_PREFIX = "Let's think step by step:"
"""The assistant text after which the judge reasons (paper §4.1)."""


def reasoned_verdict_prefix(reasoning: str, template: TemplateName, naming: Naming = AB) -> str:
    """The assistant text after which the label is read when `reasoning` came first (paper §4.1)."""
    return f"{REASONING_PREFIX} {reasoning.strip()}\n\n{verdict_prefix(template, naming)}"


def reasoning_of(text: str, template: TemplateName) -> str:
    """What a judge said after `REASONING_PREFIX`, without a verdict that it went on to give."""
    return text.partition(verdict_prefix(template).removesuffix("("))[0].strip()


def told_how_to_end(messages: Messages, template: TemplateName, naming: Naming = AB) -> Messages:
    """A comparison whose question ends with how to end, for a judge whose verdict is read from what it writes."""
    *before, asked = messages
    begun, ended = verdict_prefix(template, naming), verdict_suffix(template, naming)
    one, two = (f"{begun}{choice}{ended}" for choice in naming.choices)
    told = f"Reason first, in a few sentences. Then end with a last line that says only {one} or {two}."
    return (*before, user(f"{asked.content}\n\n{told}"))


def verdict_suffix(template: TemplateName, naming: Naming = AB) -> str:
    """What follows the label in a worked example."""
    return ")" if naming.brackets else ""


def _question(messages: Messages, a: str, b: str, comparison: str, template: TemplateName, naming: Naming) -> str:
    one, two = naming.shown
    if template == "principle_last":
        return (
            f"Conversation:\n{transcript(messages)}\n\n"
            f"Response {one}: {a}\n\nResponse {two}: {b}\n\nQuestion: {comparison}"
        )
    after = "" if naming.brackets else ":"
    return (
        "Consider the following conversation between a human and an assistant:\n"
        f"{transcript(messages)}\n\n{comparison}\nOptions:\n {one}{after} {a}\n {two}{after} {b}"
    )


def rubric_messages(messages: Messages, response: str, rubric: str) -> Messages:
    """One user turn that shows the dialogue and one answer and asks a yes/no question about the answer."""
    return (
        user(f"Conversation:\n{transcript(messages)}\n\nResponse: {response}\n\nQuestion: {rubric}\nAnswer yes or no."),
    )
