"""The call store: every answer that a model ever gave, in one SQLite file, so that none is paid for twice.

The key is the sha256 of canonical JSON of all that can change the answer: the engine's fingerprint, the messages, the
sampling, the seed, the choices. An answer is in a journal the moment it arrives (a killed process loses nothing that
was handed over), is committed in groups, and is flushed to the disk every `FLUSH_SECONDS` (a power cut loses no more).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cai.errors import StoreError
from cai.records import Answer, ChoiceRequest, ChoiceScores, Completion, Request
from cai.storage.journal import Journal, Line, abandoned

FLUSH_SECONDS = 2.0
FORMAT = 1
_TABLE = "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
_LOOKUP = 500
_GROUP = 1000
_canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True, check_circular=False).encode


def call_key(fingerprint: str, request: Request) -> bytes:
    """The 32-byte key of one call to the engine with this fingerprint."""
    return hashlib.sha256(_canonical([fingerprint, *_call(request)]).encode()).digest()


def _call(request: Request) -> list[Any]:
    messages = [(message.role, message.content) for message in request.messages]
    if isinstance(request, ChoiceRequest):
        return ["score", messages, request.prefix, request.choices]
    drawn = request.sampling
    sampling = (drawn.max_tokens, float(drawn.temperature), float(drawn.top_p))
    return ["generate", messages, request.prefix, sampling, request.seed]


class CallStore:
    """Answers by key. Several processes may use one file at once.

    Raises `StoreError` when the file is not a call store, is of another version, or cannot be written (disk full).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._flushed = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._group: list[Line] = []
            self._db = sqlite3.connect(path, isolation_level=None, timeout=60.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-8000")
            self._db.execute(_TABLE)
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.execute(f"PRAGMA user_version={FORMAT}")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot open the call store: {error}") from None
        if version not in (0, FORMAT):
            raise StoreError(f"{path}: the call store has format {version}, this version of cai reads {FORMAT}")
        with self._told():
            for journal, lines in abandoned(path):
                self._commit(lines)
                journal.unlink()
            self._journal = Journal(path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path}: cannot keep an answer: {error}; free some space and run again") from None

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys` that have no answer yet, in order, each once."""
        self._settle()
        known: set[bytes] = set()
        for some in _chunks(keys):
            marks = ",".join("?" * len(some))
            with closing(self._db.execute(f"SELECT key FROM calls WHERE key IN ({marks})", some)) as rows:
                known.update(key for (key,) in rows)
        return [key for key in dict.fromkeys(keys) if key not in known]

    def put(self, key: bytes, answer: Completion | ChoiceScores) -> None:
        """Keep one answer; the first answer to a key stays."""
        text = _canonical(answer.to_json())
        with self._told():
            self._journal.add(key, text)
            self._group.append((key, text))
            if len(self._group) >= _GROUP or time.monotonic() - self._flushed > FLUSH_SECONDS:
                self.flush()

    def _settle(self) -> None:
        """Commit what is only in the journal."""
        if self._group:
            with self._told():
                self._commit(self._group)
                self._journal.clear()
            self._group.clear()

    def _commit(self, lines: Sequence[Line]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?)", lines)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers to those of `keys` that have one."""
        self._settle()
        found: dict[bytes, Answer] = {}
        for some in _chunks(keys):
            marks = ",".join("?" * len(some))
            with closing(self._db.execute(f"SELECT key, answer FROM calls WHERE key IN ({marks})", some)) as rows:
                found.update((key, _answer(text)) for key, text in rows)
        return found

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._settle()
        with self._told():
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._flushed = time.monotonic()

    def __len__(self) -> int:
        self._settle()
        [count] = self._db.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)

    def close(self) -> None:
        """Flush and close; the store may not be used after."""
        try:
            self.flush()
            self._journal.close()
        finally:
            self._db.close()

    def __enter__(self) -> CallStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[start : start + _LOOKUP] for start in range(0, len(keys), _LOOKUP))


def _answer(text: str) -> Completion | ChoiceScores:
    row = json.loads(text)
    if "logprobs" in row:
        return ChoiceScores(tuple(row["logprobs"]), row["prompt_tokens"])
    return Completion(row["text"], row["finish_reason"], row["prompt_tokens"], row["completion_tokens"])


def keys_of(fingerprint: str, requests: Iterable[Request]) -> list[bytes]:
    """The key of each request, in order."""
    return [call_key(fingerprint, request) for request in requests]
