"""Engines: what answers requests. A model is named ``engine/rest``, or just ``embedded``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from cai.errors import ConfigError, did_you_mean
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, ChoiceScores, Completion, Failure, GenerateRequest, Request
from cai.registry import Registry

ENGINES = Registry(
    "engine",
    {
        "hf": "cai.models.hf:HFEngine",
        "openai": "cai.models.openai:OpenAIEngine",
        "fake": "cai.models.fake:FakeEngine",
    },
)


class Engine(Protocol):
    """Answers whole stages. Requests are an iterable that may be long: take what a batch needs, answer, take more.

    Answers come in any order, each with the index of its request. Constructing an engine checks that it can run and
    computes `fingerprint`, and must be cheap; weights are loaded at the first request.

    Raises `EngineError` when no more answers will come; a request that alone cannot be answered gives a `Failure`.
    """

    spec: str
    fingerprint: str
    """Changes whenever any answer could: weights, tokenizer, template, dtype, adapter, sampling code version."""
    scores_choices: bool
    """Whether `score` gives log-probabilities; if not, `label` falls back to sampled votes and records it."""
    scores_strings: bool
    """Whether a choice of several tokens has the sum of theirs; if not, only choices of one token can be scored."""

    def generate(self, requests: Iterable[GenerateRequest]) -> Iterator[tuple[int, Completion | Failure]]: ...

    def score(self, requests: Iterable[ChoiceRequest]) -> Iterator[tuple[int, ChoiceScores | Failure]]: ...

    def one_token(self, prefix: str, choices: Sequence[str]) -> bool | None:
        """Whether each choice is one token of its own right after `prefix`, whose own tokens stay as they are.

        None when the engine does not know its tokenizer. A choice of several tokens is scored as a whole string.
        """


@runtime_checkable
class Retrying(Protocol):
    """An engine that may send a request more than once; `again` is asked before it does, from any thread."""

    again: Callable[[Request], bool]


def load_model(spec: str, settings: EngineSettings | None = None) -> Engine:
    """The engine that `spec` names: ``hf/PATH-OR-NAME``, ``openai/NAME@URL``, ``fake``, ``embedded``.

    Raises `ConfigError` for an unknown engine and `EngineError` for a model that is not there.
    """
    name = re.split("[/?]", spec, maxsplit=1)[0]
    rest = spec[len(name) :].removeprefix("/")
    if name not in ENGINES and Path(spec).is_dir():
        raise ConfigError(f"no engine is named '{name}'; for the model in that folder: hf/{spec}")
    if name not in ENGINES and spec[:1] in ("/", ".", "~"):
        raise ConfigError(f"no engine is named '{name}'; a model in a folder is hf/PATH, and there is none at {spec}")
    if name not in ENGINES:
        near = did_you_mean(name, (*ENGINES, "embedded"))
        raise ConfigError(f"no engine is named '{name}'{near} (engines: {', '.join(ENGINES)}; or embedded)")
    engine: Engine = ENGINES.load(name)(rest, settings or EngineSettings())
    return engine
