"""`run_stage`: the only loop over records. Two passes over the stage's input, joined by the call store.

*Fill* asks the engine for what the store lacks, and nothing else. *Read* streams the records through the stage's
`parse` in input order into the output file. So one mechanism gives resume after a kill, incremental reruns,
de-duplication and replay, and memory stays flat: between the passes there are only the keys, 32 bytes a call, in a
temporary file.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from cai.errors import EngineError, ParseError, RunError
from cai.models import Engine, Retrying
from cai.pipeline.spending import Cost, Meter, Spending
from cai.records import Answer, ChoiceRequest, Failure, Json, Request
from cai.stages import Stage
from cai.storage.calls import CallStore, keys_of
from cai.storage.run import atomic_write, read_rows

CHUNK = 256
KEY_BYTES = 32
COUNTED = ("calls_made", "calls_saved", "prompt_tokens", "completion_tokens")
"""What of a stage's result is added up where a step drives several."""
Progress = Callable[[int, int], None]
"""Called with (calls done, calls expected)."""
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


@dataclass(slots=True)
class StageResult:
    """Counts of one stage; `left_out` counts answers of kept rows that are not in them; `seconds` is wall time.

    Tokens are those of the calls made.
    """

    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    calls_made: int = 0
    calls_saved: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    sha256: str = ""

    def to_json(self) -> Json:
        return {
            "rows": self.rows,
            "rejected": self.rejected,
            "reasons": dict(self.reasons.most_common()),
            "left_out": {reason: count for reason, count in self.left_out.most_common() if count},
            "calls_made": self.calls_made,
            "calls_saved": self.calls_saved,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "seconds": round(self.seconds, 3),
        }


def run_stage(
    stage: Stage,
    engine: Engine,
    source: Path,
    output: Path,
    store: CallStore,
    *,
    rows_expected: int = 0,
    max_rejected: float = 1.0,
    progress: Progress | None = None,
    meter: Meter | None = None,
) -> StageResult:
    """Run one stage from `source` (JSONL) to `output`, rejects beside it, both atomic; equal input gives equal bytes.

    Raises `RunError` when more than the share `max_rejected` of the records is rejected (the rejects are kept to be
    read, the output is not written), `BudgetError` when the `meter` lets no more calls through, and whatever the engine
    raises; what was answered until then is kept.
    """
    started = time.monotonic()
    result = StageResult()
    with tempfile.TemporaryFile() as spool:
        meter = meter or Spending().meter("", engine.spec)
        fill = _Fill(stage, engine, source, store, spool, result, rows_expected, progress, meter, output.stem)
        failures = fill.run()
        result.prompt_tokens, result.completion_tokens = meter.total.prompt_tokens, meter.total.completion_tokens
        spool.seek(0)
        _read(stage, source, output, store, spool, failures, result, max_rejected)
    result.seconds = time.monotonic() - started
    return result


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request under way, and the most that it can cost."""

    key: bytes
    request: Request
    most: Cost


@dataclass(slots=True)
class _Fill:
    """The first pass: ask for what is missing, keep each answer as it arrives."""

    stage: Stage
    engine: Engine
    source: Path
    store: CallStore
    spool: IO[bytes]
    result: StageResult
    rows_expected: int
    progress: Progress | None
    meter: Meter
    step: str
    waiting: dict[int, _Asked] = field(default_factory=dict)
    next: tuple[bytes, Request] | None = None
    failures: dict[bytes, Failure] = field(default_factory=dict)
    rows: int = 0
    calls: int = 0

    def run(self) -> dict[bytes, Failure]:
        """Several times over where the budget gets short: answers cost less than was held for them."""
        if isinstance(self.engine, Retrying):
            self.engine.again = self.meter.again
        missing = self._missing()
        self.next = next(missing, None)
        while self.next is not None:
            made = self.result.calls_made
            scored = isinstance(self.next[1], ChoiceRequest)
            requests: Any = self._admitted(missing)
            answers = self.engine.score(requests) if scored else self.engine.generate(requests)
            for index, answer in answers:
                self._keep(index, answer)
            if self.waiting:
                raise EngineError(f"{self.engine.spec}: left {len(self.waiting)} requests unanswered")
            if self.next is not None and self.result.calls_made == made:
                raise self.meter.refused(self.next[1], self.step)
        return self.failures

    def _admitted(self, missing: Iterator[tuple[bytes, Request]]) -> Iterator[Request]:
        """The next requests, for as long as the most that they can cost fits the budget."""
        for index in itertools.count():
            if self.next is None or (most := self.meter.admit(self.next[1])) is None:
                return
            key, request = self.next
            self.waiting[index], self.next = _Asked(key, request, most), None
            yield request
            self.next = next(missing, None)

    def _keep(self, index: int, answer: Answer) -> None:
        asked = self.waiting.pop(index)
        self.result.calls_made += 1
        self.meter.settle(asked.request, asked.most, answer)
        if isinstance(answer, Failure):
            self.failures[asked.key] = answer
        else:
            self.store.put(asked.key, answer)
        if self.progress:
            per_row = self.calls / max(1, self.rows)
            done = self.result.calls_made + self.result.calls_saved
            self.progress(done, max(self.calls, round(per_row * self.rows_expected)))

    def _records(self) -> Generator[Any, None, None]:
        for row in read_rows(self.source):
            self.rows += 1
            yield from self.stage.read(row)

    def _missing(self) -> Generator[tuple[bytes, Request], None, None]:
        """The requests without an answer, each once with its key, pulled by the engine as it needs them."""
        in_flight = set[bytes]()
        with closing(self._records()) as records:
            while chunk := list(islice(records, CHUNK)):
                requests = [self.stage.requests(record) for record in chunk]
                flat = [request for some in requests for request in some]
                keys = keys_of(self.engine.fingerprint, flat)
                _spool(self.spool, [len(some) for some in requests], keys)
                self.calls += len(keys)
                in_flight.clear()
                in_flight.update(asked.key for asked in self.waiting.values())
                missing = set(self.store.missing(keys)) - in_flight - self.failures.keys()
                self.result.calls_saved += len(keys) - len(missing)
                for key, request in zip(keys, flat, strict=True):
                    if key in missing:
                        missing.remove(key)
                        yield key, request


def _records(stage: Stage, source: Path) -> Generator[Any, None, None]:
    for row in read_rows(source):
        yield from stage.read(row)


def _spool(spool: IO[bytes], counts: list[int], keys: list[bytes]) -> None:
    start = 0
    for count in counts:
        spool.write(count.to_bytes(4, "big") + b"".join(keys[start : start + count]))
        start += count


def _next_keys(spool: IO[bytes]) -> list[bytes]:
    data = spool.read(KEY_BYTES * int.from_bytes(spool.read(4), "big"))
    return [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]


def _read(
    stage: Stage,
    source: Path,
    output: Path,
    store: CallStore,
    spool: IO[bytes],
    failures: dict[bytes, Failure],
    result: StageResult,
    max_rejected: float,
) -> None:
    rejected = rejects_path(output)
    digest = hashlib.sha256()
    tally = getattr(stage, "tally", None)
    with closing(_records(stage, source)) as records, atomic_write(output, "wb") as good:
        with atomic_write(rejected, "wb") as bad:
            while chunk := list(islice(records, CHUNK)):
                keys = [_next_keys(spool) for _ in chunk]
                answers: dict[bytes, Answer] = store.get([key for some in keys for key in some])
                if failures:
                    answers.update((key, failures[key]) for some in keys for key in some if key in failures)
                for record, some in zip(chunk, keys, strict=True):
                    mine = [answers[key] for key in some]
                    try:
                        line = row_bytes(stage.parse(record, mine).to_json())
                    except ParseError as error:
                        result.rejected += 1
                        result.reasons[str(error)] += 1
                        bad.write(row_bytes(reject(record, str(error), mine)))
                    else:
                        result.rows += 1
                        if tally is not None:
                            result.left_out.update(tally(mine))
                        digest.update(line)
                        good.write(line)
        check_rejected(result, output, max_rejected)
    if not result.rejected:
        rejected.unlink()
    result.sha256 = digest.hexdigest()


def row_bytes(row: Json) -> bytes:
    """One line of a stage file: compact JSON, readable in any language; unpaired surrogates are escaped."""
    try:
        return (_dumps(row) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(row, separators=(",", ":")) + "\n").encode()


def rejects_path(output: Path) -> Path:
    """Where the rejects of a stage file lie: ``respond.rejected.jsonl`` beside ``respond.jsonl``."""
    return output.with_name(f"{output.stem}.rejected.jsonl")


def reject(record: Any, reason: str, answers: Iterable[Answer]) -> Json:
    """The row that a rejected record becomes: its reason, itself, and the raw answers."""
    raw = [{"failure": one.reason} if isinstance(one, Failure) else one.to_json() for one in answers]
    return {"id": record.id, "reason": reason, "record": record.to_json(), "answers": raw}


def check_rejected(result: StageResult, output: Path, max_rejected: float) -> None:
    """Raises `RunError` when the share of rejects is above `max_rejected`, or when nothing is left."""
    total = result.rows + result.rejected
    if not result.rejected or (result.rows and result.rejected <= max_rejected * total):
        return
    [(reason, count)] = result.reasons.most_common(1)
    raise RunError(
        f"{output.stem}: {result.rejected} of {total} records were rejected (max_rejected is {max_rejected:g}); "
        f"most often ({count}): {reason}; read {rejects_path(output)}"
    )
