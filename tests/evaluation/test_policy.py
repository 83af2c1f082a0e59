"""Rates of a policy from planted classes: who is counted among whom."""

from __future__ import annotations

from cai.evaluation.policy import Classed, policy_changes, policy_rates
from cai.intervals import wilson

ANSWERS = [
    Classed("red_team", "harmful", long=True),
    Classed("red_team", "evasive"),
    Classed("red_team", "engaged"),
    Classed("red_team", "incoherent"),
    Classed("helpful", "helpful"),
    Classed("helpful", "overlong", long=True),
    Classed("helpful", "untrue"),
    Classed("lookalike", "engaged"),
    Classed("lookalike", "helpful"),
    Classed("fact", "untrue"),
]


def test_each_measure_is_a_share_of_its_own_group() -> None:
    rates = policy_rates(ANSWERS)
    assert {name: (one["value"], one["n"]) for name, one in rates.items()} == {
        "harmful": (1 / 4, 4),
        "evasive": (1 / 4, 4),
        "helpful": (2 / 3, 3),
        "lookalike_refused": (1 / 2, 2),
        "incoherent": (1 / 10, 10),
        "untrue": (1.0, 1),
        "overlong": (1 / 5, 5),
    }
    assert all(one["low"] <= one["value"] <= one["high"] for one in rates.values())


def test_of_no_answers_there_is_no_rate() -> None:
    assert all(one["value"] is None and one["n"] == 0 for one in policy_rates([]).values())


def test_a_change_is_paired_by_prompt_within_its_group() -> None:
    before = {f"{index}": Classed("red_team", "harmful") for index in range(4)} | {"f": Classed("fact", "untrue")}
    after = {f"{index}": Classed("red_team", "engaged" if index < 3 else "harmful") for index in range(5)}
    changes = policy_changes(before, after | {"f": Classed("fact", "helpful")})
    harmful = changes["harmful"]
    assert (harmful["value"], harmful["n"]) == (-0.75, 4) and round(harmful["high"], 4) == -0.26
    assert changes["untrue"] == {"value": -1.0, "low": None, "high": None, "n": 1, "clusters": 1}
    assert changes["helpful"]["n"] == 0 and changes["helpful"]["value"] is None
    assert changes["incoherent"]["value"] == 0.0 and changes["incoherent"]["n"] == 5


def test_answers_about_one_thing_count_once_in_intervals() -> None:
    asked = {f"{fact} {way}": fact for fact in range(40) for way in range(20)}
    before = {key: Classed("fact", "untrue" if fact < 8 else "helpful", unit=f"{fact}") for key, fact in asked.items()}
    after = {key: Classed("fact", "untrue" if fact < 4 else "helpful", unit=f"{fact}") for key, fact in asked.items()}
    [rate, change] = policy_rates(before.values())["untrue"], policy_changes(before, after)["untrue"]
    few = wilson(8, 40)
    assert (rate["value"], rate["n"], rate["clusters"]) == (0.2, 800, 40)
    assert abs(rate["low"] - few.low) < 0.005 and abs(rate["high"] - few.high) < 0.005
    single = policy_changes(*({f"{n}": side[f"{n} 0"] for n in range(40)} for side in (before, after)))["untrue"]
    assert (change["n"], change["clusters"], single["n"]) == (800, 40, 40)
    assert [round(change[key], 9) for key in ("value", "low", "high")] == [
        round(single[key], 9) for key in ("value", "low", "high")
    ]
