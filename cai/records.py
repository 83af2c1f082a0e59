"""The frozen records that cross stage borders, and the requests and answers that cross the border to a model.

Every record writes itself as one JSON object (`to_json`) and reads itself back (`from_json`); a line of a stage file is
complete in itself. Ids are content hashes: equal content has an equal id in every run.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Kind = Literal["red_team", "helpful", "lookalike"]
Split = Literal["train", "test"]
Order = Literal["ab", "ba"]
Json = dict[str, Any]

KINDS: tuple[Kind, ...] = ("red_team", "helpful", "lookalike")
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
SPLITS: tuple[Split, ...] = ("train", "test")


def content_id(*parts: str) -> str:
    """16 hexadecimal digits that depend on every part and on where one part ends and the next begins."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:16]


# ----------------------------------------------------------------------------------------------- dialogue


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, in the wire format of every chat API and of TRL."""

    role: Role
    content: str

    def to_json(self) -> Json:
        return {"role": self.role, "content": self.content}

    @classmethod
    def from_json(cls, row: Json) -> Message:
        return cls(row["role"], row["content"])


Messages = tuple[Message, ...]


def user(content: str) -> Message:
    """A user turn."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """An assistant turn."""
    return Message("assistant", content)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One or more turns that end with the user's; the id is a hash of the turns alone."""

    id: str
    messages: Messages
    kind: Kind = "red_team"
    source: str = ""
    split: Split = "train"
    tags: tuple[str, ...] = ()

    @classmethod
    def make(
        cls, messages: Messages, kind: Kind = "red_team", source: str = "", split: Split = "train",
        tags: tuple[str, ...] = (),
    ) -> Prompt:  # fmt: skip
        parts = [part for message in messages for part in (message.role, message.content)]
        return cls(content_id(*parts), messages, kind, source, split, tags)

    def to_json(self) -> Json:
        row: Json = {
            "id": self.id,
            "messages": [message.to_json() for message in self.messages],
            "kind": self.kind,
            "source": self.source,
            "split": self.split,
        }
        if self.tags:
            row["tags"] = list(self.tags)
        return row

    @classmethod
    def from_json(cls, row: Json) -> Prompt:
        messages = tuple(Message.from_json(message) for message in row["messages"])
        return cls(row["id"], messages, row["kind"], row["source"], row["split"], tuple(row.get("tags", ())))


@dataclass(frozen=True, slots=True)
class Round:
    """One critique and the revision that answers it (paper §3.1); `revision` is None between the two stages."""

    principle_id: str
    critique: str
    revision: str | None = None

    def to_json(self) -> Json:
        return {"principle_id": self.principle_id, "critique": self.critique, "revision": self.revision}

    @classmethod
    def from_json(cls, row: Json) -> Round:
        return cls(row["principle_id"], row["critique"], row["revision"])


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt, the model's first answer, and its rounds of critique and revision so far."""

    prompt: Prompt
    response: str
    rounds: tuple[Round, ...] = ()

    @property
    def id(self) -> str:
        return self.prompt.id

    @property
    def latest(self) -> str:
        """The last revision that exists, else the first answer."""
        return next((r.revision for r in reversed(self.rounds) if r.revision is not None), self.response)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "response": self.response,
            "rounds": [one.to_json() for one in self.rounds],
        }

    @classmethod
    def from_json(cls, row: Json) -> Draft:
        rounds = tuple(Round.from_json(one) for one in row["rounds"])
        return cls(Prompt.from_json(row["prompt"]), row["response"], rounds)


@dataclass(frozen=True, slots=True)
class Candidates:
    """K ≥ 2 different answers to one prompt, all sampled at the same temperature."""

    prompt: Prompt
    responses: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.prompt.id

    def to_json(self) -> Json:
        return {"prompt": self.prompt.to_json(), "responses": list(self.responses)}

    @classmethod
    def from_json(cls, row: Json) -> Candidates:
        return cls(Prompt.from_json(row["prompt"]), tuple(row["responses"]))


@dataclass(frozen=True, slots=True)
class Vote:
    """The judge's log-probability of each answer under one principle, in one order, nothing averaged or clamped.

    `logprob_a` and `logprob_b` belong to response_a and response_b whatever the order they were shown in; natural
    logarithms. `mass` is p(A) + p(B) over the whole vocabulary: near 0, the judge did not answer the question.
    `counts`, the sampled verdicts for a and for b, is there when an engine gave no log-probabilities: these are then
    those of the mean of the Beta posterior (one verdict for each side before the first), and `mass` is the share of the
    samples that were verdicts. `refused`: no verdict could be read, and the judge said that it would give none.
    """

    principle_id: str
    order: Order
    sample: int
    logprob_a: float
    logprob_b: float
    mass: float
    rationale: str | None = None
    counts: tuple[int, int] | None = None
    refused: bool = False

    @property
    def logit(self) -> float:
        """logprob_a − logprob_b, in nats."""
        return self.logprob_a - self.logprob_b

    def to_json(self) -> Json:
        row: Json = {
            "principle_id": self.principle_id,
            "order": self.order,
            "sample": self.sample,
            "logprob_a": self.logprob_a,
            "logprob_b": self.logprob_b,
            "mass": self.mass,
            "rationale": self.rationale,
        }
        if self.counts is not None:
            row["counts"] = list(self.counts)
        return {**row, "refused": True} if self.refused else row

    @classmethod
    def from_json(cls, row: Json) -> Vote:
        counts = (row["counts"][0], row["counts"][1]) if row.get("counts") else None
        return cls(
            row["principle_id"], row["order"], row["sample"], row["logprob_a"], row["logprob_b"], row["mass"],
            row["rationale"], counts, row.get("refused", False),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judgement:
    """Two answers to one prompt and every vote on them, raw (paper §4.1)."""

    prompt: Prompt
    response_a: str
    response_b: str
    votes: tuple[Vote, ...]

    @property
    def id(self) -> str:
        return content_id(self.prompt.id, self.response_a, self.response_b)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "response_a": self.response_a,
            "response_b": self.response_b,
            "votes": [vote.to_json() for vote in self.votes],
        }

    @classmethod
    def from_json(cls, row: Json) -> Judgement:
        votes = tuple(Vote.from_json(vote) for vote in row["votes"])
        return cls(Prompt.from_json(row["prompt"]), row["response_a"], row["response_b"], votes)


@dataclass(frozen=True, slots=True)
class Preference:
    """A soft label: `p_a` is the probability that response_a is the better answer; 0 ≤ p_a ≤ 1."""

    prompt: Prompt
    response_a: str
    response_b: str
    p_a: float
    weight: float = 1.0
    source: Literal["ai", "human"] = "ai"

    @property
    def id(self) -> str:
        return content_id(self.prompt.id, self.response_a, self.response_b)

    def swap(self) -> Preference:
        """The same preference with its sides exchanged."""
        return Preference(self.prompt, self.response_b, self.response_a, 1.0 - self.p_a, self.weight, self.source)

    @property
    def chosen(self) -> str:
        return self.response_a if self.p_a >= 0.5 else self.response_b

    @property
    def rejected(self) -> str:
        return self.response_b if self.p_a >= 0.5 else self.response_a

    @property
    def p_chosen(self) -> float:
        return max(self.p_a, 1.0 - self.p_a)

    def to_json(self) -> Json:
        return {
            "prompt": self.prompt.to_json(),
            "response_a": self.response_a,
            "response_b": self.response_b,
            "p_a": self.p_a,
            "weight": self.weight,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, row: Json) -> Preference:
        return cls(
            Prompt.from_json(row["prompt"]), row["response_a"], row["response_b"], row["p_a"], row["weight"],
            row["source"],
        )  # fmt: skip


# ------------------------------------------------------------------------------- requests to, and answers of, a model


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn; `max_tokens` counts new tokens. Temperature 0 is greedy."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0

    def to_json(self) -> Json:
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p}


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Ask for one completion. The text drawn depends on this request alone, not on its neighbours in a batch.

    `prefix` is assistant text that is already there; the completion continues it and does not repeat it.
    """

    messages: Messages
    sampling: Sampling
    seed: int = 0
    prefix: str = ""

    def to_json(self) -> Json:
        return {
            "messages": [[message.role, message.content] for message in self.messages],
            "sampling": self.sampling.to_json(),
            "seed": self.seed,
            "prefix": self.prefix,
        }


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """Ask for the log-probability of each choice right after `prefix`, the assistant text that is already there."""

    messages: Messages
    choices: tuple[str, ...]
    prefix: str = ""

    def to_json(self) -> Json:
        return {
            "messages": [[message.role, message.content] for message in self.messages],
            "choices": list(self.choices),
            "prefix": self.prefix,
        }


Request = GenerateRequest | ChoiceRequest


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text. `finish_reason` is "length" when `max_tokens` cut it: such a text is never trained on."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> Json:
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Natural log-probability of each choice of a `ChoiceRequest`, in its order, over the whole vocabulary.

    Where a server told only of some choices, those of the others are the most that they can have, and `told` is the
    probability of those that it told of.
    """

    logprobs: tuple[float, ...]
    prompt_tokens: int
    told: float | None = None

    @property
    def mass(self) -> float:
        """The probability that the model is known to give to any of the choices, 0 … 1."""
        return min(1.0, sum(math.exp(logprob) for logprob in self.logprobs) if self.told is None else self.told)

    def to_json(self) -> Json:
        told = {} if self.told is None else {"told": self.told}
        return {"logprobs": list(self.logprobs), "prompt_tokens": self.prompt_tokens, **told}


@dataclass(frozen=True, slots=True)
class Failure:
    """An engine could not answer this one request (context too long, refused by the server). Never stored."""

    reason: str


Answer = Completion | ChoiceScores | Failure
