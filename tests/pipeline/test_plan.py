"""A plan against the run that follows it: what is said to be asked is asked, and a plan leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cai.cli.plan_table import plan_table
from cai.errors import CAIError, ConfigError, EngineError, ParseError, RunError
from cai.pipeline.job import Job
from cai.pipeline.make_plan import Planner, make_plan
from cai.pipeline.plan_draw import shares, usual_number
from cai.pipeline.plan_nodes import Node
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_walk import Walk
from cai.pipeline.prices import Prices
from cai.pipeline.spending import Spending
from cai.recipe_files import load_recipe
from cai.records import Answer, GenerateRequest, Json, Prompt, Request, Sampling, user
from cai.storage.calls import CallStore
from cai.storage.run import Run
from tests.pipeline.runs import DATA_ONLY, fake_run, write_prompts
from tests.pipeline.test_run_recipe import constitution_file, edited


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path, red_team=60, helpful=20)


def fake_plan(
    folder: Path,
    prompts: Path,
    model: str = "fake",
    probe: int | None = 0,
    prices: Prices | None = None,
    **settings: Any,
) -> Json:
    """The plan of the run that `fake_run` makes of the same arguments."""
    named = {key.replace("__", "."): value for key, value in settings.items()}
    recipe = load_recipe("rl-cai", {**DATA_ONLY, "model": model, "prompts": [str(prompts)], **named})
    return make_plan(recipe, folder, probe=probe, spending=Spending(prices=prices or Prices()))


def planned(plan: Json, *keys: str) -> dict[str, Any]:
    rows = {row["step"]: row for row in plan["steps"] if row["calls"] or row["answered"]}
    return {step: tuple(row[key] for key in keys) for step, row in rows.items()}


def made(summary: Json, *keys: str) -> dict[str, Any]:
    rows = (one for one in summary["stages"] if one["ran"] and (one.get("calls_made") or one.get("calls_saved")))
    return {one["step"]: tuple(one[key] for key in keys) for one in rows}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


AUDITED: dict[str, Any] = {"audit__items": 4, "sample__num_samples": 3, "label__pairs": "all"}


@pytest.mark.parametrize("settings", [{}, AUDITED, {"label__reasoning_samples": 2}], ids=["plain", "audit", "reasons"])
def test_where_nothing_is_rejected_a_plan_of_nothing_run_says_what_a_run_asks(
    tmp_path: Path, prompts: Path, settings: dict[str, Any]
) -> None:
    plan = fake_plan(tmp_path / "run", prompts, probe=12, **settings)
    assert not (tmp_path / "run").exists()
    summary = fake_run(tmp_path / "run", prompts, **settings)
    said, done = planned(plan, "calls", "answered"), made(summary, "calls_made", "calls_saved")
    exact = planned(plan, "calls_exact")
    assert [step for step, (sure,) in exact.items() if sure] == ["respond", "sample"]
    ranges = planned(plan, "calls_low", "calls_high")
    for step, (calls, saved) in done.items():
        if exact[step] == (True,) or step not in ("label", "audit"):
            assert said[step] == (calls, saved), step
        assert ranges[step][0] <= calls <= ranges[step][1], step


@pytest.mark.parametrize("until", [None, "respond", "critique-1", "revise", "sample", "label"])
def test_every_plan_tells_the_time_of_what_is_still_to_ask(tmp_path: Path, prompts: Path, until: str | None) -> None:
    """Also the second, which asks nothing: the answers that the first one got are there, and its times."""
    settings = {**AUDITED, "evaluate__prompts": 20}
    if until:
        fake_run(tmp_path / "run", prompts, until=until, **AUDITED)
    plans = [fake_plan(tmp_path / "run", prompts, probe=probe, **settings) for probe in (12, 12, 8, 0)]
    for plan, timed in zip(plans, ("probe", "plan", "plan", "plan"), strict=True):
        asking = {row["step"]: row for row in plan["steps"] if row["calls"]}
        assert plan["unmeasured"] == [] and plan["total"]["seconds"] is not None
        assert plan["total"]["completion_tokens"] is not None
        assert asking and {row["timed"] for row in asking.values()} == {timed}, until
        assert plan["probe"]["prompts"] <= 12 and (plan["probe"]["calls"] > 0) == (timed == "probe")
    seconds = [{row["step"]: row["seconds"] for row in plan["steps"]} for plan in plans[:2]]
    assert seconds[0] == pytest.approx(seconds[1], abs=0.11)
    assert planned(plans[1], "calls", "answered") == planned(plans[0], "calls", "answered")


def test_the_time_of_what_is_not_asked_is_told_by_the_speed_of_the_run(tmp_path: Path, prompts: Path) -> None:
    model = "fake?latency=0.002"
    plan = fake_plan(tmp_path / "run", prompts, model)
    assert {row["timed"] for row in plan["steps"]} == {""} and "respond" in plan["unmeasured"]
    fake_run(tmp_path / "run", prompts, model)
    plan = fake_plan(tmp_path / "run", prompts, model, label__template="paper", evaluate__prompts=20)
    rows = {row["step"]: row for row in plan["steps"] if row["calls"]}
    assert {name: row["timed"] for name, row in rows.items()} == {"label": "run", "evaluate": "run"}
    done = Run.existing(tmp_path / "run").steps
    for step, like in (("label", "label"), ("evaluate", "respond")):
        each = done[like]["seconds"] / done[like]["calls_made"]
        assert rows[step]["seconds"] == pytest.approx(rows[step]["calls"] * each, abs=0.06)
    assert "label, evaluate: by the speed that this run had of the same model" in plan_table(plan)
    other = fake_plan(tmp_path / "run", prompts, model, judge="fake?bias=1")
    assert {row["step"]: row["seconds"] for row in other["steps"] if row["calls"]} == {"label": None}


@pytest.mark.parametrize(
    ("sizes", "count", "dealt"),
    [
        ({"red_team": 60, "helpful": 20}, 12, {"red_team": 8, "helpful": 4}),
        ({"red_team": 950, "helpful": 30, "lookalike": 20}, 96, {"red_team": 88, "helpful": 4, "lookalike": 4}),
        ({"red_team": 60, "helpful": 20, "lookalike": 5}, 2, {"red_team": 1, "helpful": 1, "lookalike": 0}),
        ({"red_team": 3, "helpful": 1}, 96, {"red_team": 3, "helpful": 1}),
    ],
)
def test_the_prompts_of_a_probe_are_counted_in_all(sizes: Json, count: int, dealt: Json) -> None:
    assert shares(sizes, count) == dealt


@pytest.mark.parametrize(
    ("sizes", "number"),
    [
        ({"red_team": 352, "helpful": 200, "lookalike": 60}, 61),
        ({"red_team": 5000}, 96),
        ({"red_team": 60, "helpful": 20}, 8),
        ({"red_team": 30, "helpful": 2, "lookalike": 1}, 7),
        ({"red_team": 3}, 3),
    ],
)
def test_a_probe_is_a_tenth_of_the_prompts_if_nothing_else_is_said(sizes: dict[str, int], number: int) -> None:
    assert usual_number(kind for kind, size in sizes.items() for _ in range(size)) == number


def test_a_second_plan_asks_of_no_further_prompts(tmp_path: Path, prompts: Path) -> None:
    """Of an edit it asks what the edit touches, of the prompts whose other answers are there."""
    log = tmp_path / "log"
    model = f"fake?reject=0.3&log={log}"
    first = fake_plan(tmp_path / "run", prompts, model, probe=None)
    assert first["probe"]["prompts"] == 8 and 0 < first["probe"]["calls"] < 0.2 * first["total"]["calls"]
    asked = log.read_text()
    for _ in range(2):
        again = fake_plan(tmp_path / "run", prompts, model, probe=None)
        assert (again["probe"]["prompts"], again["probe"]["calls"]) == (8, 0)
        assert planned(again, "calls", "answered") == planned(first, "calls", "answered")
    assert log.read_text() == asked
    edited = fake_plan(tmp_path / "run", prompts, model, probe=None, label__template="paper")
    assert 0 < edited["probe"]["calls"] <= planned(first, "answered")["label"][0]
    assert planned(edited, "calls", "answered")["sample"] == planned(first, "calls", "answered")["sample"]


def test_time_of_a_step_that_was_cut_off_is_measured_though_its_prompts_are_answered(
    tmp_path: Path, prompts: Path
) -> None:
    one: dict[str, Any] = {"critique__rounds": 1}
    fake_run(tmp_path / "run", prompts, until="respond", **one)
    with pytest.raises(EngineError):
        fake_run(tmp_path / "run", prompts, "fake?crash=50", **one)
    first, second = (fake_plan(tmp_path / "run", prompts, probe=8, **one) for _ in range(2))
    assert first["unmeasured"] == second["unmeasured"] == [] and second["probe"]["calls"] == 0
    assert {row["step"]: row["timed"] for row in first["steps"] if row["calls"]}["critique-1"] == "probe"
    done = made(fake_run(tmp_path / "run", prompts, **one), "calls_made")
    assert planned(first, "calls")["critique-1"] == planned(second, "calls")["critique-1"] == done["critique-1"]


def test_the_probe_is_paid_once(tmp_path: Path, prompts: Path) -> None:
    log = tmp_path / "log"
    plan = fake_plan(tmp_path / "run", prompts, f"fake?log={log}", probe=12)
    assert plan["probe"]["calls"] == len(log.read_text().split()) > 0
    again = fake_plan(tmp_path / "run", prompts, f"fake?log={log}", probe=0)
    assert again["probe"]["calls"] == 0
    assert planned(again, "calls") == planned(plan, "calls")
    fake_run(tmp_path / "run", prompts, f"fake?log={log}")
    asked = log.read_text().split()
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("until", ["respond", "critique-1", "revise", "sample", "label"])
def test_steps_whose_input_is_there_are_exact_rejects_and_all(tmp_path: Path, prompts: Path, until: str) -> None:
    model = "fake?reject=0.2"
    fake_run(tmp_path / "run", prompts, model, until=until, **AUDITED)
    before = files(tmp_path / "run")
    plan = fake_plan(tmp_path / "run", prompts, model, **AUDITED)
    assert files(tmp_path / "run") == before
    summary = fake_run(tmp_path / "run", prompts, model, **AUDITED)
    done = made(summary, "calls_made", "calls_saved")
    done_steps = {row["step"] for row in plan["steps"] if not row["why"]}
    exact = {step for step, (sure,) in planned(plan, "calls_exact").items() if sure}
    follows = {"respond": "critique-1", "critique-1": "revise-1", "sample": "label"}
    assert done_steps and ("audit" in exact if until in ("revise", "sample", "label") else follows[until] in exact)
    said = planned(plan, "calls", "answered")
    assert {step: said[step] for step in exact} == {step: done[step] for step in exact}
    for step, (low, high) in planned(plan, "calls_low", "calls_high").items():
        assert low <= done[step][0] <= high, step


@pytest.mark.parametrize("crash", [7, 100])
def test_a_run_that_was_cut_off(tmp_path: Path, prompts: Path, crash: int) -> None:
    """What is answered is known by its text, so the records of those answers are followed as far as they go."""
    with pytest.raises(EngineError):
        fake_run(tmp_path / "run", prompts, f"fake?reject=0.2&crash={crash}")
        raise EngineError("the crash lies beyond the first stage")
    with pytest.raises(EngineError):
        fake_run(tmp_path / "run", prompts, "fake?reject=0.2&crash=30")
    plan = fake_plan(tmp_path / "run", prompts, "fake?reject=0.2")
    done = made(fake_run(tmp_path / "run", prompts, "fake?reject=0.2"), "calls_made", "calls_saved")
    said, exact = planned(plan, "calls", "answered"), planned(plan, "calls_exact")
    first = next(iter(done))
    assert exact[first] == (True,) and said[first] == done[first]
    for step, (low, high) in planned(plan, "calls_low", "calls_high").items():
        assert low <= done[step][0] <= high, step


def test_a_run_that_is_up_to_date_costs_nothing(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    before = files(tmp_path / "run")
    log = tmp_path / "log"
    plan = fake_plan(tmp_path / "run", prompts, f"fake?log={log}", probe=12)
    assert plan["total"]["calls"] == plan["total"]["prompt_tokens"] == plan["total"]["seconds"] == 0
    assert not any(row["why"] for row in plan["steps"])
    assert not log.exists()
    assert files(tmp_path / "run") == before


def test_another_folder_of_the_same_outputs_finds_every_answer(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    plan = fake_plan(tmp_path / "other", prompts)
    assert (plan["total"]["calls"], plan["total"]["calls_exact"]) == (0, True)
    assert plan["total"]["answered"] > 0
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("form", ["comparison", "critique", "revision"])
def test_after_an_edit_only_what_it_touches_is_counted(tmp_path: Path, prompts: Path, form: str) -> None:
    mine = constitution_file(tmp_path)
    settings: dict[str, Any] = {"constitution": str(mine), "label__principles_per_pair": "all"}
    first = made(fake_run(tmp_path / "run", prompts, **settings), "calls_made")
    edited(mine, form)
    plan = fake_plan(tmp_path / "run", prompts, **settings)
    done = made(fake_run(tmp_path / "run", prompts, **settings), "calls_made", "calls_saved")
    said, exact = planned(plan, "calls", "answered"), planned(plan, "calls_exact")
    assert said.keys() == done.keys()
    step = {"comparison": "label", "critique": "critique-1", "revision": "revise-1"}[form]
    assert exact[step] == (True,)
    assert said[step] == done[step]
    assert 0 < said[step][0] < first[step][0]
    for name, (low, high) in planned(plan, "calls_low", "calls_high").items():
        assert low <= done[name][0] <= high, name


def test_tokens_and_money_of_a_probe_are_near_those_of_the_run(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, red_team=300, helpful=100)
    prices = Prices({"": 2.0, "judge": 5.0}, {"": 8.0})
    plan = fake_plan(tmp_path / "run", prompts, "fake?reject=0.05", probe=48, prices=prices, judge="fake?bias=1")
    summary = fake_run(tmp_path / "run", prompts, "fake?reject=0.05", judge="fake?bias=1")
    done = made(summary, "prompt_tokens", "completion_tokens")
    money = 0.0
    for step, (prompt, written) in planned(plan, "prompt_tokens", "completion_tokens").items():
        assert prompt + written == pytest.approx(sum(done[step]), rel=0.1), step
        price = (5.0, 8.0) if step == "label" else (2.0, 8.0)
        money += (done[step][0] * price[0] + done[step][1] * price[1]) / 1e6
    assert plan["total"]["money"] == pytest.approx(money, rel=0.1)
    tokens = sum(map(sum, done.values()))
    total = plan["total"]
    assert abs(total["prompt_tokens"] + total["completion_tokens"] - tokens) <= total["tokens_error"]


def test_money_is_tokens_times_price_to_the_last_digit(tmp_path: Path, prompts: Path) -> None:
    plan = fake_plan(
        tmp_path / "run", prompts, probe=12, prices=Prices({"model": 3.0}, {"model": 7.0}), judge="fake?bias=1"
    )
    for row in plan["steps"]:
        if row["calls"] and row["step"] != "label":
            expected = (row["prompt_tokens"] * 3.0 + row["completion_tokens"] * 7.0) / 1e6
            assert row["money"] == pytest.approx(expected, abs=1e-5)
    assert next(row for row in plan["steps"] if row["step"] == "label")["money"] is None


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"sample__policy": "sft"}, ConfigError), ({"constitution": "harmlesness"}, CAIError)],
)
def test_a_plan_refuses_what_a_run_refuses(
    tmp_path: Path, prompts: Path, settings: dict[str, Any], error: type[CAIError]
) -> None:
    with pytest.raises(error) as told:
        fake_plan(tmp_path / "out" / "run", prompts, **settings)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_no_round_is_left_out_of_a_plan_of_which_nothing_is_known(tmp_path: Path, prompts: Path) -> None:
    """Texts of a critique and its revision are taken for equally long; neither is taken for the other again."""
    plan = fake_plan(tmp_path / "run", prompts, critique__rounds=4)
    ranges = planned(plan, "calls", "calls_low", "calls_high", "calls_exact")
    steps = [f"{stage}-{n}" for n in range(1, 5) for stage in ("critique", "revise")]
    assert [step for step in ranges if step in steps] == steps
    done = made(fake_run(tmp_path / "run", prompts, critique__rounds=4), "calls_made")
    for step in steps:
        calls, low, high, exact = ranges[step]
        assert (calls, exact) == (60, False), step
        assert low <= done[step][0] <= high, step


class Refusing:
    """A stage that can use no answer."""

    VERSION = 1

    def read(self, row: Json) -> list[Prompt]:
        return [Prompt.from_json(row)]

    def requests(self, prompt: Prompt) -> list[Request]:
        return [GenerateRequest(prompt.messages, Sampling())]

    def parse(self, prompt: Prompt, answers: list[Answer]) -> Prompt:
        raise ParseError("not to its liking")


def test_a_stage_that_refuses_placeholders_is_told_not_left_out(tmp_path: Path) -> None:
    node = Node("critique-1", "prompts", "critic", Refusing(), "a model", "never run")
    with CallStore(tmp_path / "calls.sqlite") as store, pytest.raises(RunError, match="critique-1: cannot be planned"):
        Walk([node], store, Rates()).run("prompts", [Prompt.make((user("Hi"),)).to_json()])


@pytest.mark.parametrize(("samples", "width"), [(0, 16), (2, 300)])
def test_the_audit_writes_as_much_as_the_judge_does(tmp_path: Path, prompts: Path, samples: int, width: int) -> None:
    named = {"label.reasoning_samples": samples, "label.reasoning_tokens": 300}
    recipe = load_recipe("rl-cai", {**DATA_ONLY, "model": "fake", "prompts": [str(prompts)], **named})
    job = Job.checked(recipe, Run(tmp_path / "run"))
    planner: Any = Planner(job, [], {}, [], None, None)  # type: ignore[arg-type]
    assert (planner._max_tokens("audit"), planner._max_tokens("label")) == (width, 16)
    assert not samples or planner._max_tokens("reason") == 300
