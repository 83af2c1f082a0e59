"""The call store: every answer that a model ever gave, in one SQLite file, so that none is paid for twice.

The key is the sha256 of canonical JSON of all that can change the answer: the engine's fingerprint, the messages, the
sampling, the seed, the choices. An answer is in a journal the moment it arrives (a killed process loses nothing that
was handed over), is committed in groups at most `COMMIT_SECONDS` apart while answers arrive (from then on other
processes see it), and is flushed to the disk every `FLUSH_SECONDS` (a power cut loses no more).
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cai.errors import StoreError
from cai.records import Answer, ChoiceRequest, ChoiceScores, Completion, Request
from cai.storage.journal import Journal, Line, abandoned, read_answer

COMMIT_SECONDS = 0.5
FLUSH_SECONDS = 2.0
FORMAT = 1
_TABLE = "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, answer TEXT NOT NULL)"
_LOOKUP = 500
_GROUP = 6_000
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

    Each sees what the others have committed. Nothing reserves a key: two processes that ask the same at the same
    moment may both ask the model, and the answer that is committed first stays.
    Raises `StoreError` when the file is not a call store, is of another version, is damaged, or cannot be written
    (disk full).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._flushed = self._committed = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._group: dict[bytes, str] = {}
            self._db = sqlite3.connect(path, isolation_level=None, timeout=60.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-8000")
            self._db.execute(_TABLE)
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.execute(f"PRAGMA user_version={FORMAT}")
        except (sqlite3.Error, OSError) as error:
            hint = "; if it is one, it is damaged: move it away and run again" if _is_damage(error) else ""
            raise StoreError(f"{path}: cannot open the call store: {error}{hint}") from None
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
            raise self._not_kept(error) from None

    def _not_kept(self, error: Exception) -> StoreError:
        if _is_damage(error):
            return self._damaged(error)
        return StoreError(f"{self.path}: cannot keep an answer: {error}; free some space and run again")

    def _damaged(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self.path}: the call store is damaged ({error}); move it away and run again (its answers are asked for "
            f"anew), or save what can be read: sqlite3 {self.path.name} .recover | sqlite3 NEW"
        )

    def _rows(self, query: str, values: Sequence[bytes] = ()) -> list[Any]:
        try:
            with closing(self._db.execute(query, values)) as rows:
                return rows.fetchall()
        except sqlite3.Error as error:
            if _is_damage(error):
                raise self._damaged(error) from None
            raise StoreError(f"{self.path}: cannot read the call store: {error}; run again") from None

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys` that have no answer yet, in order, each once."""
        known: set[bytes] = {key for key in keys if key in self._group}
        for some in _chunks(keys):
            marks = ",".join("?" * len(some))
            known.update(key for (key,) in self._rows(f"SELECT key FROM calls WHERE key IN ({marks})", some))
        return [key for key in dict.fromkeys(keys) if key not in known]

    def put(self, key: bytes, answer: Completion | ChoiceScores) -> None:
        """Keep one answer; the first answer to a key stays."""
        text = _text(answer)
        try:
            self._journal.add(key, text)
        except OSError as error:
            raise self._not_kept(error) from None
        self._group.setdefault(key, text)
        now = time.monotonic()
        if now - self._flushed > FLUSH_SECONDS:
            self.flush()
        elif len(self._group) >= _GROUP or now - self._committed > COMMIT_SECONDS:
            self._settle()

    def _settle(self) -> None:
        """Commit what is only in the journal."""
        if self._group:
            with self._told():
                self._commit(sorted(self._group.items()))
                self._journal.clear()
            self._group.clear()
        self._committed = time.monotonic()

    def _commit(self, lines: Sequence[Line]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?)", lines)
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers to those of `keys` that have one."""
        self._settle()
        found: dict[bytes, Answer] = {}
        try:
            for some in _chunks(keys):
                marks = ",".join("?" * len(some))
                rows = self._rows(f"SELECT key, answer FROM calls WHERE key IN ({marks})", some)
                found.update((key, read_answer(text)) for key, text in rows)
        except (ValueError, TypeError) as error:
            raise self._damaged(error) from None
        return found

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._settle()
        with self._told():
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._flushed = time.monotonic()

    def __len__(self) -> int:
        self._settle()
        [(count,)] = self._rows("SELECT count(*) FROM calls")
        return int(count)

    def close(self) -> None:
        """Flush and close; the store may not be used after. What cannot be committed stays in the journal."""
        try:
            self.flush()
        finally:
            self._journal.close(keep=bool(self._group))
            self._db.close()

    def __enter__(self) -> CallStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[start : start + _LOOKUP] for start in range(0, len(keys), _LOOKUP))


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is broken: locks, full disks and mistakes are subclasses of what is raised then."""
    return type(error) is sqlite3.DatabaseError


def _text(answer: Completion | ChoiceScores) -> str:
    """The answer as one line of JSON; scores, the many and small ones, without an encoder's start-up."""
    if isinstance(answer, ChoiceScores) and answer.told is None and all(map(math.isfinite, answer.logprobs)):
        return f'{{"logprobs":[{",".join(map(repr, answer.logprobs))}],"prompt_tokens":{answer.prompt_tokens}}}'
    return _canonical(answer.to_json())


def keys_of(fingerprint: str, requests: Iterable[Request]) -> list[bytes]:
    """The key of each request, in order."""
    return [call_key(fingerprint, request) for request in requests]
