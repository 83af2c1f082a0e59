"""One call to an OpenAI-compatible server: which failures are tried again, which end the run, which are one request's.

The key comes from the environment alone, `CAI_OPENAI_API_KEY` or `OPENAI_API_KEY`; the second is not sent to a plain
http address that is not this machine. It is never part of a message.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from cai.errors import BudgetError, EngineError
from cai.records import Failure

RETRIED = frozenset({408, 409, 429})
OWN_FAULT = frozenset({400, 413, 422})
LONGEST_PAUSE = 600.0
"""Seconds: a server that asks for more is asked again then."""
TOLD_PAUSE = 5.0
"""Seconds: a pause of this length is told on standard error, and no more often than this."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
Json = dict[str, Any]


class BrokenBodyError(Exception):
    """A 200 answer that is not the JSON object it should be; it is asked for again."""


class Refused(Exception):
    """The server says that this one request cannot be answered."""


def _always() -> bool:
    return True


class Client:
    """Posts JSON with retries: on 408, 409, 429, 5xx, lost connections, timeouts and broken bodies.

    Raises `Refused` on 400, 413 and 422, and `EngineError` on any other 4xx or when the retries are used up. An address
    where nothing listens is not tried again until something there has answered once. An attempt that the server may
    have worked on is made again only if `again()` says so, else `BudgetError`.
    """

    def __init__(self, spec: str, url: str | None, timeout: float, retries: int) -> None:
        try:
            import openai
        except ImportError:
            raise EngineError(f"{spec} needs the openai package: pip install openai") from None
        self._settings = (spec, url, timeout, retries)
        self._spec = spec
        self._key = api_key(url)
        if not self._key:
            raise EngineError(f"{spec}: no key; set OPENAI_API_KEY (or CAI_OPENAI_API_KEY) in the environment")
        self._errors = openai
        self._retries = retries
        self._reached = False
        self._told, self._telling = -TOLD_PAUSE, threading.Lock()
        self._stopped = threading.Event()
        self.pause: Callable[[float], object] = self._stopped.wait
        self._client = openai.OpenAI(
            base_url=url, api_key=self._key, timeout=timeout, max_retries=0,
            default_headers={"Authorization": f"Bearer {self._key}"},
        )  # fmt: skip
        self.url = str(self._client.base_url).rstrip("/")

    def post(self, path: str, body: Json, read: Callable[[Json], Any], again: Callable[[], bool] = _always) -> Any:
        """`read` of the answer's JSON object; a `read` that raises `BrokenBodyError` has the request sent again."""
        return self._tried(lambda: self._client.post(path, body=body, cast_to=object), read, again)

    def get(self, path: str, read: Callable[[Json], Any]) -> Any:
        """The same for a GET."""
        return self._tried(lambda: self._client.get(path, cast_to=object), read)

    def close(self) -> None:
        """End pauses and open connections, so that a run that is interrupted ends at once."""
        self._stopped.set()
        self._client.close()

    def renewed(self) -> Client:
        """A client that is open, with the same settings."""
        return Client(*self._settings)

    def _tried(
        self, send: Callable[[], Any], read: Callable[[Json], Any], again: Callable[[], bool] = _always
    ) -> Any:  # fmt: skip
        attempt = 0
        while True:
            wait: float | None = None
            free = False
            try:
                answer = send()
                self._reached = True
                if not isinstance(answer, dict):
                    raise BrokenBodyError("the answer is not a JSON object")
                return read(answer)
            except self._errors.APIStatusError as error:
                self._reached = True
                self._raise_unless_temporary(error)
                reason, wait = f"status {error.status_code}", retry_after(error.response.headers)
                free = error.status_code in RETRIED
            except self._errors.APITimeoutError:
                reason = "no answer in time"
            except self._errors.APIConnectionError as error:
                reason = f"no connection ({error.__cause__ or error})"
                free = _nobody_there(error)
                if not self._reached and free:
                    raise EngineError(
                        self._shown(f"{self.url}: {reason}; is the server running, and is this its address?")
                    ) from None
            except (BrokenBodyError, ValueError) as error:
                reason = f"a broken answer ({error})"
            if attempt >= self._retries or self._stopped.is_set():
                raise EngineError(self._shown(f"{self.url} gave {reason}, after {attempt + 1} attempts"))
            if not free and not again():
                raise BudgetError(self._shown(f"{self.url} gave {reason}; another attempt could pass the budget"))
            seconds = min(LONGEST_PAUSE, wait) if wait is not None else backoff(attempt)
            attempt += 1
            if seconds >= TOLD_PAUSE or reason.startswith("no connection"):
                self._tell(f"{self.url}: {reason}; trying again in {seconds:.0f} s ({attempt} of {self._retries})")
            self.pause(seconds)

    def _tell(self, text: str) -> None:
        """One line on standard error, from whichever thread comes first."""
        with self._telling:
            now = time.monotonic()
            if now - self._told >= TOLD_PAUSE:
                self._told = now
                sys.stderr.write(f"{self._shown(text)}\n")

    def _raise_unless_temporary(self, error: Any) -> None:
        status = error.status_code
        if status in RETRIED or status >= 500:
            return
        text = self._shown(f"status {status}: {_message(error)}")
        if status in OWN_FAULT:
            raise Refused(text) from None
        hints = {
            401: "; is the key right?",
            403: "; may this key use the model?",
            404: "; are model name and URL right?",
        }
        raise EngineError(f"{self._spec}: {text}{hints.get(status, '')}") from None

    def _shown(self, text: str) -> str:
        if self._key != "none":
            text = text.replace(self._key, "***")
        return " ".join(text.split())


def _nobody_there(error: BaseException | None) -> bool:
    """Whether a connection was refused, or its host has no address."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def answered(refused: Refused) -> Failure:
    """The failure of the one request that the server refused."""
    return Failure(f"the server refused this request: {refused}")


def api_key(url: str | None) -> str:
    """The key to send to `url`; "none" where there is none and a server of one's own is named, else empty."""
    own = os.environ.get("CAI_OPENAI_API_KEY", "")
    public = os.environ.get("OPENAI_API_KEY", "")
    if url is None:
        return own or public
    parts = urlsplit(url)
    if own or (parts.scheme != "https" and parts.hostname not in _LOCAL):
        return own or "none"
    return public or "none"


def backoff(attempt: int) -> float:
    """Seconds before attempt + 1: 0.5, 1, 2, … up to 30, of which a random half is left out."""
    return min(30.0, 0.5 * 2.0**attempt) * random.uniform(0.5, 1.0)


def retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait, from a number or a date; None if it does not say."""
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _message(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    found = body.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or error.message
    return " ".join(str(found).split())[:300]
