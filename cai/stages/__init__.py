"""The stages, in the order of the paper: two pure functions on either side of the model, driven by one loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from cai.records import Answer, Completion, Json, Request
from cai.records import Failure as Failure
from cai.registry import Registry

STAGES = Registry(
    "stage",
    {
        "respond": "cai.stages.respond:Respond",
        "critique": "cai.stages.critique:Critique",
        "revise": "cai.stages.revise:Revise",
        "sample": "cai.stages.sample:Sample",
        "rubric": "cai.stages.rubric:Rubric",
        "reason": "cai.stages.reason:Reason",
        "label": "cai.stages.label:Label",
        "reasoned_label": "cai.stages.reason:ReasonedLabel",
    },
)


class Stage(Protocol):
    """What to ask about a record, and what the answers make of it; neither touches a model or a file.

    `VERSION` is raised when the same answers would be read otherwise, so that old runs are seen to be stale.
    """

    VERSION: ClassVar[int]

    def read(self, row: Json) -> Iterable[Any]:
        """The records that one line of the stage's input holds."""

    def requests(self, record: Any) -> list[Request]:
        """What to ask; empty when the record passes through as it is."""

    def parse(self, record: Any, answers: list[Answer]) -> Any:
        """The record with its answers; raises `ParseError` when they cannot be used."""


def whole_text(answer: Answer) -> str:
    """The stripped text of a completion that ended by itself; raises `ParseError` for every other answer."""
    from cai.errors import ParseError

    match answer:
        case Completion(text=text, finish_reason="stop"):
            if not text.strip():
                raise ParseError("empty answer")
            return text.strip()
        case Completion():
            raise ParseError("cut off at max_tokens")
        case Failure(reason=reason):
            raise ParseError(reason)
    raise TypeError(f"a generate request was answered with {type(answer).__name__}")
