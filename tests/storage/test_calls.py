"""The call store: keys that depend on everything, answers that stay, processes that die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cai.errors import StoreError
from cai.records import ChoiceRequest, ChoiceScores, Completion, GenerateRequest, Sampling, assistant, user
from cai.storage.calls import COMMIT_SECONDS, CallStore, call_key
from cai.storage.journal import Journal, abandoned

BASE = GenerateRequest((user("hello"),), Sampling(), 7, "")
TEXT = st.text(max_size=50)


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, messages=(user("hello "),)),
        replace(BASE, messages=(assistant("hello"),)),
        replace(BASE, messages=(user("hel"), user("lo"))),
        replace(BASE, sampling=Sampling(max_tokens=255)),
        replace(BASE, sampling=Sampling(temperature=0.9)),
        replace(BASE, sampling=Sampling(top_p=0.9)),
        replace(BASE, seed=8),
        replace(BASE, prefix="x"),
        ChoiceRequest((user("hello"),), ("A", "B")),
    ],
)
def test_a_key_depends_on_all_that_can_change_the_answer(other: GenerateRequest) -> None:
    assert call_key("f", other) != call_key("f", BASE)
    assert call_key("g", BASE) != call_key("f", BASE)
    assert call_key("f", replace(BASE)) == call_key("f", BASE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(texts=st.lists(TEXT, unique=True, max_size=20))
def test_what_is_put_comes_back_in_any_text(tmp_path: Path, texts: list[str]) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        keys = [call_key("f", replace(BASE, prefix=text)) for text in texts]
        for key, text in zip(keys, texts, strict=True):
            store.put(key, Completion(text, "stop", 3, 4))
        assert store.missing(keys) == []
        assert [answer.text for answer in map(store.get(keys).get, keys)] == texts  # type: ignore[union-attr]


def test_the_first_answer_stays_and_missing_keeps_order(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        store.put(b"a" * 32, Completion("one", "stop", 1, 1))
        store.put(b"a" * 32, Completion("two", "stop", 1, 1))
        store.put(b"b" * 32, ChoiceScores((-0.5, -1.5), 9))
        store.put(b"e" * 32, ChoiceScores((-0.5, -1.5), 9, 0.25))
        assert store.get([b"a" * 32])[b"a" * 32] == Completion("one", "stop", 1, 1)
        assert store.get([b"b" * 32])[b"b" * 32] == ChoiceScores((-0.5, -1.5), 9)
        assert store.get([b"e" * 32])[b"e" * 32] == ChoiceScores((-0.5, -1.5), 9, 0.25)
        assert store.missing([b"d" * 32, b"a" * 32, b"c" * 32, b"d" * 32]) == [b"d" * 32, b"c" * 32]


WRITER = """
import sys
from pathlib import Path
from cai.records import Completion
from cai.storage.calls import CallStore
store = CallStore(Path(sys.argv[1]))
for n in range(10**9):
    store.put(n.to_bytes(32, "big"), Completion(str(n), "stop", 1, 1))
    sys.stdout.write(f"{n}\\n"); sys.stdout.flush()
"""


def test_every_answer_that_was_put_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(500):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        told = [int(line) for line in process.stdout.read().splitlines() if line]
    last = max(told, default=499)
    with CallStore(path) as store:
        assert store.missing([n.to_bytes(32, "big") for n in range(last + 1)]) == []


FILLED = """
import resource, sys
from pathlib import Path
from cai.errors import StoreError
from cai.records import Completion
from cai.storage.calls import CallStore

def key(n): return n.to_bytes(32, "big")

def filled(path, first):
    store, told = CallStore(path), []
    try:
        for n in range(first, first + 1000):
            store.put(key(n), Completion(f"{n} " + "x" * 1000, "stop", 1, 1))
            told.append(n)
    except StoreError as error:
        assert "cannot keep an answer" in str(error), error
    try:
        store.close()
    except StoreError:
        pass
    return told

path = Path(sys.argv[1])
CallStore(path).close()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (64_500, hard))
told = filled(path, 0)
assert 10 < len(told) < 900, len(told)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
again = filled(path, 2000)
with CallStore(path) as store:
    assert store.missing([key(n) for n in [*told, *again]]) == []
    assert len(store) == len(told) + len(again)
    assert all(answer.text.startswith(f"{n} ") for n in told for answer in store.get([key(n)]).values())
    assert store.missing([key(len(told))]) == [key(len(told))]
assert not list(path.parent.glob("*.journal"))
"""


def test_a_full_disk_loses_no_answer_that_was_kept_and_breaks_no_other(tmp_path: Path) -> None:
    """A limit on the size of files makes the kernel cut a write short, as a full disk does."""
    subprocess.run([sys.executable, "-c", FILLED, str(tmp_path / "calls.sqlite")], check=True)


def test_a_write_cut_short_leaves_only_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    answer = json.dumps(Completion("one", "stop", 1, 1).to_json())
    write = os.write
    journal.add(b"a" * 32, answer)
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:90]))
    with pytest.raises(OSError, match="No space left"):
        journal.add(b"b" * 32, answer)
    monkeypatch.setattr(os, "write", write)
    journal.add(b"c" * 32, answer)
    journal.close(keep=True)
    [(_, lines)] = abandoned(tmp_path / "calls.sqlite")
    assert lines == [(b"a" * 32, answer), (b"c" * 32, answer)]


def test_broken_lines_of_a_journal_are_left_out(tmp_path: Path) -> None:
    whole = json.dumps(Completion("fine", "stop", 1, 1).to_json())
    key = "61" * 32
    lines = [
        f"{key} {whole}", f"{'62' * 32} {whole[:20]}{key} {whole}", f"{'zz' * 32} {whole}", f"{'63' * 32} {{}}",
        f"{'64' * 31} {whole}", "\0" * 80 + "}", f"{'65' * 32} " + whole.replace('"fine"', '"\udcff"'), "", "}",
        f"{'66' * 32} {whole}",
    ]  # fmt: skip
    path = tmp_path / "calls.sqlite"
    (tmp_path / "calls.sqlite-1-ab.journal").write_bytes("\n".join(lines).encode(errors="surrogateescape") + b"\n6")
    with CallStore(path) as store:
        assert set(store.get([bytes([n]) * 32 for n in range(256)])) == {b"a" * 32, b"f" * 32}
        assert len(store) == 2


def damaged(path: Path) -> None:
    """A store of many pages, all but the first of which are overwritten."""
    with CallStore(path) as store:
        for n in range(600):
            store.put(n.to_bytes(32, "big"), Completion("x" * 100, "stop", 1, 1))
    data = path.read_bytes()
    assert len(data) > 16 * 4096
    path.write_bytes(data[:4096] + b"\x5a" * (len(data) - 4096))


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get([b"a" * 32]),
        lambda store: store.missing([b"a" * 32]),
        len,
        lambda store: [store.put(b"a" * 32, Completion("x", "stop", 1, 1)), store.flush()],
    ],
)
def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path: Path, use: Callable[[CallStore], object]) -> None:
    damaged(tmp_path / "calls.sqlite")
    store = CallStore(tmp_path / "calls.sqlite")
    with pytest.raises(StoreError, match=r"calls\.sqlite: the call store is damaged \(.*malformed\); move it away"):
        use(store)
    with contextlib.suppress(StoreError):
        store.close()


def test_a_stored_text_that_is_no_answer_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    CallStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO calls VALUES (?, ?)", (b"a" * 32, '{"text": "cut'))
    with CallStore(path) as store, pytest.raises(StoreError, match=r"calls\.sqlite: the call store is damaged"):
        store.get([b"a" * 32])


def test_what_one_process_is_told_another_sees_soon(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.sqlite") as one, CallStore(tmp_path / "calls.sqlite") as other:
        keys = [n.to_bytes(32, "big") for n in range(2)]
        one.put(keys[0], Completion("x", "stop", 1, 1))
        time.sleep(COMMIT_SECONDS + 0.05)
        one.put(keys[1], Completion("y", "stop", 1, 1))
        assert COMMIT_SECONDS <= 0.5 and other.missing(keys) == []


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_text("not a database, but long enough to be looked at" * 10)
    with pytest.raises(StoreError, match=r"calls\.sqlite: cannot open"):
        CallStore(tmp_path / "calls.sqlite")


def test_another_version_is_refused(tmp_path: Path) -> None:
    CallStore(tmp_path / "calls.sqlite").close()
    with sqlite3.connect(tmp_path / "calls.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StoreError, match="format 99"):
        CallStore(tmp_path / "calls.sqlite")
