"""What a plan says of a budget, against runs that are held to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cai.errors import BudgetError
from cai.pipeline.make_plan import make_plan
from cai.pipeline.plan_budget import kept_to
from cai.pipeline.prices import money_text, parse_prices
from cai.pipeline.run_recipe import run_recipe
from cai.pipeline.spending import Budget, Spending
from cai.recipe_files import load_recipe
from tests.pipeline.runs import DATA_ONLY, write_prompts

SPAN = {
    "calls": {"least": 90, "most": 110, "surely_held": 1, "held": 0},
    "tokens": {"least": 2500.0, "most": 3500.0, "surely_held": 400, "held": 700},
    "money": {"least": 0.25, "most": 0.35, "surely_held": 0.04, "held": 0.07},
}


@pytest.mark.parametrize(
    ("budget", "says", "passes", "needs"),
    [
        (Budget(calls=110), "keeps", None, None),
        (Budget(calls=109), "may stop", "109 calls", 110),
        (Budget(calls=89), "stops", "89 calls", 110),
        (Budget(tokens=4200), "keeps", None, None),
        (Budget(tokens=4199), "may stop", "4,199 tokens", 4200),
        (Budget(tokens=2499), "stops", "2,499 tokens", 4200),
        (Budget(money=0.43), "keeps", None, None),
        (Budget(money=0.41), "may stop", "0.41 of money", pytest.approx(0.42)),
        (Budget(money=0.2), "stops", "0.20 of money", pytest.approx(0.42)),
        (Budget(110, 4199, 0.2), "stops", "0.20 of money", pytest.approx(0.42)),
        (Budget(109, 9000, 9.0), "may stop", "109 calls", 110),
    ],
)
def test_three_answers(budget: Budget, says: str, passes: str | None, needs: float | None) -> None:
    found = kept_to(SPAN, budget)
    fits = {"keeps": True, "stops": False, "may stop": None}[says]
    assert found == {"says": says, "fits": fits, "passes": passes, "needs": needs}


def test_one_call_that_does_not_fit_stops_the_run_however_little_is_to_be_asked() -> None:
    span = {"tokens": {"least": 50.0, "most": 60.0, "surely_held": 400, "held": 400}}
    assert kept_to(span, Budget(tokens=399))["says"] == "stops"  # type: ignore[index]
    assert kept_to(span, Budget(tokens=459))["says"] == "may stop"  # type: ignore[index]
    assert kept_to(span, Budget()) is None


def test_without_the_length_of_answers_tokens_cannot_be_told() -> None:
    span = {**SPAN, "tokens": {**SPAN["tokens"], "most": None}}
    assert kept_to(span, Budget(tokens=90_000)) == {
        "says": "unknown", "fits": None, "passes": "90,000 tokens", "needs": None,
    }  # fmt: skip
    assert kept_to(span, Budget(tokens=1500))["says"] == "stops"  # type: ignore[index]
    assert kept_to(span, Budget(calls=110))["fits"]  # type: ignore[index]


PRICES = parse_prices(["2"], ["8"])
CASES: dict[str, dict[str, Any]] = {
    "plain": {"model": "fake"},
    "rejects": {"model": "fake?reject=0.15"},
    "audit and judge": {"model": "fake?reject=0.05", "judge": "fake?bias=1", "audit.items": 3},
    "reasons": {"model": "fake", "label.reasoning_samples": 2},
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_of_which_a_plan_says_that_it_keeps_to_its_budget_comes_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """And one of which it says that it stops does. Every run begins where the plan's probe has left its store."""
    monkeypatch.delenv("CAI_STORE")
    prompts = write_prompts(tmp_path, red_team=30, helpful=10)
    recipe = load_recipe("rl-cai", {**DATA_ONLY, "prompts": [str(prompts)], **CASES[case]})
    plan = make_plan(recipe, tmp_path / "planned" / "run", probe=12, spending=Spending(prices=PRICES))
    spans, total = plan["spans"], plan["total"]
    expected = {
        "calls": total["calls"], "tokens": total["prompt_tokens"] + total["completion_tokens"],
        "money": total["money"],
    }  # fmt: skip
    said: dict[str, set[str]] = {}
    for unit, span in spans.items():
        bounds = {span["least"] * 0.9, expected[unit], span["most"] + span["held"]}
        for bound in sorted(bounds):
            budget = Budget(**{unit: bound if unit == "money" else round(bound + 0.5)})
            says: str = kept_to(spans, budget)["says"]  # type: ignore[index]
            said.setdefault(unit, set()).add(says)
            out = tmp_path / f"{unit}-{bound}"
            shutil.copytree(tmp_path / "planned", out)
            assert says == "may stop" or came_to_its_end(recipe, out / "run", budget) == (says == "keeps"), (
                unit,
                bound,
            )
    assert said["tokens"] == said["money"] == {"stops", "may stop", "keeps"} and {"stops", "keeps"} <= said["calls"]
    assert kept_to(spans, Budget(tokens=expected["tokens"]))["says"] == "may stop"  # type: ignore[index]


def came_to_its_end(recipe: Any, folder: Path, budget: Budget) -> bool:
    try:
        run_recipe(recipe, folder, spending=Spending(budget, PRICES))
    except BudgetError:
        return False
    return True


@pytest.mark.parametrize(
    ("amount", "told"), [(0.005, "0.005"), (0.2, "0.20"), (5.5, "5.50"), (0.123456, "0.123456"), (1234.5, "1,234.50")]
)
def test_money_is_told_as_it_was_given(amount: float, told: str) -> None:
    assert money_text(amount) == told
