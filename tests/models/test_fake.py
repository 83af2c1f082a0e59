from __future__ import annotations

import time

import pytest

from cai.errors import ConfigError, EngineError
from cai.models import load_model
from cai.records import ChoiceRequest, Failure, GenerateRequest, Sampling, user


def asks(count):
    return [GenerateRequest((user(f"question {at}"),), Sampling(), at) for at in range(count)]


def choices(count):
    return [ChoiceRequest((user(f"question {at}"),), ("A", "B"), "(") for at in range(count)]


def test_answers_depend_on_the_request_alone():
    forward = [answer for _, answer in load_model("fake").generate(asks(50))]
    backward = [answer for _, answer in load_model("fake").generate(reversed(asks(50)))]
    assert forward == backward[::-1] and len({answer.text for answer in forward}) == 50
    scores = [answer for _, answer in load_model("fake").score(choices(200))]
    assert all(0.94 < one.mass < 0.96 for one in scores)
    assert 60 < sum(one.logprobs[0] > one.logprobs[1] for one in scores) < 140


def test_planted_behaviour(tmp_path):
    log = tmp_path / "calls.txt"
    engine = load_model(f"fake/reject=0.2,fail=0.1,log={log}")
    answers = [answer for _, answer in engine.generate(asks(1000))]
    failed = sum(isinstance(answer, Failure) for answer in answers)
    assert 60 < failed < 140 and 130 < sum(getattr(one, "finish_reason", "") == "length" for one in answers) < 230
    assert len(set(log.read_text().splitlines())) == 1000
    assert load_model("fake/echo").generate(asks(1)).__next__()[1].text == "question 0"
    biased = [answer for _, answer in load_model("fake?bias=8").score(choices(100))]
    assert all(one.logprobs[0] > one.logprobs[1] for one in biased)
    silent = load_model("fake/scores=0")
    assert silent.scores_choices is False
    with pytest.raises(EngineError):
        silent.score(choices(1))
    stopping = load_model("fake/crash=3").generate(asks(9))
    assert [next(stopping)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EngineError, match="stopped after 3 answers"):
        next(stopping)


def test_the_log_is_written_before_the_answer_is_given(tmp_path):
    log = tmp_path / "calls.txt"
    for index, _ in load_model(f"fake/log={log}").generate(asks(5)):
        assert len(log.read_text().splitlines()) == index + 1


def test_fingerprint_holds_what_changes_answers():
    prints = [load_model(spec).fingerprint for spec in ("fake", "fake/log=x", "fake/latency=1", "fake/reject=0.1")]
    assert len(set(prints[:3])) == 1 and prints[3] != prints[0]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("fake/rejct=1", "no option 'rejct'; did you mean 'reject'?"),
        ("fake/bias=x", "'bias' needs a number, found 'x'"),
        ("fake/bias=inf", "'bias' is a finite number, found 'inf'"),
        ("fake/crash=nan", "'crash' is a whole number, 0 or more, found 'nan'"),
        ("fake/crash=-1", "'crash' is a whole number, 0 or more, found '-1'"),
        ("fake/crash=1.5", "'crash' is a whole number, 0 or more, found '1.5'"),
        ("fake/fail=2", "'fail' is a share from 0 to 1, found '2'"),
        ("fake/reject=-0.1", "'reject' is a share from 0 to 1, found '-0.1'"),
        ("fake/latency=-1", "'latency' is seconds, 0 or more, found '-1'"),
        ("fake/latency=nan", "'latency' is seconds, 0 or more, found 'nan'"),
        ("fake/scores=2", "'scores' is 0 or 1, found '2'"),
        ("fake/echo=nan", "'echo' is 0 or 1, found 'nan'"),
    ],
)
def test_mistakes(spec, says):
    with pytest.raises(ConfigError) as caught:
        load_model(spec)
    assert says in str(caught.value)


def test_the_ends_of_the_ranges_are_allowed():
    load_model("fake?reject=1&fail=0&latency=0&crash=0&bias=-3.5&echo=1&scores=0")


def test_it_is_fast():
    requests = asks(20_000)
    started = time.process_time()
    assert len(list(load_model("fake").generate(requests))) == 20_000
    assert 20_000 / (time.process_time() - started) > 25_000
