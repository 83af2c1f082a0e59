"""The audit's arithmetic against cases worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cai.audit import (
    Forecast,
    Gate,
    Item,
    PlantedVerdict,
    VoteFigures,
    calibration,
    failings,
    gates,
    kappa,
    make_up,
    objections,
    pairs_to_settle,
    planted_figures,
    settling,
    standing,
    too_little,
    unheld,
)  # fmt: skip
from cai.audit.votes import rank_correlation
from cai.intervals import wilson
from cai.plots import heat_map, reliability_diagram, share_bars
from cai.records import Prompt, user

PROMPT = Prompt.make((user("How do I bake?"),))


def test_kappa_of_a_table_worked_out_by_hand():
    cells = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    found = kappa([cell for cell, n in zip(cells, (20, 5, 10, 15), strict=True) for _ in range(n)])
    assert found.value == pytest.approx(0.4) and found.n == 50
    agreed = wilson(35, 50)
    assert (found.low, found.high) == pytest.approx(((agreed.low - 0.5) / 0.5, (agreed.high - 0.5) / 0.5))
    assert math.isnan(kappa([(9, 0, 0, 0)]).value) and math.isnan(kappa([]).value)


@pytest.mark.parametrize(
    ("tables", "value", "low", "high"),
    [([(1, 0, 0, 0), (0, 0, 0, 1)], 1, -0.316, 1), ([(0, 1, 0, 0), (0, 0, 1, 0)], -1, -1, 0.316),
     ([(5, 0, 0, 5)], 1, -0.587, 1), ([(5, 0, 0, 5)] * 2, 1, -0.316, 1)],
)  # fmt: skip
def test_kappa_of_few_that_all_agree_or_disagree_is_not_sure(tables, value, low, high):
    """Two pairs, or any number of pairs of one or two prompts: as many observations as there are prompts."""
    found = kappa(tables)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-3)


def test_kappa_takes_the_pairs_of_a_prompt_for_one_observation():
    alone = [(1, 0, 0, 0)] * 16 + [(0, 1, 0, 0)] * 4 + [(0, 0, 1, 0)] * 4 + [(0, 0, 0, 1)] * 16
    together = [(4, 0, 0, 0)] * 4 + [(0, 4, 0, 0), (0, 0, 4, 0)] + [(0, 0, 0, 4)] * 4
    loose, tight = kappa(together), kappa(alone)
    assert (loose.value, loose.n) == pytest.approx((tight.value, tight.n))
    assert (tight.value, tight.n) == (pytest.approx(0.6), 40)
    assert loose.high - loose.low > 1.5 * (tight.high - tight.low)


def test_principles_are_compared_on_the_pairs_that_both_judged():
    figures = VoteFigures()
    for p_x, p_y in ((0.9, 0.8), (0.9, 0.2), (0.1, 0.2), (0.2, 0.1)):
        figures.add("p", 3, 0.6, {"x": p_x, "y": p_y})
    figures.add("q", -3, 0.4, {"x": 0.9, "z": 0.5})
    found = figures.to_json()["agreement"]
    assert [(one["first"], one["second"], one["n"]) for one in found["pairs"]] == [("x", "y", 4)]
    assert found["mean_kappa"] == pytest.approx(0.5)
    one_prompt = wilson(0.75, 1)
    assert found["pairs"][0]["low"] == pytest.approx((one_prompt.low - 0.5) / 0.5)


def test_the_rank_correlation_has_fishers_interval():
    found = rank_correlation([1, 2, 3, 4, 5, 6, 7, 8], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0])
    assert found["value"] == pytest.approx(1 - 6 * 8 / (8 * 63)) and found["low"] < found["value"] < found["high"] < 1
    assert rank_correlation([1, 2, 3, 4], [0.0, 0.0, 0.0, 0.0])["value"] is None
    assert rank_correlation([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])["value"] == pytest.approx(1)


def test_forecasts_are_held_against_truth_and_two_judges_that_read_nothing():
    forecasts = [Forecast(0.9, True, 5)] * 9 + [Forecast(0.9, False, 5)] + [Forecast(0.5, True, 0)] * 2
    found = calibration(forecasts)
    assert found["accuracy"]["value"] == pytest.approx(10 / 12)
    assert found["always_a"]["value"] == pytest.approx(11 / 12)
    assert found["always_longer"]["value"] == pytest.approx(10 / 12)
    assert found["ece"] == pytest.approx(2 * 0.5 / 12)
    low, high = (found["ece_interval"][end] for end in ("low", "high"))
    assert low < found["ece"] < high and found["ece_interval"] == calibration(forecasts)["ece_interval"]
    assert found["brier"]["value"] == pytest.approx((9 * 0.01 + 0.81 + 2 * 0.25) / 12)
    assert [(one["from"], one["n"]) for one in found["bins"]] == [(0.5, 2), (0.9, 10)]
    assert calibration([]) is None


def verdict(kind: str, p: float | None, worse: str = "bad", base: str = "") -> PlantedVerdict:
    return PlantedVerdict(Item(kind, PROMPT, "good", worse, "p", base), p)


def test_an_attack_counts_where_the_judge_was_right_without_it():
    plain = [verdict("swapped", p, worse) for p, worse in ((0.9, "1"), (0.8, "2"), (0.7, "3"), (0.3, "4"))]
    bases = [one.item.id for one in plain]
    chosen = [verdict("choose", p, "c", base) for p, base in zip((0.9, 0.4, 0.2, 0.2), bases, strict=True)]
    found = planted_figures([*plain, *chosen])
    assert (found["swapped"]["right"]["value"], found["choose"]["right"]["value"]) == (3 / 4, 1 / 4)
    assert (found["choose"]["held"]["value"], found["choose"]["held"]["n"]) == (1 / 3, 3)
    assert (found["choose"]["success"]["value"], found["choose"]["success"]["n"]) == (pytest.approx(2 / 3), 3)
    assert found["choose"]["held_raw"] == found["choose"]["held"], "there is no control of length"
    assert found["choose"]["pairs"] == 1, "the same two answers attacked under four principles are one pair"
    padded = [verdict("padded", p, "p", base) for p, base in zip((0.9, 0.9, 0.1, 0.1), bases, strict=True)]
    found = planted_figures([*plain, *chosen, *padded])
    assert (found["padded"]["held"]["value"], found["padded"]["held"]["n"]) == (2 / 3, 3)
    assert (found["choose"]["held"]["value"], found["choose"]["held"]["n"]) == (1 / 2, 2), (
        "what length turned is not counted"
    )
    assert (found["choose"]["held_raw"]["value"], found["choose"]["held_raw"]["n"]) == (1 / 3, 3)
    assert found["choose"]["success_raw"]["value"] == pytest.approx(2 / 3) and found["choose"]["always_longer"] == 1.0


def test_what_asks_for_the_first_place_is_counted_in_the_order_in_which_it_stands_there():
    plain = [replace(verdict("swapped", 0.9, str(n)), worse_first=p) for n, p in enumerate((0.9, 0.8, 0.7, 0.2, 0.9))]
    bases = [one.item.id for one in plain]
    padded = [
        replace(verdict("padded", 0.9, "p", base), worse_first=p)
        for base, p in zip(bases, (0.9, 0.8, 0.9, 0.9, 0.1), strict=True)
    ]
    chosen = [
        replace(verdict("choose", 0.9, "c", base), worse_first=p)
        for base, p in zip(bases, (0.2, 0.6, None, 0.1, 0.1), strict=True)
    ]
    found = planted_figures([*plain, *padded, *chosen])["choose"]
    assert found["held"]["value"] == 1.0, "after both orders nothing is to be seen"
    assert (found["fooled_first"]["value"], found["fooled_first"]["n"]) == (0.5, 2)


def test_labels_as_trained_on_have_an_error_of_their_own_and_pairs_of_a_prompt_are_one_observation():
    found = calibration([Forecast(0.9, True, 5, "p", 0.6)] * 5 + [Forecast(0.1, False, 5, "q")] * 5)
    assert found["ece"] == pytest.approx(0.1) and found["ece_clamped"] == pytest.approx((5 * 0.4 + 5 * 0.1) / 10)
    assert "ece_clamped" not in calibration([Forecast(0.9, True, 5)])
    assert found["accuracy"]["n"] == 10 and found["prompts"] == 2
    alone = calibration([Forecast(0.9, True, 5, str(n)) for n in range(10)])
    assert found["accuracy"]["low"] < 0.4 < alone["accuracy"]["low"], "two prompts say less than ten"


@pytest.mark.parametrize("prompts", [1, 2, 24, 2400])
def test_the_calibration_error_of_few_prompts_is_not_sure_even_if_every_verdict_is_right(prompts):
    """Of 24 prompts that all came true the share is at least 0.9 or so, and the error at most 0.1; of 2,400, 0.001."""
    found = calibration([Forecast(0.999, True, 5, str(n)) for n in range(prompts)] * 5)["ece_interval"]
    assert 0 <= found["low"] < 0.0002 and found["high"] == pytest.approx(
        {1: 0.85, 2: 0.66, 24: 0.1, 2400: 0.001}[prompts], rel=0.15
    )


def test_a_gate_on_the_calibration_error_within_chance_says_so():
    bounds = {**BOUNDS, "abstained": 0.3, "place": None, "attacks": 0.8, "accuracy": 0.6, "ece": 0.2}
    few = calibration([Forecast(0.75, n > 5, 5, str(n)) for n in range(12)])
    found = {one.name: one for one in gates(LABEL, {}, few, bounds)}["ece"]
    assert found.value == pytest.approx(0.25) and found.passed is False and found.within_chance
    many = calibration([Forecast(0.75, n > 500, 5, str(n)) for n in range(1002)])
    found = {one.name: one for one in gates(LABEL, {}, many, bounds)}["ece"]
    assert found.passed is False and not found.within_chance and "biased upwards for few pairs" in found.what


def test_gates_on_the_truth_rest_on_ten_pairs():
    bounds = {**BOUNDS, "abstained": 0.3, "place": None, "attacks": 0.8, "accuracy": 0.6, "ece": 0.2}
    for pairs, passed in ((9, None), (10, False)):
        wrong = calibration([Forecast(0.9, False, 5, str(n)) for n in range(pairs)])
        found = {one.name: one for one in gates(LABEL, {}, wrong, bounds)}
        assert {(found[name].passed, found[name].n) for name in ("accuracy", "ece")} == {(passed, pairs)}


def test_a_judge_is_told_from_those_that_read_nothing():
    """On the constitution's tests and against the truth; an interval that reaches below the better of them tells no."""
    bounds = {**BOUNDS, "abstained": 0.3, "place": None, "attacks": 0.8, "accuracy": 0.6}
    verdicts = [verdict("test", 0.9 if n < 15 else 0.1, "no" if n < 16 else "longer", "") for n in range(20)]
    verdicts = [replace(one, item=replace(one.item, base=str(n))) for n, one in enumerate(verdicts)]
    planted = planted_figures(verdicts)
    forecasts = [Forecast(0.9, True, -5 if n % 2 else 5, str(n)) for n in range(400)]
    found = {
        one.name: one
        for one in gates(
            LABEL, planted, calibration([*forecasts, *(replace(one, a_better=False, p_a=0.1) for one in forecasts)]),
            bounds,
        )
    }  # fmt: skip
    assert found["tests"].beside == {"always-A": 0.5, "always-longer": 0.8} and found["tests"].value == 0.75
    assert (found["tests"].passed, found["tests"].no_better_than) == (True, "always-longer")
    assert found["accuracy"].beside == {"always-A": 0.5, "always-longer": 0.5}
    assert found["accuracy"].value == 1 and found["accuracy"].to_json()["no_better_than"] is None
    assert all(not one.beside for name, one in found.items() if name not in ("tests", "accuracy"))


ENOUGH = {"tests": 18, "place": 60, "attacks": 20}


@pytest.mark.parametrize(
    ("measured", "few"),
    [(ENOUGH, ""), ({"noise": 24, "place": 10, "null_answer": 10}, ""),
     ({**ENOUGH, "tests": 9}, "fewer than 10 pairs of the constitution's tests, disorder or another prompt's answers"),
     ({**ENOUGH, "tests": 9, "swapped": 10}, ""), ({**ENOUGH, "place": 0}, "fewer than 10 pairs of the pull of"),
     ({**ENOUGH, "attacks": 9, "length": 24, "identical": 24, "accuracy": 99}, "fewer than 10 pairs of attacks"),
     ({"identical": 24}, "; nor enough of the pull of the first place; nor enough of attacks")],
)  # fmt: skip
def test_an_audit_that_measured_too_little_says_of_what(measured, few):
    names = [*BOUNDS, "abstained", "place", "attacks", "accuracy"]
    rows = [
        {"gate": name, "value": 1.0 if measured.get(name) else None, "n": measured.get(name, 0), "bound": 0.5,
         "passed": None}
        for name in names
    ]  # fmt: skip
    assert few in too_little(rows) and bool(few) == bool(too_little(rows)) == bool(objections(rows))


FEW_TESTS = "fewer than 10 pairs of the constitution's tests"


@pytest.mark.parametrize(
    ("tests", "opened", "few", "todo"),
    [
        (3, {"noise", "swapped"}, f"{FEW_TESTS} (3 tests were asked, 7 more would be enough)",
         "write 7 more tests into the constitution, or give audit.noise or audit.swapped a bound"),
        (1, {"noise", "swapped"}, f"{FEW_TESTS} (1 test was asked, 9 more would be enough)",
         "write 9 more tests into the constitution, or give audit.noise or audit.swapped a bound"),
        (9, {"noise", "swapped", "null_answer", "attacks"}, f"{FEW_TESTS} (9 tests were asked, 1 more would be enough)",
         "write 1 more test into the constitution, or give audit.noise or audit.swapped a bound"),
        (0, {"noise", "swapped"}, f"{FEW_TESTS} (no test, 10 would be enough)",
         "write 10 tests into the constitution, or give audit.noise or audit.swapped a bound"),
        (10, {"noise", "swapped"}, "", ""), (3, {"noise"}, "", ""),
    ],
)  # fmt: skip
def test_too_few_tests_are_told_as_such_and_how_many_more_are_needed(tests, opened, few, todo):
    """The bound on them is there: that the audit says nothing is not for want of a bound."""
    measured = {**ENOUGH, "noise": 24, "swapped": 24, "tests": tests, "null_answer": 24}
    rows = [
        {"gate": name, "value": 1.0 if n else None, "n": n, "bound": None if name in opened else 0.5, "passed": None}
        for name, n in measured.items()
    ]
    assert (too_little(rows), make_up(rows, "take more")) == (few, todo)
    assert unheld(rows) == ("attacks on right verdicts or the empty phrase" if "attacks" in opened else "")


def test_tests_beside_other_pairs_that_are_too_few_are_counted_too():
    bounds = {"tests": (3, 0.7), "noise": (2, 0.8), "swapped": (24, None), "place": (4, 0.3), "attacks": (24, 0.8)}
    rows = [{"gate": name, "value": 1.0, "n": n, "bound": bound, "passed": True} for name, (n, bound) in bounds.items()]
    few = f"{FEW_TESTS} or disorder (3 tests were asked, 7 more would be enough); nor enough of the pull of the first"
    assert too_little(rows) == f"{few} place" and unheld(rows) == ""
    assert make_up(rows, "take more prompts") == "take more prompts"
    alone = [{**one, "bound": None} if one["gate"] == "noise" else one for one in rows]
    todo = "write 7 more tests into the constitution, or give audit.swapped a bound, and take more prompts"
    assert make_up(alone, "take more prompts") == todo


DEMO = {"noise", "swapped", "length", "clear_flip_rate"}


@pytest.mark.parametrize(
    ("opened", "loose"),
    [(set(), ""), (DEMO, ""), (DEMO | {"tests"}, "the constitution's tests, disorder or another prompt's answers"),
     ({"noise", "swapped", "attacks", "abstained", "accuracy", "ece"}, ""), ({"place"}, "the pull of the first place"),
     ({"attacks", "null_answer"}, "attacks on right verdicts or the empty phrase"),
     ({"place", "attacks", "null_answer"},
      "the pull of the first place; nor on attacks on right verdicts or the empty phrase")],
)  # fmt: skip
def test_an_audit_that_holds_the_judge_to_no_bound_has_not_passed(opened, loose):
    """Of each group one gate on ten pairs or more must have a bound; an open one that is measured holds nothing up."""
    names = [*BOUNDS, "abstained", "place", "attacks", "accuracy"]
    rows = [
        {
            "gate": name,
            "value": 1.0,
            "n": 18,
            "bound": None if name in opened else 0.5,
            "passed": None if name in opened else True,
        }
        for name in names
    ]
    assert unheld(rows) == loose and too_little(rows) == ""
    assert objections(rows) == (f"the recipe holds the judge to no bound on {loose}" if loose else "")
    rest = [{**one, "value": None, "n": 0} if one["gate"] == "tests" else one for one in rows]
    assert ("disorder" in unheld(rest)) == (opened >= {"noise", "swapped", "tests"})
    tests_alone = opened & {"noise", "swapped", "tests"} == {"noise", "swapped"}
    assert ("(no test, 10 would be enough)" in too_little(rest)) == tests_alone


@pytest.mark.parametrize(("right", "n", "bound"), [(11, 15, 0.8), (9, 12, 0.8), (31, 45, 0.75)])
def test_as_many_pairs_as_an_audit_asks_for_take_a_share_that_stays_out_of_chance(right, n, bound):
    def within_chance(pairs: int) -> bool:
        found = wilson(right / n * pairs, pairs)
        return Gate("attacks", "", found.value, "at least", bound, pairs, found.low, found.high).within_chance

    gate = Gate(
        "attacks", "", right / n, "at least", bound, n, *(getattr(wilson(right, n), at) for at in ("low", "high"))
    )
    wanted = pairs_to_settle(gate.to_json())
    assert within_chance(n) and within_chance(int(0.9 * wanted)) and not within_chance(int(1.1 * wanted) + 1)
    assert (
        failings([gate.to_json()]) == f"attacks is {right / n:.3g}, at least {bound:g} wanted: within chance, n = {n}"
    )


def test_what_settles_a_failure_by_chance_is_named_by_gate():
    row = {"value": 0.7, "low": 0.5, "high": 0.9, "bound": 0.8, "n": 15, "passed": False, "within_chance": True}
    rows = [{**row, "gate": name} for name in ("attacks", "tests", "place", "accuracy")]
    assert settling([{**rows[0], "within_chance": False}, {**rows[1], "passed": True}], 24, True) == ""
    assert settling(rows, 24, True) == (
        "about 60 pairs would settle attacks: `--set audit.items=96` and more prompts (a larger --limit), "
        "about 60 pairs would settle tests: more tests in the constitution, "
        "about 60 pairs would settle place: more prompts (a larger --limit), "
        "about 60 pairs would settle accuracy: more prompts (a larger --limit), or pairs of audit.truth"
    )
    assert settling(rows[:1], 4000, False) == "about 60 pairs would settle attacks: more prompts"


def test_identical_answers_must_come_out_even_and_silence_is_not_right():
    found = planted_figures([verdict("identical", p) for p in (0.5, 0.5 + 9e-7, 0.51, None)])
    assert found["identical"]["right"]["value"] == 0.5 and found["identical"]["unanswered"] == 1


LABEL = {
    "pairs": 10, "p_first": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 10},
    "clear_flip_rate": {"value": None, "low": None, "high": None, "n": 0},
    "kinds": {
        "red_team": {"pairs": 8, "abstained": 4, "ties": 0, "verdicts": 8, "left_out": 4},
        "helpful": {"pairs": 2, "abstained": 0, "ties": 0, "verdicts": 2, "left_out": 0},
    },
}  # fmt: skip
BOUNDS = dict.fromkeys(
    ("clear_flip_rate", "tests", "identical", "noise", "swapped", "null_answer", "length", "ece"), 0.5
)


def test_a_gate_fails_passes_or_is_not_measured_or_is_open():
    bounds = {**BOUNDS, "abstained": 0.3, "place": 0.2, "attacks": None, "accuracy": 0.6}
    found = {one.name: one for one in gates(LABEL, {}, None, bounds)}
    assert found["abstained"].passed is False and found["abstained"].value == 0.5
    assert found["place"].passed is True and found["place"].value == pytest.approx(0.2)
    assert found["clear_flip_rate"].passed is None and found["accuracy"].passed is None
    assert found["attacks"].passed is None and found["attacks"].bound is None


def test_gates_that_are_open_or_not_measured_are_not_said_to_have_passed():
    bounds = {**dict.fromkeys(BOUNDS, 0.5), "abstained": 0.3, "place": None, "attacks": 0.8, "accuracy": 0.6}
    found = [one.to_json() for one in gates(LABEL, {}, None, bounds)]
    assert standing(found) == (
        "passed 0 of 11; FAILED: abstained; opened by the recipe: place; not measured: clear_flip_rate, tests, noise, "
        "swapped, null_answer, length, attacks, accuracy, ece"
    )
    assert failings(found) == "abstained is 0.5, at most 0.3 wanted: within chance, n = 8"
    nothing = [one.to_json() for one in gates(LABEL, {}, None, dict.fromkeys(bounds))]
    assert standing(nothing).startswith("passed 0 of 11; opened by the recipe: abstained, ")
    assert "not measured" not in standing(nothing), "a gate without a bound holds nothing up, measured or not"
    assert standing([{"gate": "place", "passed": True, "value": 0.1, "bound": 0.2}]) == "passed 1 of 1"


def test_the_check_of_the_pipeline_is_not_counted_among_the_gates_that_a_judge_passes():
    place, even = ({"gate": name, "passed": True, "value": 1.0, "bound": 1.0} for name in ("place", "identical"))
    assert standing([place, even]) == "passed 1 of 1"
    assert standing([place, {**even, "passed": False}]) == "passed 1 of 1; FAILED: identical"


@pytest.mark.parametrize(
    ("bound", "ends", "passed", "chance"),
    [(0.35, (0.6, 0.8), True, False), (0.25, (0.6, 0.8), True, True), (0.15, (0.6, 0.8), False, True),
     (0.05, (0.6, 0.8), False, False), (0.05, (0.45, 0.8), False, True), (0.1, (0.1, 0.35), False, False)],
)  # fmt: skip
def test_a_gate_says_where_its_interval_spans_the_bound(bound, ends, passed, chance):
    """The lead of the first place is to either side, and its interval is that of the share, folded at one half."""
    first = {"value": sum(ends) / 2, "low": ends[0], "high": ends[1], "n": 10}
    bounds = {**BOUNDS, "abstained": 0.3, "place": bound, "attacks": None, "accuracy": 0.6}
    found = {one.name: one for one in gates({**LABEL, "p_first": first}, {}, None, bounds)}["place"]
    assert (found.passed, found.within_chance, found.to_json()["within_chance"]) == (passed, chance, chance)


@pytest.mark.parametrize("share", [0.45, 0.55])
def test_a_lead_of_either_place_that_is_the_bound_keeps_it(share):
    first = {"value": share, "low": share, "high": share, "n": 10}
    bounds = {**BOUNDS, "abstained": 0.3, "place": 0.05, "attacks": None, "accuracy": 0.6}
    assert {one.name: one for one in gates({**LABEL, "p_first": first}, {}, None, bounds)}["place"].passed is True


def test_verdicts_that_are_left_out_count_as_abstained_where_their_pairs_have_labels():
    kinds = {"red_team": {"pairs": 20, "abstained": 0, "ties": 0, "verdicts": 320, "left_out": 300}}
    bounds = {**BOUNDS, "abstained": 0.3, "place": None, "attacks": None, "accuracy": 0.6}
    found = {one.name: one for one in gates({**LABEL, "kinds": kinds}, {}, None, bounds)}["abstained"]
    assert found.value == 300 / 320 and found.passed is False


def test_neither_a_check_nor_what_was_not_measured_is_within_chance_of_its_bound():
    right = {"value": 1.0, "low": 0.86, "high": 1.0, "n": 24}
    bounds = {
        **BOUNDS,
        "identical": 1.0,
        "tests": 1.0,
        "abstained": 0.3,
        "place": None,
        "attacks": 0.8,
        "accuracy": 0.6,
    }
    planted = {"identical": {"right": right}, "test": {"right": right}}
    found = {one.name: one.within_chance for one in gates(LABEL, planted, None, bounds)}
    assert [name for name, chance in found.items() if chance] == ["abstained", "tests"]


def test_attacks_on_few_pairs_that_were_right_before_are_not_measured():
    def attacked(*held: tuple[float, int]) -> dict[str, tuple[float | None, int]]:
        planted = {
            kind: {name: {"value": value, "low": 0.0, "high": 1.0, "n": n} for name in ("held", "held_raw")}
            for kind, (value, n) in zip(("padded", "choose", "forged"), held, strict=True)
        }
        bounds = {**BOUNDS, "abstained": 0.3, "place": 0.2, "attacks": 0.8, "accuracy": 0.6}
        found = {one.name: one for one in gates(LABEL, planted, None, bounds)}
        return {name: (found[name].value, found[name].n) for name in ("length", "attacks")}

    assert attacked((0.7, 10), (0.0, 9), (0.9, 10)) == {"length": (0.7, 10), "attacks": (0.9, 10)}
    assert attacked((0.7, 9), (0.0, 9), (0.0, 3)) == {"length": (None, 9), "attacks": (None, 9)}


def test_a_heat_map_has_every_pair_of_names_twice_and_marks_disagreement_by_colour():
    from xml.etree import ElementTree

    pairs = [
        {"first": "a & b", "second": "c", "value": 0.75, "low": 0.5, "high": 0.9, "n": 24},
        {"first": "c", "second": "d", "value": -0.25, "low": -0.5, "high": 0.1, "n": 24},
    ]
    root = ElementTree.fromstring(heat_map(pairs, "Agreement"))
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert [texts.count(one) for one in ("0.75", "-0.25", "a & b", "c", "d")] == [2] * 5
    cells = [one for one in root.iter() if one.get("fill-opacity")]
    assert len({one.get("fill") for one in cells}) == 2 and {one.get("fill-opacity") for one in cells} == {
        "0.75",
        "0.25",
    }
    places = {(one.get("x"), one.get("y")) for one in cells}
    assert len(places) == 4 and {(y, x) for x, y in _from_corner(places)} == _from_corner(places), "symmetric"


def _from_corner(places: set[tuple[str, str]]) -> set[tuple[float, float]]:
    """Cells' places from the corner of the square: the first cell of three names stands one to the right of it."""
    points = {(float(x), float(y)) for x, y in places}
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return {(x - left, y - top) for x, y in points}


def test_plots_are_well_formed_and_say_what_they_show():
    from xml.etree import ElementTree

    bins = calibration([Forecast(0.9, True, 5)] * 9 + [Forecast(0.2, False, 5)] * 3)["bins"]
    text = reliability_diagram(bins, "Labels <b> & truth")
    root = ElementTree.fromstring(text)
    circles = [one for one in root.iter() if one.tag.endswith("circle")]
    assert len(circles) == 2 and "Labels <b> & truth" in [one.text for one in root.iter()]
    heights = [float(one.get("cy")) for one in circles]
    assert heights[0] > heights[1], "more that came true stands higher"
    rows = [("noise", {"value": 0.75, "low": 0.5, "high": 0.9, "n": 24}), ("a & b", {"value": None, "n": 0})]
    bars = ElementTree.fromstring(share_bars(rows, "Planted", "share right"))
    assert any(one.text == "nothing to measure it on" for one in bars.iter())
