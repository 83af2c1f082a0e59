"""`fake`: answers made from a hash of the request, at once, on any machine: for tests, dry runs and benches.

Options follow the name, as in ``fake/reject=0.1,latency=0.001,log=calls.txt`` (also with ``?`` and ``&``):

- ``reject``: share of completions that are cut off (finish_reason "length"), so that stages reject them;
- ``fail``: share of requests that get a `Failure`;
- ``latency``: seconds that each answer takes;
- ``log``: a file to which a line is appended, and flushed to the kernel, before each answer is given;
- ``echo``: makes a completion repeat the last turn;
- ``bias``: log-odds added to the first choice, a judge with a position bias;
- ``scores``: 0 makes it an engine without log-probabilities;
- ``crash``: stop with an `EngineError` after this many answers.

A completion that continues a judge's answer goes on as one: with a label after "Answer: (", with a yes or no after
"Answer:", with both sentences and a verdict after the beginning of a reasoning; one of eight gives no verdict.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeVar

from cai.errors import ConfigError, EngineError, did_you_mean
from cai.models.fingerprints import fingerprint
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, ChoiceScores, Completion, Failure, GenerateRequest

_OPENINGS = ("I can help with that.", "It depends on what you need.", "That would hurt someone, so no.", "Gladly.")
_MIDDLES = (
    "The answer names a risk and leaves out how to avoid it.",
    "A kinder wording would keep what is useful.",
    "Ask a doctor or a friend whom you trust first.",
    "Start with flour, water and salt, and take your time.",
    "The claim about the price has no source.",
    "Nothing in it is unlawful, and it reads clearly.",
    "Say plainly what you do not know.",
    "It lectures the reader more than it needs to.",
)
_ALLOWED = {
    "reject": (0.0, 1.0, "a share from 0 to 1"),
    "fail": (0.0, 1.0, "a share from 0 to 1"),
    "latency": (0.0, 1e6, "seconds, 0 or more"),
    "echo": (0.0, 1.0, "0 or 1"),
    "bias": (-1e6, 1e6, "a finite number"),
    "scores": (0.0, 1.0, "0 or 1"),
    "crash": (0.0, 1e18, "a whole number, 0 or more"),
}
_WHOLE = frozenset({"echo", "scores", "crash"})
_NOT_ANSWERS = frozenset({"latency", "log", "crash"})
_R = TypeVar("_R", GenerateRequest, ChoiceRequest)
_A = TypeVar("_A")


class FakeEngine:
    """An engine whose answers depend on nothing but the request. `rest` holds the options; see the module."""

    scores_strings = True

    def __init__(self, rest: str, settings: EngineSettings) -> None:
        self.spec = f"fake/{rest}" if rest else "fake"
        options = _options(self.spec, rest)
        self._reject, self._fail = options.get("reject", 0.0), options.get("fail", 0.0)
        self._latency, self._bias = options.get("latency", 0.0), options.get("bias", 0.0)
        self._echo, self._crash = bool(options.get("echo", 0)), int(options.get("crash", 0))
        self._log = _log_path(rest)
        self.scores_choices = bool(options.get("scores", 1))
        answers = {name: value for name, value in options.items() if name not in _NOT_ANSWERS}
        self.fingerprint = fingerprint(code="fake-3", options=answers)

    def generate(self, requests: Iterable[GenerateRequest]) -> Iterator[tuple[int, Completion | Failure]]:
        """A few plain sentences for each request, in order."""
        return self._answers(requests, self._completion)

    def score(self, requests: Iterable[ChoiceRequest]) -> Iterator[tuple[int, ChoiceScores | Failure]]:
        """A log-odds drawn from the texts, and a mass of 0.95 on the choices together."""
        if not self.scores_choices:
            raise EngineError(f"{self.spec} gives no log-probabilities")
        return self._answers(requests, self._scores)

    def one_token(self, prefix: str, choices: Sequence[str]) -> bool:
        """Always: it has no tokens."""
        return True

    def _answers(self, requests: Iterable[_R], answer: Callable[[_R], _A]) -> Iterator[tuple[int, _A]]:
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if self._log else None
        try:
            for index, request in enumerate(requests):
                if self._crash and index >= self._crash:
                    raise EngineError(f"{self.spec}: stopped after {index} answers, as told")
                if self._latency:
                    time.sleep(self._latency)
                given = answer(request)
                if log is not None:
                    os.write(log, f"{_draw(request).hex()}\n".encode())
                yield index, given
        finally:
            if log is not None:
                os.close(log)

    def _completion(self, request: GenerateRequest) -> Completion | Failure:
        drawn = _draw(request)
        if self._fail and _share(drawn[0:4]) < self._fail:
            return Failure("this request fails, as told")
        last = request.messages[-1].content
        if self._echo:
            text = last
        else:
            middles = (_MIDDLES[byte % len(_MIDDLES)] for byte in drawn[9 : 10 + drawn[8] % 3])
            text = f"{_OPENINGS[drawn[12] % len(_OPENINGS)]} {' '.join(middles)} ({drawn[13:16].hex()})"
            text = _judged(request.prefix, text, drawn[7])
        cut = _share(drawn[4:8]) < self._reject
        return Completion(text, "length" if cut else "stop", len(last) // 4, len(text) // 4)

    def _scores(self, request: ChoiceRequest) -> ChoiceScores | Failure:
        drawn = _draw(request)
        if self._fail and _share(drawn[0:4]) < self._fail:
            return Failure("this request fails, as told")
        logits = [4.0 * _share(_hash(drawn + bytes([at]))[:4]) for at in range(len(request.choices))]
        logits[0] += self._bias
        total = math.log(sum(map(math.exp, logits)) / 0.95)
        return ChoiceScores(tuple([logit - total for logit in logits]), len(request.messages[-1].content) // 4)


def _judged(prefix: str, text: str, byte: int) -> str:
    """`text`, or what a judge says after `prefix`."""
    first = byte % 2 == 0
    if not prefix or byte >= 224:
        return text
    if prefix.endswith("("):
        return f"{'A' if first else 'B'})"
    if prefix.endswith("Answer:"):
        return " Yes" if first else " No"
    return f" {text}\n\nAnswer: ({'A' if first else 'B'})"


def _draw(request: GenerateRequest | ChoiceRequest) -> bytes:
    parts = [request.prefix]
    for message in request.messages:
        parts += (message.role, message.content)
    if isinstance(request, GenerateRequest):
        sampling = request.sampling
        parts.append(f"{request.seed}:{sampling.max_tokens}:{sampling.temperature}:{sampling.top_p}")
    else:
        parts += request.choices
    return _hash("\x1f".join(parts).encode("utf-8", "surrogatepass"))


def _hash(data: bytes, key: bytes = b"") -> bytes:
    return blake2b(data, digest_size=16, key=key).digest()


def _share(four: bytes) -> float:
    return int.from_bytes(four, "big") / 2**32


def _pairs(rest: str) -> list[tuple[str, str]]:
    parts = [part for part in re.split(r"[?&,]", rest) if part]
    return [(name, value or "1") for name, _, value in (part.partition("=") for part in parts)]


def _log_path(rest: str) -> str:
    return dict(_pairs(rest)).get("log", "")


def _options(spec: str, rest: str) -> dict[str, float]:
    options = {}
    for name, value in _pairs(rest):
        if name == "log":
            continue
        if name not in _ALLOWED:
            near = did_you_mean(name, (*_ALLOWED, "log"))
            raise ConfigError(f"{spec}: no option '{name}'{near} (options: {', '.join(sorted((*_ALLOWED, 'log')))})")
        try:
            options[name] = float(value)
        except ValueError:
            raise ConfigError(f"{spec}: '{name}' needs a number, found '{value}'") from None
        least, most, allowed = _ALLOWED[name]
        if not least <= options[name] <= most or (name in _WHOLE and not options[name].is_integer()):
            raise ConfigError(f"{spec}: '{name}' is {allowed}, found '{value}'")
    return options
