"""The call store: keys that depend on everything, answers that stay, processes that die."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cai.errors import StoreError
from cai.records import ChoiceRequest, ChoiceScores, Completion, GenerateRequest, Sampling, assistant, user
from cai.storage.calls import CallStore, call_key

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
        assert store.get([b"a" * 32])[b"a" * 32] == Completion("one", "stop", 1, 1)
        assert store.get([b"b" * 32])[b"b" * 32] == ChoiceScores((-0.5, -1.5), 9)
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
