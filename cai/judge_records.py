"""What a judge says beyond votes, as records: reasonings, grades of single answers, and the ranking of K answers.

Each writes itself as one JSON object (`to_json`) and reads itself back (`from_json`), like those of `records`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cai.records import Json, Order, Prompt, content_id


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the judge said about two answers before a verdict, under one principle, shown in one order (paper §4.1).

    `text` is None when it cannot be used: empty, cut off before the verdict, or `refused`. `stated` is the answer that
    the judge went on to name by itself, whatever the order it was shown in; None when it named none clearly.
    """

    principle_id: str
    order: Order
    sample: int
    text: str | None
    stated: Literal["a", "b"] | None = None
    refused: bool = False

    def to_json(self) -> Json:
        row: Json = {
            "principle_id": self.principle_id,
            "order": self.order,
            "sample": self.sample,
            "text": self.text,
            "stated": self.stated,
        }
        return {**row, "refused": True} if self.refused else row

    @classmethod
    def from_json(cls, row: Json) -> Reasoning:
        return cls(
            row["principle_id"], row["order"], row["sample"], row["text"], row["stated"], row.get("refused", False)
        )


@dataclass(frozen=True, slots=True)
class Deliberation:
    """Two answers to one prompt and all that was reasoned about them, before any vote."""

    prompt: Prompt
    response_a: str
    response_b: str
    reasonings: tuple[Reasoning, ...]

    @property
    def id(self) -> str:
        return content_id(self.prompt.id, self.response_a, self.response_b)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "response_a": self.response_a,
            "response_b": self.response_b,
            "reasonings": [one.to_json() for one in self.reasonings],
        }

    @classmethod
    def from_json(cls, row: Json) -> Deliberation:
        reasonings = tuple(Reasoning.from_json(one) for one in row["reasonings"])
        return cls(Prompt.from_json(row["prompt"]), row["response_a"], row["response_b"], reasonings)


@dataclass(frozen=True, slots=True)
class Grade:
    """The judge's answer to one principle's yes/no question about one answer, raw.

    Natural logarithms; `mass` is p(yes) + p(no) over the whole vocabulary. `counts` are the sampled yes and no of an
    engine without log-probabilities, which then are those of the mean of the Beta posterior; else None. `refused`:
    nothing could be read, and the judge said that it would not answer.
    """

    principle_id: str
    logprob_yes: float
    logprob_no: float
    mass: float
    counts: tuple[int, int] | None = None
    refused: bool = False

    def to_json(self) -> Json:
        row: Json = {
            "principle_id": self.principle_id,
            "logprob_yes": self.logprob_yes,
            "logprob_no": self.logprob_no,
            "mass": self.mass,
        }
        row |= {} if self.counts is None else {"counts": list(self.counts)}
        return row | ({"refused": True} if self.refused else {})

    @classmethod
    def from_json(cls, row: Json) -> Grade:
        counts = (row["counts"][0], row["counts"][1]) if row.get("counts") else None
        refused = row.get("refused", False)
        return cls(row["principle_id"], row["logprob_yes"], row["logprob_no"], row["mass"], counts, refused)


@dataclass(frozen=True, slots=True)
class Graded:
    """One answer to a prompt and its grades under every rubric that was asked."""

    prompt: Prompt
    response: str
    grades: tuple[Grade, ...]

    @property
    def id(self) -> str:
        return content_id(self.prompt.id, self.response)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "response": self.response,
            "grades": [one.to_json() for one in self.grades],
        }

    @classmethod
    def from_json(cls, row: Json) -> Graded:
        return cls(Prompt.from_json(row["prompt"]), row["response"], tuple(map(Grade.from_json, row["grades"])))


@dataclass(frozen=True, slots=True)
class Ranking:
    """All answers to one prompt on one scale, from the labels of their pairs.

    `scores` are log-strengths in nats with mean 0: one answer beats another, ties apart, with probability
    σ(score − score). `ranks` begin at 1, the best; answers of one rank are tied, and the next rank counts them
    (1, 2, 2, 4). `comparisons` is the number of labels behind it.
    """

    prompt: Prompt
    responses: tuple[str, ...]
    scores: tuple[float, ...]
    ranks: tuple[int, ...]
    comparisons: int
    weight: float = 1.0
    source: Literal["ai", "human"] = "ai"

    @property
    def id(self) -> str:
        return content_id(self.prompt.id, *self.responses)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "responses": list(self.responses),
            "scores": list(self.scores),
            "ranks": list(self.ranks),
            "comparisons": self.comparisons,
            "weight": self.weight,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, row: Json) -> Ranking:
        return cls(
            Prompt.from_json(row["prompt"]), tuple(row["responses"]), tuple(row["scores"]), tuple(row["ranks"]),
            row["comparisons"], row["weight"], row["source"],
        )  # fmt: skip
