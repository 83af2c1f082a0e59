"""The engine for OpenAI-compatible servers, against a real server on this machine."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from cai.errors import ConfigError, EngineError
from cai.models import load_model
from cai.models.openai_client import api_key, backoff, retry_after
from cai.models.openai_wire import Dialect, choice_scores
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, Completion, Failure, GenerateRequest, Sampling, assistant, user
from tests.models.loopback import Loopback, TinyServer, chat_answer

pytest.importorskip("openai")
OK = json.dumps(chat_answer("fine")).encode()
SETTINGS = EngineSettings(concurrency=4, timeout=5.0, retries=3)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "CAI_OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def connect(loopback, settings=SETTINGS):
    engine = load_model(f"openai/tiny@{loopback.url}", settings)
    engine.pauses = []
    engine.client.pause = engine.pauses.append
    return engine


def asks(count, **more):
    return [GenerateRequest((user(f"question {at}"),), Sampling(8, 0.0), at, **more) for at in range(count)]


def test_answers_every_request_with_its_index(loopback):
    loopback.answer = lambda path, body: chat_answer(body["messages"][-1]["content"].upper())
    answers = dict(connect(loopback).generate(iter(asks(30))))
    assert {index: answer.text for index, answer in answers.items()} == {at: f"QUESTION {at}" for at in range(30)}
    [body] = [body for body in loopback.bodies() if body["messages"][-1]["content"] == "question 7"]
    assert body == {
        "model": "tiny", "messages": [{"role": "user", "content": "question 7"}], "max_tokens": 8, "temperature": 0.0,
        "top_p": 1.0, "seed": 7,
    }  # fmt: skip


def test_concurrency_is_bounded_and_requests_are_pulled_as_workers_are_free(loopback):
    pulled = []
    answered = []

    def slow(path, body):
        time.sleep(0.01)
        return chat_answer("x")

    def requests():
        for request in asks(24):
            pulled.append(threading.get_ident())
            assert len(pulled) - len(answered) <= 4 + 1
            yield request

    loopback.answer = slow
    for index, _ in connect(loopback).generate(requests()):
        answered.append(index)
    assert sorted(answered) == list(range(24))
    assert set(pulled) == {threading.get_ident()}
    assert 1 < loopback.busiest <= 4


def test_temporary_failures_are_tried_again(loopback):
    engine = connect(loopback, replace(SETTINGS, concurrency=1, retries=10))
    loopback.script = [
        (429, {"Retry-After": "2"}, b"{}"),
        (429, {"retry-after-ms": "1500"}, b"{}"),
        (503, {"Retry-After": formatdate(time.time() + 30, usegmt=True)}, b"{}"),
        (500, {}, b"oops"),
        (408, {}, b"{}"),
        (409, {}, b"{}"),
        (200, {}, OK[: len(OK) // 2]),
        (200, {"content-length": "100000"}, OK),
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, {}, b'{"choices": []}'),
    ]
    [(index, answer)] = engine.generate(iter(asks(1)))
    assert (index, answer.text) == (0, "fine")
    assert len(loopback.bodies()) == 11 and len(engine.pauses) == 10
    assert engine.pauses[:2] == [2.0, 1.5] and 25 < engine.pauses[2] <= 30
    assert all(0.25 * 2**at <= pause <= 0.5 * 2**at for at, pause in list(enumerate(engine.pauses))[3:6])


def test_a_server_that_asks_for_minutes_gets_them(loopback):
    engine = connect(loopback, replace(SETTINGS, concurrency=1))
    loopback.script = [(429, {"Retry-After": "300"}, b"{}"), (503, {"Retry-After": "86400"}, b"{}")]
    assert [answer.text for _, answer in engine.generate(iter(asks(1)))] == ["fine"]
    assert engine.pauses == [300.0, 600.0]


def test_retries_end_and_what_was_answered_is_given(loopback):
    def answer(path, body):
        return chat_answer("x")

    loopback.answer = answer
    engine = connect(loopback, replace(SETTINGS, concurrency=1, retries=2))
    given = []
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:\d+/v1 gave status 500, after 3 attempts"):
        for index, one in engine.generate(iter(asks(5))):
            given.append((index, one.text))
            loopback.script = [(500, {}, b"{}")] * 3 if index == 1 else []
    assert given == [(0, "x"), (1, "x")] and len(loopback.bodies()) == 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_the_server_refuses_fails_alone(loopback, status):
    loopback.script = [(status, {}, b'{"error": {"message": "maximum context length is 8 tokens"}}')]
    engine = connect(loopback, replace(SETTINGS, concurrency=1))
    answers = dict(engine.generate(iter(asks(2))))
    assert answers[0] == Failure(
        f"the server refused this request: status {status}: maximum context length is 8 tokens"
    )
    assert isinstance(answers[1], Completion) and len(loopback.bodies()) == 2 and not engine.pauses


@pytest.mark.parametrize(("status", "hint"), [(401, "is the key right"), (403, "may this key"), (404, "model name")])
def test_other_refusals_end_the_run_at_once(loopback, status, hint, monkeypatch):
    monkeypatch.setenv("CAI_OPENAI_API_KEY", "sk-very-secret")
    loopback.script = [(status, {}, b'{"error": {"message": "bad key sk-very-secret given"}}')]
    engine = connect(loopback, replace(SETTINGS, concurrency=1))
    with pytest.raises(EngineError, match=hint) as caught:
        list(engine.generate(iter(asks(3))))
    assert "sk-very-secret" not in str(caught.value) and "***" in str(caught.value)
    assert len(loopback.requests) == 1
    assert loopback.requests[0][2]["authorization"] == "Bearer sk-very-secret"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1"])
def test_where_nothing_listens_the_first_call_fails_at_once(address, capsys):
    engine = load_model(f"openai/tiny@{address}", SETTINGS)
    engine.client.pause = lambda seconds: pytest.fail("it waited")
    with pytest.raises(EngineError) as told:
        _ = engine.fingerprint
    assert str(told.value).startswith(f"{address}: no connection (") and "is the server running" in str(told.value)
    assert "\n" not in str(told.value) and capsys.readouterr().err == ""


def test_a_server_that_goes_away_is_tried_again_and_that_is_said_once(capsys):
    with Loopback() as server:
        engine = load_model(f"openai/tiny@{server.url}", replace(SETTINGS, concurrency=3, retries=2))
        assert len(list(engine.generate(iter(asks(1))))) == 1
    pauses = []
    engine.client.pause = pauses.append
    with pytest.raises(EngineError, match=r"gave no connection .*, after 3 attempts"):
        list(engine.generate(iter(asks(3))))
    assert len(pauses) == 6
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1: no connection \(.*\); trying again in \d+ s \(1 of 2\)", line)


def test_slow_answers_time_out(loopback):
    def slow(path, body):
        time.sleep(0.3)
        return chat_answer("late")

    loopback.answer = slow
    engine = connect(loopback, replace(SETTINGS, timeout=0.05, retries=1))
    with pytest.raises(EngineError, match="gave no answer in time, after 2 attempts"):
        list(engine.generate(iter(asks(1))))


def test_odd_endings_are_failures(loopback):
    texts = iter([chat_answer(None), chat_answer("cut", "content_filter"), chat_answer("long", "length")])
    loopback.answer = lambda path, body: next(texts)
    answers = dict(connect(loopback, replace(SETTINGS, concurrency=1)).generate(iter(asks(3))))
    assert answers[0] == Failure("the server gave no text")
    assert answers[1] == Failure("the server ended the answer with finish_reason 'content_filter'")
    assert answers[2].finish_reason == "length"


def choice_requests():
    texts = ["bake bread", "mix flour and water", "who is kind", "why"]
    return [
        ChoiceRequest((user(text), assistant("Paris"), user(ask)), ("A", "B", "(A", "kinder"), "Answer: (")
        for text in texts
        for ask in ("first?", "second?")
    ]


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
    from tests.tiny import build_tiny_model

    return load_model(f"hf/{build_tiny_model(tmp_path_factory.mktemp('served'), vocab_size=300)}")


def test_scores_by_id_equal_the_same_weights_here(loopback, hf):
    loopback.answer = TinyServer(hf)
    engine = connect(loopback)
    assert engine.scores_choices and engine._dialect.by_id and engine._dialect.continues == "flags"
    requests = [replace(request, choices=("A", "B")) for request in choice_requests()]
    there, here = dict(engine.score(iter(requests))), dict(hf.score(iter(requests)))
    assert there.keys() == here.keys()
    for index, scores in here.items():
        assert there[index].logprobs == pytest.approx(scores.logprobs, abs=1e-4)
        assert there[index].prompt_tokens == scores.prompt_tokens
    assert not engine.pauses


def test_scores_by_text_are_exact_or_bounded(loopback, hf):
    loopback.answer = TinyServer(hf, by_id=False)
    engine = connect(loopback)
    assert engine.scores_choices and not engine._dialect.by_id
    # Two of the likeliest tokens of the first question, and one that is not among any server's twenty likeliest.
    first = hf.chat.encode(choice_requests()[0].messages, "Answer: (")
    likely = likeliest(hf, first)
    requests = [replace(request, choices=(*likely[:2], likely[-1])) for request in choice_requests()]
    there, here = dict(engine.score(iter(requests))), dict(hf.score(iter(requests)))
    exact = 0
    for index, scores in here.items():
        for theirs, ours in zip(there[index].logprobs, scores.logprobs, strict=True):
            assert theirs >= ours - 1e-4
            exact += abs(theirs - ours) < 1e-4
    assert 2 <= exact < 3 * len(here)


def likeliest(hf, ids):
    """Printable single tokens, likeliest first."""
    import torch

    with torch.inference_mode():
        order = hf._loaded.model(torch.tensor([ids])).logits[0, -1].argsort(descending=True).tolist()
    return [text for text in map(hf.chat.tokenizer.decode, ([one] for one in order)) if text.strip().isalnum()]


@pytest.mark.parametrize("server", [{"continues": False}, {"logprobs": False}])
def test_a_server_that_cannot_score_says_so(loopback, hf, server):
    loopback.answer = TinyServer(hf, **server)
    engine = connect(loopback)
    assert engine.scores_choices is False
    with pytest.raises(EngineError, match="gives no log-probabilities after a given beginning"):
        list(engine.score(iter(choice_requests())))


def test_a_prefix_that_cannot_be_continued_is_asked_for(loopback):
    loopback.answer = lambda path, body: chat_answer("Answer: (B) it is")
    [(_, answer)] = connect(loopback).generate(iter(asks(1, prefix="Answer: (")))
    assert answer.text == "B) it is"
    assert loopback.bodies()[-1]["messages"][-1]["content"].endswith("exactly this text: Answer: (")


def test_prefixes_are_continued_wherever_they_come(loopback, hf):
    loopback.answer = TinyServer(hf)
    mixed = [replace(asks(1)[0], prefix=prefix) for prefix in ("", "Well", "", "So it is")]
    there, here = dict(connect(loopback).generate(iter(mixed))), dict(hf.generate(iter(mixed)))
    assert [there[at].prompt_tokens for at in range(4)] == [here[at].prompt_tokens for at in range(4)]
    assert len(loopback.bodies()) < 4 + 10


def test_a_base_model_gets_a_transcript(loopback, hf):
    loopback.answer = TinyServer(hf)
    engine = connect(loopback, replace(SETTINGS, template="transcript"))
    request = ChoiceRequest((user("hi\n\nHuman: no"),), ("A", "B"), "Answer: (")
    [(_, scores)] = engine.score(iter([request]))
    path, body, _ = loopback.requests[-1]
    assert path == "/v1/completions"
    assert body["prompt"] == "\n\nHuman: hi\n\n Human: no\n\nAssistant: Answer: ("
    [(_, ours)] = load_model(hf.spec, EngineSettings(template="transcript")).score(iter([request]))
    assert all(theirs >= mine - 1e-4 for theirs, mine in zip(scores.logprobs, ours.logprobs, strict=True))
    [(_, answer)] = engine.generate(iter(asks(1)))
    assert answer.finish_reason == "length" and loopback.requests[-1][1]["stop"] == ["\n\nHuman:"]


def test_fingerprint_is_of_the_model_not_of_the_address(loopback):
    from tests.models.loopback import Loopback

    one = connect(loopback).fingerprint
    with Loopback() as other:
        assert connect(other).fingerprint == one
        other.models = [{"id": "tiny", "root": "another/tiny"}]
        assert connect(other).fingerprint != one
        other.models = [{"id": "big"}]
        assert connect(other).fingerprint not in ("", one)
        other.script = [(404, {}, b'{"error": {"message": "the model tiny does not exist"}}')]
        with pytest.raises(EngineError, match=r"serves no model 'tiny' \(it lists big\): .*tiny does not exist"):
            _ = connect(other).fingerprint


def test_servers_that_tell_only_a_name_do_not_share_answers(loopback):
    from tests.models.loopback import Loopback

    with Loopback() as other:
        for models in ([{"id": "tiny"}], [{"id": "tiny", "root": "tiny"}], [{"id": "tiny", "root": None}]):
            loopback.models = other.models = models
            assert connect(loopback).fingerprint == connect(loopback).fingerprint
            assert connect(loopback).fingerprint != connect(other).fingerprint
        base = connect(other).fingerprint
        named = load_model(f"openai/tiny@{other.url}/v1", SETTINGS).fingerprint
        elsewhere = load_model(f"openai/tiny@{other.url}/other/v1", SETTINGS).fingerprint
        assert named == base != elsewhere


def test_answers_scored_in_different_ways_are_not_shared(loopback, hf):
    prints = []
    for server in ({}, {"by_id": False}, {"logprobs": False}):
        loopback.answer = TinyServer(hf, **server)
        prints.append([connect(loopback).fingerprint for _ in range(2)])
    assert all(one == again for one, again in prints) and len({one for one, _ in prints}) == 3


def test_stopping_early_does_not_wait_for_pauses(loopback):
    engine = load_model(f"openai/tiny@{loopback.url}", replace(SETTINGS, concurrency=2))
    loopback.script = [(429, {"Retry-After": "30"}, b"{}")]
    started = time.monotonic()
    answers = engine.generate(iter(asks(4)))
    next(answers)
    answers.close()
    assert time.monotonic() - started < 5
    deadline = time.monotonic() + 5
    assert len(dict(engine.generate(iter(asks(3))))) == 3
    while any(thread.name.startswith("cai-openai") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_where_keys_go(monkeypatch):
    assert api_key("http://localhost:8000/v1") == "none" and api_key(None) == ""
    with pytest.raises(EngineError, match="no key; set OPENAI_API_KEY"):
        load_model("openai/some-model")
    monkeypatch.setenv("OPENAI_API_KEY", "public")
    assert api_key("http://example.org/v1") == "none"
    assert api_key("https://example.org/v1") == api_key("http://127.0.0.1:1/v1") == api_key(None) == "public"
    monkeypatch.setenv("CAI_OPENAI_API_KEY", "own")
    assert api_key("http://example.org/v1") == "own"


@pytest.mark.parametrize(
    ("spec", "says"),
    [("openai/", "is not openai/NAME@URL"), ("openai/m@http://user:key@host/v1", "URL may hold no key")],
)
def test_bad_names(spec, says):
    with pytest.raises(ConfigError, match=says):
        load_model(spec)


def test_names_and_addresses(loopback):
    engine = load_model("openai/org/model@v2@https://host.example/api", SETTINGS)
    assert (engine._name, engine.client.url) == ("org/model@v2", "https://host.example/api")
    assert connect(loopback).client.url == loopback.url + "/v1"


def test_pauses():
    assert all(min(30, 0.5 * 2**at) / 2 <= backoff(at) <= min(30, 0.5 * 2**at) for at in range(12))
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None
    assert retry_after({"retry-after": "-4"}) == 0.0


def test_what_is_no_log_probability_is_no_answer():
    for said in (1000.0, math.inf, math.nan):
        answer = {"choices": [{"logprobs": {"content": [{"token": "A", "logprob": said, "top_logprobs": []}]}}]}
        found = choice_scores(answer, ChoiceRequest((user("which?"),), ("A", "B")), Dialect())
        assert found == Failure("the server gave a log-probability that is not a number")


@pytest.mark.parametrize(
    ("top", "logprobs", "mass"),
    [
        ({"A": 0.5, "B": 0.3, "The": 0.1}, (0.5, 0.3), 0.8),
        ({"A": 0.6, "The": 0.3}, (0.6, 0.1), 0.6),
        ({"A": 0.9, "The": 0.05}, (0.9, 0.05), 0.9),
        ({"The": 0.4966}, (0.4966, 0.4966), 0.0),
        ({"I": 0.41, "The": 0.3}, (0.29, 0.29), 0.0),
    ],
)
def test_a_choice_that_is_not_among_the_likeliest_has_no_mass(top, logprobs, mass):
    first, *rest = ({"token": text, "logprob": math.log(p)} for text, p in top.items())
    answer = {"choices": [{"logprobs": {"content": [{**first, "top_logprobs": rest}]}}]}
    found = choice_scores(answer, ChoiceRequest((user("which?"),), ("A", "B")), Dialect())
    assert [math.exp(one) for one in found.logprobs] == pytest.approx(logprobs, abs=1e-4)
    assert found.mass == pytest.approx(mass, abs=1e-4)
