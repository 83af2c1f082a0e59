"""A budget is never passed, whatever an engine pulls at once; a run that it stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.cli import main
from cai.errors import BudgetError, ConfigError
from cai.models import load_model
from cai.models.fake import FakeEngine
from cai.pipeline.prices import Price, Prices, money_of, parse_prices
from cai.pipeline.spending import Budget, Cost, Spending, parse_budget
from cai.pipeline.stage_loop import run_stage
from cai.recipe import EngineSettings
from cai.records import Completion, Failure, GenerateRequest, Prompt, Sampling, user
from cai.stages.respond import Respond
from cai.storage.calls import CallStore
from tests.models.loopback import Loopback
from tests.pipeline.runs import all_files, write_prompts


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    pytest.importorskip("openai")
    with Loopback() as server:
        yield server


class Windowed(FakeEngine):
    """Pulls a window of requests before it answers any, as engines that work in batches do."""

    def __init__(self, window: int) -> None:
        super().__init__("", EngineSettings())
        self.window = window

    def generate(self, requests: Iterable[Any]) -> Iterator[Any]:
        coming = enumerate(requests)
        while some := list(islice(coming, self.window)):
            for index, request in some:
                yield index, self._completion(request)


def asked(folder: Path, spending: Spending, window: int, rows: int = 60) -> Cost:
    """What was spent on `rows` prompts until it was stopped, if it was."""
    folder.mkdir(exist_ok=True, parents=True)
    source = folder / "prompts.jsonl"
    made = (Prompt.make((user(f"What is the number {n}? " * (1 + n % 5)),)) for n in range(rows))
    source.write_text("".join(json.dumps(prompt.to_json()) + "\n" for prompt in made))
    with CallStore(folder / "calls.sqlite") as store:
        run_stage(
            Respond(Sampling(64)), Windowed(window), source, folder / "respond.jsonl", store,
            meter=spending.meter("model", "fake"),
        )  # fmt: skip
    return spending.spent


@settings(max_examples=25, deadline=None)
@given(window=st.integers(1, 80), tokens=st.integers(1, 4000))
def test_tokens_are_never_passed_and_only_a_call_that_could_pass_them_is_not_made(
    tmp_path_factory: pytest.TempPathFactory, window: int, tokens: int
) -> None:
    spending = Spending(Budget(tokens=tokens))
    folder = tmp_path_factory.mktemp("budget")
    try:
        asked(folder, spending, window)
    except BudgetError:
        assert tokens - spending.spent.tokens < 64 + 128 + 16 * 2 + 24 * 5
    else:
        assert spending.spent.calls == 60
    assert spending.spent.tokens <= tokens
    assert spending.held == Cost()


@settings(max_examples=25, deadline=None)
@given(rates=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=60), tokens=st.integers(1, 9000))
def test_no_tokenizer_passes_a_budget_however_its_rate_jumps(rates: list[float], tokens: int) -> None:
    """Sparse prompts first say nothing of a dense one after them."""
    spending = Spending(Budget(tokens=tokens))
    meter = spending.meter("model", "openai/a@u")
    for rate in rates:
        request = GenerateRequest((user("x" * 900),), Sampling(8))
        if (most := meter.admit(request)) is not None:
            meter.settle(request, most, Completion("x", "stop", max(1, round(900 * rate)), 8))
    assert spending.spent.tokens <= tokens and spending.held == Cost()


def test_a_request_without_an_answer_is_taken_to_have_cost_the_most() -> None:
    spending = Spending(prices=Prices({"": 1.0}, {"": 1.0}))
    meter = spending.meter("model", "openai/a@u")
    request = GenerateRequest((user("x" * 900),), Sampling(8))
    most = meter.admit(request)
    assert most is not None and most.tokens >= 908
    meter.settle(request, most, Failure("lost"))
    assert spending.spent == most and most.money > 0


def test_every_attempt_that_a_server_may_charge_counts(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_OPENAI_API_KEY", "none")
    engine: Any = load_model(f"openai/tiny@{loopback.url}", EngineSettings(concurrency=1, timeout=5.0, retries=6))
    engine.client.pause = lambda seconds: None
    request = GenerateRequest((user("Hi"),), Sampling(8))
    spending = Spending(Budget(calls=3))
    engine.again = spending.meter("model", engine.spec).again
    meter = spending.meter("model", engine.spec)
    loopback.script = [(429, {}, b"{}"), (500, {}, b"{}"), (200, {}, b"no JSON")]
    most = meter.admit(request)
    assert most is not None
    [(_, answer)] = engine.generate([request])
    meter.settle(request, most, answer)
    assert spending.spent.calls == 3
    loopback.script = [(500, {}, b"{}")]
    sent = len(loopback.requests)
    with pytest.raises(BudgetError, match="another attempt could pass the budget"):
        list(engine.generate([request]))
    assert len(loopback.requests) == sent + 1


@pytest.mark.parametrize("window", [1, 7, 512])
@pytest.mark.parametrize("most", [0, 1, 13, 59])
def test_calls_are_used_to_the_last_and_the_next_command_goes_on(tmp_path: Path, window: int, most: int) -> None:
    first, second = Spending(Budget(calls=most)), Spending(Budget(calls=60 - most))
    going = "goes on from here: each counts its --budget from zero" if most else "needs a greater --budget"
    with pytest.raises(BudgetError, match=rf"respond: the next call could pass the budget of {most} calls.*{going}"):
        asked(tmp_path, first, window)
    assert first.spent.calls == most
    assert asked(tmp_path, second, window).calls == 60 - most


def test_money_is_counted_by_the_prices(tmp_path: Path) -> None:
    spending = Spending(Budget(money=0.01), Prices({"model": 10.0}, {"": 40.0}))
    with pytest.raises(BudgetError, match=r"budget of 0\.01 of money"):
        asked(tmp_path, spending, 16)
    spent = spending.spent
    assert spent.money == pytest.approx((spent.prompt_tokens * 10 + spent.completion_tokens * 40) / 1e6)
    assert 0.004 < spent.money <= 0.01


@pytest.mark.parametrize(
    ("role", "spec", "price"),
    [
        ("model", "openai/a@u", (1.0, 4.0)),
        ("judge", "openai/b@u", (3.0, 4.0)),
        ("critic", "openai/a@u", (1.0, 9.0)),
        ("model", "hf/a", None),
        ("judge", "hf/a", (3.0, 4.0)),
        ("sft", "hf/outputs/x/models/sft", None),
    ],
)
def test_whose_price_is_whose(role: str, spec: str, price: tuple[float, float] | None) -> None:
    assert parse_prices(["1", "judge=3"], ["4", "critic=9"]).of(role, spec) == price


def test_a_price_of_one_kind_alone() -> None:
    """Is no price of the other: what is not known is not told as nothing, save of a model on this machine."""
    prices = Prices({"judge": 3.0}, {})
    assert prices.of("judge", "openai/b") == (3.0, None) and prices.of("judge", "hf/b") == (3.0, 0.0)
    assert prices.of("model", "openai/b") is None
    assert prices.lacking("judge", "openai/b") == ("completion",)
    assert prices.lacking("model", "openai/b") == ("prompt", "completion")
    assert prices.lacking("judge", "hf/b") == prices.lacking("model", "hf/b") == ()
    assert money_of(Price(3.0, 12.0), 2_000_000, 500_000) == 12.0


@pytest.mark.parametrize(
    ("texts", "budget"),
    [
        ([], Budget()),
        (["5"], Budget(money=5.0)),
        (["2000calls"], Budget(calls=2000)),
        (["3Mtokens", "2.5k calls", ".50"], Budget(2500, 3_000_000, 0.5)),
        (["1_000_000 tokens"], Budget(tokens=1_000_000)),
    ],
)
def test_budgets_as_they_are_written(texts: list[str], budget: Budget) -> None:
    assert parse_budget(texts) == budget


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["much"], "expected money such as 5.50, or 2000calls, or 3Mtokens"),
        (["-5"], "expected money"),
        (["nan"], "expected money"),
        (["5", "6"], "bounded twice"),
        (["2.5calls"], "whole numbers"),
    ],
)
def test_budgets_that_are_none(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_budget(texts)


DATA = ["--set", "train=[]", "--set", "sample.policy=base", "--set", "critique.rounds=2", "--set", "audit.items=0"]


def cai(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--budget", "5"],
            "no price for the tokens of model: give --price-prompt 0.15 --price-completion 0.60 (for a million tokens; "
            "0 where they are free), or bound",
        ),
        (
            ["run", "--budget", "5", "--price-prompt", "1"],
            "no price for completion tokens of model: give --price-completion 0.60",
        ),
        (
            ["plan", "--budget", "5", "--price-prompt", "1", "--price-completion", "model=2", "--judge", "fake?bias=1"],
            "no price for completion tokens of judge: give --price-completion judge=0.60",
        ),
        (
            ["run", "--budget", "5", "--price-completion", "judge=1", "--judge", "fake?bias=1"],
            "no price for the tokens of model, prompt tokens of judge: give --price-prompt 0.15 "
            "--price-completion model=0.60",
        ),
        (
            ["plan", "--price-prompt", "judge=1"],
            "--price-prompt judge=1 applies to nothing: the judge of this run is its model; name that (--price-prompt "
            "model=1), or give the judge a model of its own (--judge)",
        ),
        (["run", "--price-completion", "critic=0"], "--price-completion critic=0 applies to nothing: the critic of"),
        (
            ["run", "--model", "embedded", "--judge", "embedded", "--price-completion", "2"],
            "--price-completion 2 applies to nothing: no model of this run is an endpoint; to price one on this "
            "machine, name its role (--price-completion model=2 or --price-completion judge=2)",
        ),
        (["run", "--budget", "lots"], "--budget 'lots': expected money"),
        (["run", "--price-prompt", "jugde=1"], "no role is named 'jugde'; did you mean 'judge'"),
        (["plan", "--price-completion", "x"], "expected money for a million tokens"),
        (["plan", "--price-completion", "-1"], "expected money for a million tokens"),
        (["plan", "--price-prompt", "inf"], "expected money for a million tokens"),
        (["plan", "--price-prompt", "1", "--price-prompt", "2"], "the price of every endpoint is given twice"),
        (["plan", "--until", "revize"], "did you mean 'revise"),
        (["plan", "--set", "reward.lrr=1"], "did you mean 'lr'"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    prompts = write_prompts(tmp_path)
    out = tmp_path / "out" / "run"
    command, *rest = arguments
    code, _, text = cai(
        command, "--model", "fake", "--prompts", str(prompts), "--out", str(out), "--quiet", *DATA, *rest
    )
    assert (code, text.count("\n")) == (2, 1), text
    assert message in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "roles"),
    [
        ([], "--price-prompt model=0.15"),
        (["--judge", "embedded"], "--price-prompt model=0.15 or --price-prompt judge=0.15"),
    ],
)
def test_a_budget_of_money_without_an_endpoint_says_whom_to_price(tmp_path: Path, more: list[str], roles: str) -> None:
    out = tmp_path / "out" / "run"
    code, _, text = cai("plan", "--recipe", "demo", "--out", str(out), *more, "--budget", "0.5")
    assert (code, text.count("\n")) == (2, 1) and not (tmp_path / "out").exists()
    assert (
        "--budget 0.5 is money, and no model that is asked is an endpoint: name the role of a model on this machine "
        in text
    )
    assert f"({roles})" in text


def test_prices_of_a_model_on_this_machine_and_of_one_that_is_asked_later_are_taken() -> None:
    local = Spending(Budget(money=1.0), parse_prices(["judge=1"], []))
    local.prices.check({"model": "hf/a", "judge": "hf/b"})
    local.check({"model": "hf/a", "judge": "hf/b"})
    free = Spending(Budget(money=1.0), parse_prices(["0"], ["0"]))
    free.check({"model": "openai/a", "judge": "hf/b"})
    later = parse_prices(["0.15", "judge=1"], ["0.60"])
    later.check({"model": "hf/a", "judge": "openai/b"})


def test_a_run_stops_before_its_budget_and_goes_on_with_a_greater_one(tmp_path: Path) -> None:
    prompts, log = write_prompts(tmp_path), tmp_path / "log"
    command = ["run", "--model", f"fake?log={log}", "--prompts", str(prompts), *DATA, "--set", "max_rejected=1.0"]
    out = ["--out", str(tmp_path / "cut" / "run")]
    code, _, text = cai(*command, *out, "--quiet", "--budget", "40calls")
    assert (code, text.count("\n")) == (2, 1)
    assert "critique-1: the next call could pass the budget of 40 calls, so it was not made; spent: 40 calls" in text
    assert "the same command goes on from here: each counts its --budget from zero" in text
    assert len(log.read_text().split()) == 40
    code, stdout, _ = cai(*command, *out, "--json", "--budget", "10kcalls")
    assert code == 0
    asked_for = log.read_text().split()
    assert (
        len(asked_for)
        == len(set(asked_for))
        == 40 + sum(one["calls_made"] for one in json.loads(stdout)["stages"] if one["ran"] and "calls_made" in one)
    )
    assert cai(*command, "--out", str(tmp_path / "whole" / "run"), "--quiet")[0] == 0
    assert all_files(tmp_path / "cut" / "run") == all_files(tmp_path / "whole" / "run")


def test_the_table_says_what_is_exact_what_is_not_and_what_the_probe_asked(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    command = [
        "--model",
        "fake",
        "--prompts",
        str(prompts),
        "--out",
        str(tmp_path / "run"),
        *DATA,
        "--price-prompt",
        "1",
    ]
    code, table, told = cai("plan", *command, "--probe", "8")
    assert code == 0
    assert told.count("\n") == 1 and "probe: " in told and "calls.sqlite" in told
    lines = {line.split()[0]: line for line in table.splitlines() if line}
    assert "calls exact" in lines["respond"] and lines["respond"].split()[1:3] == ["8", "20"]
    assert "~" in lines["critique-1"]
    assert "the probe    asked" in table
    found = json.loads(cai("plan", *command, "--json", "--probe", "0")[1])
    assert found["probe"]["calls"] == 0
    assert found["total"]["money"] > 0
    assert cai("run", *command[:-2], "--quiet", "--set", "max_rejected=1.0")[0] == 0


def test_a_plan_takes_the_bounds_of_a_run_and_says_why_a_step_was_not_probed(tmp_path: Path) -> None:
    command = ["plan", "--model", "fake", "--prompts", str(write_prompts(tmp_path)), *DATA, "--accept-audit"]
    code, table, _ = cai(*command, "--out", str(tmp_path / "run"), "--budget", "9calls", "--probe", "8")
    assert code == 0
    assert ": the next call could pass the budget of 9 calls" in table
    assert "not probed   " in table and "the probe    asked 9 calls" in table


def test_what_nothing_tells_is_unknown_and_no_zero(tmp_path: Path) -> None:
    """Nor is an audit without answers to draw from said to ask nothing."""
    data = [*DATA[:-1], "audit.items=4"]
    command = ["plan", "--model", "fake", "--prompts", str(write_prompts(tmp_path)), "--out", str(tmp_path / "run")]
    command += [*data, "--price-prompt", "model=1", "--probe", "0"]
    code, table, _ = cai(*command)
    assert code == 0
    assert "those of answers are unknown" in table and "give or take" not in table
    lines = {line.split()[0]: line for line in table.splitlines() if line}
    assert lines["respond"].count("unknown") == 3 and lines["total"].count("unknown") == 3
    found = json.loads(cai(*command, "--json")[1])
    audit = next(row for row in found["steps"] if row["step"] == "audit")
    assert (audit["calls_exact"], audit["calls_low"]) == (False, 0)
    assert 0 < audit["calls"] <= audit["calls_high"] <= 10 * 4 * 2 + 60
    total = found["total"]
    assert (total["completion_tokens"], total["money"], total["seconds"]) == (None, None, None)


PRICED_IN_PART = [
    (["--price-prompt", "judge=1"], {"model": ["prompt", "completion"], "judge": ["completion"]},
     "no price for the tokens of model, completion tokens of judge"),
    (["--price-completion", "1"], {"model": ["prompt"], "judge": ["prompt"]},
     "no price for prompt tokens of model and judge"),
]  # fmt: skip


@pytest.mark.parametrize(("prices", "no_price", "said"), PRICED_IN_PART)
def test_what_has_no_price_is_named_and_not_told_as_nothing(
    tmp_path: Path, prices: list[str], no_price: dict[str, list[str]], said: str
) -> None:
    command = ["plan", "--model", "fake", "--judge", "fake?bias=1", "--prompts", str(write_prompts(tmp_path)), *DATA]
    command += ["--out", str(tmp_path / "run"), "--probe", "12"]
    code, table, _ = cai(*command, *prices)
    assert code == 0
    [line] = [line for line in table.splitlines() if line.startswith("money ")]
    found = json.loads(cai(*command, *prices, "--json")[1])
    total = found["total"]
    assert total["unpriced"] and total["no_price"] == no_price
    assert line == f"money        more than {total['money']:,.4f}: {said}"
    lines = {line.split()[0]: line for line in table.splitlines() if line}
    assert f"> {total['money']:,.4f}" in lines["total"]
    row = next(one for one in found["steps"] if one["step"] == "respond")
    assert row["unpriced"] and ("no price" in lines["respond"]) == (row["money"] is None) == (prices[1] == "judge=1")
    whole = [*command, "--price-prompt", "1", "--price-completion", "2"]
    total = json.loads(cai(*whole, "--json")[1])["total"]
    assert not total["unpriced"] and total["no_price"] == {}
    assert total["money"] == pytest.approx((total["prompt_tokens"] + 2 * total["completion_tokens"]) / 1e6, abs=1e-5)
    assert "no price" not in cai(*whole)[1] and "no price" not in cai(*command)[1]


def test_a_model_on_this_machine_costs_nothing_unless_it_is_priced(tmp_path: Path) -> None:
    command = ["plan", "--model", "fake", "--judge", "embedded", "--prompts", str(write_prompts(tmp_path)), *DATA]
    command += ["--out", str(tmp_path / "run"), "--probe", "0", "--json", "--until", "label"]
    total = json.loads(cai(*command, "--price-prompt", "1")[1])["total"]
    assert total["no_price"] == {"model": ["completion"]}
    found = json.loads(cai(*command, "--price-prompt", "judge=1")[1])
    label = next(one for one in found["steps"] if one["step"] == "label")
    assert label["money"] == pytest.approx(label["prompt_tokens"] / 1e6, abs=1e-5) and label["no_price"] == {}
