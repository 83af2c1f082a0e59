"""What is written to an OpenAI-compatible server and what its answers mean: pure functions, no network.

A dialogue goes to `/chat/completions`, where the server's own chat template applies, or, as a transcript, to
`/completions`. How a given server continues an assistant's turn and reports log-probabilities is its `Dialect`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cai.chat import transcript_prompt
from cai.models.openai_client import BrokenBodyError
from cai.models.rounding import rounded
from cai.records import ChoiceRequest, ChoiceScores, Completion, Failure, GenerateRequest, Messages

TOP = 20
STOP = "\n\nHuman:"
CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server can do.

    `continues` is how it goes on with an assistant turn: told to (``flags``), unasked (``always``) or not at all.
    `logprobs`: it gives the log-probabilities of the likeliest tokens. `by_id`: also those of tokens named by id.
    """

    transcript: bool = False
    continues: str = "no"
    logprobs: bool = False
    by_id: bool = False

    @property
    def scores(self) -> bool:
        return self.logprobs and (self.transcript or self.continues != "no")

    @property
    def scoring(self) -> str:
        """How choices get their log-probabilities; answers found in different ways are not one another's."""
        if not self.scores:
            return "none"
        return "ids" if self.by_id else f"top-{TOP}, absent at most"


def generate_call(model: str, request: GenerateRequest, dialect: Dialect, hosted: bool = False) -> tuple[str, Json]:
    """Path and body that ask for one completion; seeds are cut to the 31 bits that every server takes."""
    sampling = request.sampling
    limit = "max_completion_tokens" if hosted and not dialect.transcript else "max_tokens"
    path, body = _opened(request.messages, request.prefix, dialect)
    return path, {
        "model": model, **body, limit: sampling.max_tokens, "temperature": sampling.temperature,
        "top_p": sampling.top_p, "seed": request.seed % (2**31 - 1),
    }  # fmt: skip


def score_call(model: str, request: ChoiceRequest, dialect: Dialect, ids: Sequence[int] = ()) -> tuple[str, Json]:
    """Path and body that ask for the log-probabilities of the next token, of `ids` if the server takes ids."""
    path, body = _opened(request.messages, request.prefix, dialect)
    if dialect.transcript:
        asked: Json = {"logprobs": TOP}
    elif ids:
        asked = {"logprobs": True, "logprob_token_ids": list(ids), "return_tokens_as_token_ids": True}
    else:
        asked = {"logprobs": True, "top_logprobs": TOP}
    return path, {"model": model, **body, "max_tokens": 1, "temperature": 0, **asked}


def _opened(messages: Messages, prefix: str, dialect: Dialect) -> tuple[str, Json]:
    if dialect.transcript:
        return "/completions", {"prompt": transcript_prompt(messages, prefix), "stop": [STOP]}
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if not prefix:
        return "/chat/completions", {"messages": turns}
    if dialect.continues == "no":
        turns[-1]["content"] += f"\n\nBegin your answer with exactly this text: {prefix}"
        return "/chat/completions", {"messages": turns}
    turns.append({"role": "assistant", "content": prefix})
    return "/chat/completions", {"messages": turns, **(CONTINUE if dialect.continues == "flags" else {})}


def completion(answer: Json, request: GenerateRequest, dialect: Dialect) -> Completion | Failure:
    """The completion in `answer`; raises `BrokenBodyError` for an object of another shape."""
    try:
        choice = answer["choices"][0]
        reason = choice["finish_reason"]
        text = choice["text"] if dialect.transcript else choice["message"].get("content")
        if text is None and not dialect.transcript:
            text = choice["message"].get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BrokenBodyError(f"no choice in it: {error!r}") from None
    if reason not in ("stop", "length"):
        return Failure(f"the server ended the answer with finish_reason {reason!r}")
    if not isinstance(text, str):
        return Failure("the server gave no text")
    if dialect.transcript and not request.prefix:
        text = text.removeprefix(" ")
    if request.prefix and dialect.continues == "no" and not dialect.transcript:
        text = text.removeprefix(request.prefix)
    used = usage(answer)
    return Completion(text, reason, used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0)


def choice_scores(
    answer: Json, request: ChoiceRequest, dialect: Dialect, ids: Sequence[int] = ()
) -> ChoiceScores | Failure:
    """Log-probability of each choice: by its token's id where `ids` are known, else by its text among the likeliest.

    A choice that is not among them gets the most it can have: the least of theirs, or what they leave of 1 if that
    is less. It is not known to have that, so it has no part in the mass. Values are rounded to 5 decimals (`rounding`
    says why).
    """
    found, told = top_logprobs(answer, dialect), None
    if ids:
        missing = [one for one in ids if f"token_id:{one}" not in found]
        if missing:
            raise BrokenBodyError(f"no log-probability of token {missing[0]}")
        values = [found[f"token_id:{one}"] for one in ids]
    else:
        lead = " " if dialect.transcript and not request.prefix else ""
        read = [found.get(lead + choice) for choice in request.choices]
        known = [value for value in read if value is not None]
        if len(known) < len(read):
            told = round(math.fsum(map(math.exp, known)), 5)
        most = _most(found)
        values = [most if value is None else value for value in read]
    if not all(math.isfinite(value) for value in values):
        return Failure("the server gave a log-probability that is not a number")
    return ChoiceScores(rounded(values), usage(answer).get("prompt_tokens") or 0, told)


def top_logprobs(answer: Json, dialect: Dialect) -> dict[str, float]:
    """Text of each of the likeliest next tokens -> log-probability; raises `BrokenBodyError` where there are none."""
    try:
        logprobs = answer["choices"][0]["logprobs"]
        if dialect.transcript:
            pairs = list(logprobs["top_logprobs"][0].items())
        else:
            first = logprobs["content"][0]
            pairs = [(one["token"], one["logprob"]) for one in (*first["top_logprobs"], first)]
        found: dict[str, float] = {}
        for text, value in pairs:
            found[text] = max(_logprob(value), found.get(text, -math.inf))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise BrokenBodyError(f"no log-probabilities in it: {error!r}") from None
    if not found:
        raise BrokenBodyError("no log-probabilities in it")
    return found


def _logprob(value: Any) -> float:
    """The number that a server gave; not a number for one that no logarithm of a probability comes near."""
    found = float(value)
    return found if found < 1.0 else math.nan


def _most(found: dict[str, float]) -> float:
    """The greatest log-probability that a token which is not among the likeliest can have."""
    left = 1.0 - math.fsum(math.exp(value) for value in found.values())
    return min(min(found.values()), math.log(max(left, 1e-12)))


def usage(answer: Json) -> dict[str, int]:
    """The token counts that the server reports, or nothing."""
    found = answer.get("usage")
    return found if isinstance(found, dict) else {}
