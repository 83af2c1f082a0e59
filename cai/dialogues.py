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
    template: TemplateName = "principle_last", examples: Sequence[ComparisonExample] = (),
) -> Messages:  # fmt: skip
    """One user turn that shows the dialogue and both answers and asks which is better under `comparison`.

    `principle_last` puts the principle behind the answers, so that all principles share one long stem; `paper` puts
    it before them.
    """
    turns: list[Message] = []
    for one in examples:
        turns.append(user(_question(one.messages, one.response_a, one.response_b, one.comparison, template)))
        turns.append(assistant(verdict_prefix(template) + LABELS[one.better == "b"] + verdict_suffix(template)))
    turns.append(user(_question(messages, response_a, response_b, comparison, template)))
    return tuple(turns)


def verdict_prefix(template: TemplateName) -> str:
    """The assistant text after which the label is read."""
    return "Answer: (" if template == "principle_last" else "The answer is: ("


REASONING_PREFIX = "Let's think step by step:"
"""The assistant text after which the judge reasons (paper §4.1)."""


def reasoned_verdict_prefix(reasoning: str, template: TemplateName) -> str:
    """The assistant text after which the label is read when `reasoning` came first (paper §4.1)."""
    return f"{REASONING_PREFIX} {reasoning.strip()}\n\n{verdict_prefix(template)}"


def reasoning_of(text: str, template: TemplateName) -> str:
    """What a judge said after `REASONING_PREFIX`, without a verdict that it went on to give."""
    return text.partition(verdict_prefix(template).removesuffix("("))[0].strip()


def verdict_suffix(template: TemplateName) -> str:
    """What follows the label in a worked example."""
    return ")"


def _question(messages: Messages, a: str, b: str, comparison: str, template: TemplateName) -> str:
    if template == "principle_last":
        return (
            f"Conversation:\n{transcript(messages)}\n\nResponse (A): {a}\n\nResponse (B): {b}\n\nQuestion: {comparison}"
        )
    return (
        "Consider the following conversation between a human and an assistant:\n"
        f"{transcript(messages)}\n\n{comparison}\nOptions:\n (A) {a}\n (B) {b}"
    )
