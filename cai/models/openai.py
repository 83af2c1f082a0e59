"""`openai/NAME@URL`: a model behind any server that speaks the OpenAI protocol (vLLM, SGLang, llama.cpp, a hosted one).

The server's tokenizer and chat template apply, so a control token's name in a text is read as the server reads it.
The fingerprint holds the model's name, what the server says it is (`root` in `/models`), and how it scores: tokens by
id, the likeliest twenty with a bound for the rest, or not at all. A server whose `root` tells no more than the name may
serve anything under it, so its address is then in the fingerprint too; else one model has one fingerprint anywhere.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cai.errors import BudgetError, ConfigError, EngineError
from cai.models.fingerprints import fingerprint
from cai.models.openai_client import BrokenBodyError, Client, Refused, answered
from cai.models.openai_wire import (
    Dialect,
    choice_scores,
    completion,
    generate_call,
    score_call,
    top_logprobs,
    usage,
)  # fmt: skip
from cai.recipe import EngineSettings
from cai.records import (
    ChoiceRequest,
    ChoiceScores,
    Completion,
    Failure,
    GenerateRequest,
    Message,
    Request,
    Sampling,
    assistant,
    user,
)  # fmt: skip

CODE_VERSION = "openai-2"
_SPEC = re.compile(r"(?P<name>.+?)(?:@(?P<url>https?://\S+))?")
_R = TypeVar("_R", GenerateRequest, ChoiceRequest)
_A = TypeVar("_A")


class OpenAIEngine:
    """A model behind a server. Nothing is sent before `fingerprint`, `scores_choices` or an answer is asked for.

    Without a URL the package's own address applies (`OPENAI_BASE_URL`, else the public one).
    """

    scores_strings = False

    def __init__(self, rest: str, settings: EngineSettings) -> None:
        self.spec = f"openai/{rest}"
        self.again: Callable[[Request], bool] = lambda request: True
        """Asked, from any thread, before a request that the server may have worked on is sent once more."""
        match = _SPEC.fullmatch(rest)
        if not match:
            raise ConfigError(f"'{self.spec}' is not openai/NAME@URL, such as openai/my-model@http://localhost:8000/v1")
        self._name = match["name"]
        self._settings = settings
        self._probing = threading.Lock()
        url = _base_url(match["url"])
        self._hosted = url is None
        self.client = Client(self.spec, url, settings.timeout, settings.retries)

    @cached_property
    def fingerprint(self) -> str:
        """Asks the server what its model of this name is and how it scores; raises `EngineError` when it has none."""
        try:
            models = self.client.get("/models", _models)
        except Refused as refused:
            raise EngineError(f"{self.spec}: {refused}") from None
        known = {str(one.get("id")): one for one in models}
        if self._name not in known:
            self._require_served(list(known))
        root = known.get(self._name, {}).get("root")
        return fingerprint(
            code=CODE_VERSION, name=self._name, root=root, template=self._settings.template,
            address=_address(self.client.url) if root in (None, "", self._name) else None,
            scoring=self._dialect.scoring,
        )  # fmt: skip

    @cached_property
    def scores_choices(self) -> bool:
        """Whether the server goes on with a given answer and tells the log-probabilities of what comes next."""
        return self._dialect.scores

    def generate(self, requests: Iterable[GenerateRequest]) -> Iterator[tuple[int, Completion | Failure]]:
        """Up to `concurrency` requests are under way at once; answers come as they arrive."""

        def ask(request: GenerateRequest) -> Completion | Failure:
            dialect = self._dialect if request.prefix or self._transcript else Dialect()
            path, body = generate_call(self._name, request, dialect, self._hosted)
            return self._asked(path, body, lambda answer: completion(answer, request, dialect), request)

        yield from self._spread(requests, ask)

    def score(self, requests: Iterable[ChoiceRequest]) -> Iterator[tuple[int, ChoiceScores | Failure]]:
        """One request each; exact where the server takes token ids, else from its likeliest tokens."""

        def ask(request: ChoiceRequest) -> ChoiceScores | Failure:
            ids = self._choice_ids(request) or () if dialect.by_id else ()
            path, body = score_call(self._name, request, dialect, ids)
            return self._asked(path, body, lambda answer: choice_scores(answer, request, dialect, ids), request)

        dialect = self._dialect
        if not dialect.scores:
            raise EngineError(
                f"{self.spec}: this server gives no log-probabilities after a given beginning of an answer"
            )
        yield from self._spread(requests, ask)

    def one_token(self, prefix: str, choices: Sequence[str]) -> bool | None:
        """By the server's `/tokenize`; None where it has none or is asked for plain transcripts."""
        if self._transcript or not self.scores_choices:
            return None
        try:
            ids = self._choice_ids(ChoiceRequest((user("Hi"),), tuple(choices), prefix))
        except (EngineError, Refused, BrokenBodyError):
            return None
        return None if ids is None else bool(ids)

    # ------------------------------------------------------------------------------------------------- asking

    def _asked(
        self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], _A], request: Request
    ) -> _A | Failure:  # fmt: skip
        try:
            answer: _A = self.client.post(path, body, read, lambda: self.again(request))
        except Refused as refused:
            return answered(refused)
        return answer

    def _spread(self, requests: Iterable[_R], ask: Callable[[_R], _A]) -> Iterator[tuple[int, _A]]:
        """Requests are pulled in this thread, only as workers become free; an error ends it after what is under way."""
        pool = ThreadPoolExecutor(max(1, self._settings.concurrency), thread_name_prefix="cai-openai")
        numbered = enumerate(requests)
        running: dict[Future[_A], int] = {}
        failed: EngineError | BudgetError | None = None
        try:
            while True:
                while failed is None and len(running) < max(1, self._settings.concurrency):
                    item = next(numbered, None)
                    if item is None:
                        break
                    running[pool.submit(ask, item[1])] = item[0]
                if not running:
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(done)
                    try:
                        yield index, done.result()
                    except (EngineError, BudgetError) as error:
                        failed = failed or error
        except BaseException:
            self.client.close()
            self.client = self.client.renewed()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failed is not None:
            raise failed

    # ------------------------------------------------------------------------------------------------- probing

    @property
    def _transcript(self) -> bool:
        return self._settings.template == "transcript"

    @property
    def _dialect(self) -> Dialect:
        with self._probing:
            return self._found

    @cached_property
    def _found(self) -> Dialect:
        """What the server can do, found out with a handful of one-token requests."""
        if self._transcript:
            dialect = Dialect(transcript=True)
            return Dialect(True, "always", self._gives_logprobs(dialect, ""))
        fresh = self._prompt_tokens(Dialect(), "")
        for way in ("flags", "always"):
            dialect = Dialect(continues=way)
            told = self._prompt_tokens(dialect, "A")
            # A turn that is continued grows by its text alone; one that is closed and followed by another, by more.
            if told is not None and fresh is not None and told - fresh == 1 and self._gives_logprobs(dialect, "A"):
                return Dialect(False, way, True, self._takes_ids(way))
        return Dialect()

    def _require_served(self, listed: list[str]) -> None:
        """Some servers serve what they do not list: only one that refuses the name has no such model."""
        request = GenerateRequest((user("Hi"),), Sampling(max_tokens=1, temperature=0))
        path, body = generate_call(self._name, request, Dialect(transcript=self._transcript), self._hosted)
        try:
            self.client.post(path, body, lambda answer: answer)
        except (EngineError, Refused) as error:
            names = ", ".join(listed) or "none"
            raise EngineError(f"{self.client.url} serves no model '{self._name}' (it lists {names}): {error}") from None

    def _probe(self, dialect: Dialect, prefix: str) -> dict[str, Any] | None:
        path, body = score_call(self._name, ChoiceRequest((user("Hi"),), ("A",), prefix), dialect)
        try:
            answer: dict[str, Any] = self.client.post(path, body, lambda answer: answer)
        except Refused:
            return None
        return answer

    def _prompt_tokens(self, dialect: Dialect, prefix: str) -> int | None:
        request = GenerateRequest((user("Hi"),), Sampling(max_tokens=1, temperature=0), 0, prefix)
        path, body = generate_call(self._name, request, dialect, self._hosted)
        found = self._asked(path, body, usage, request)
        return None if isinstance(found, Failure) else found.get("prompt_tokens")

    def _gives_logprobs(self, dialect: Dialect, prefix: str) -> bool:
        answer = self._probe(dialect, prefix)
        try:
            return answer is not None and bool(top_logprobs(answer, dialect))
        except BrokenBodyError:
            return False

    def _takes_ids(self, way: str) -> bool:
        request = ChoiceRequest((user("Hi"),), ("A", "B"), "Answer: (")
        dialect = Dialect(continues=way)
        try:
            ids = self._choice_ids(request)
            if not ids:
                return False
            path, body = score_call(self._name, request, dialect, ids)
            exact = self.client.post(path, body, lambda answer: answer)
            return isinstance(choice_scores(exact, request, dialect, ids), ChoiceScores)
        except (EngineError, Refused, BrokenBodyError):
            return False

    def _choice_ids(self, request: ChoiceRequest) -> tuple[int, ...] | None:
        """Each choice's token right after the prefix, by the server's `/tokenize`; empty if one is not one token.

        None if the server's answers hold no tokens: some take another question under that name.
        """
        key = (request.prefix, request.choices)
        if key not in self._ids:
            before = self._tokenized(request.prefix)
            rows = [self._tokenized(request.prefix + choice) for choice in request.choices]
            single = all(len(row) == len(before) + 1 and row[:-1] == before for row in rows)
            apart = len({row[-1] for row in rows if row}) == len(rows)
            self._ids[key] = (tuple(row[-1] for row in rows) if single and apart else ()) if before else None
        return self._ids[key]

    @cached_property
    def _ids(self) -> dict[tuple[str, tuple[str, ...]], tuple[int, ...] | None]:
        return {}

    def _tokenized(self, answer: str) -> list[int]:
        turns: list[Message] = [user("Hi"), assistant(answer)] if answer else [user("Hi")]
        flags = {"add_generation_prompt": not answer, "continue_final_message": bool(answer)}
        body = {"model": self._name, "messages": [turn.to_json() for turn in turns], **flags}
        parts = urlsplit(self.client.url)
        found = self.client.post(f"{parts.scheme}://{parts.netloc}/tokenize", body, lambda answer: answer)
        return [int(one) for one in found.get("tokens", [])]


def _base_url(url: str | None) -> str | None:
    """`url` with `/v1` where it names a host alone; a key in it is refused."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ConfigError("a server's URL may hold no key; set CAI_OPENAI_API_KEY in the environment")
    return url if parts.path.strip("/") else url.rstrip("/") + "/v1"


def _address(url: str) -> str:
    """scheme://host:port/path, without a user's name or key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _models(answer: dict[str, Any]) -> list[dict[str, Any]]:
    found = answer.get("data")
    if not isinstance(found, list):
        raise BrokenBodyError("no list of models in it")
    return [one for one in found if isinstance(one, dict)]
