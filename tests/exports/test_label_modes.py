"""What each way of hardening a soft label does to the loss, measured."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from cai.exports import ExportOptions, LeftOut, load_export
from cai.exports.soft_labels import draws, margin
from cai.records import Preference, Prompt, user

PROMPT = Prompt.make((user("q"),))


def wins(p: float, count: int = 4000, **options: object) -> float:
    """The share of rows that the side of probability p wins, over many ids."""
    made = [draws(p, str(n), ExportOptions(**options)) for n in range(count)]
    rows = [won for one in made for won in one]
    return sum(rows) / len(rows)


@pytest.mark.parametrize("p", [0.0, 0.03, 0.4, 0.5, 0.77, 1.0])
def test_bernoulli_and_duplicate_give_the_soft_labels_loss(p):
    error = 4 * math.sqrt(p * (1 - p) / 4000) + 1e-9
    assert abs(wins(p, labels="bernoulli") - p) <= error
    assert abs(wins(p, labels="bernoulli", seed=7) - p) <= error
    assert abs(wins(p, labels="duplicate", copies=3) - p) <= error / math.sqrt(3) + 0.003


def test_a_draw_depends_on_seed_and_id_alone():
    options = ExportOptions(labels="bernoulli", seed=1)
    first = [draws(0.5, str(n), options) for n in range(50)]
    assert first == [draws(0.5, str(n), options) for n in range(50)]
    assert first != [draws(0.5, str(n), ExportOptions(labels="bernoulli", seed=2)) for n in range(50)]
    assert [draws(0.9, "x", options) for _ in range(3)] == [draws(0.9, "x", options)] * 3


@pytest.mark.parametrize(("p", "copies", "won"), [(0.3, 10, 3), (0.7, 10, 7), (0.5, 2, 1), (1.0, 4, 4), (0.0, 4, 0)])
def test_duplicate_writes_the_share_exactly_where_it_is_whole(p, copies, won):
    for n in range(200):
        rows = draws(p, str(n), ExportOptions(labels="duplicate", copies=copies))
        assert (len(rows), sum(rows)) == (copies, won)


def test_threshold_keeps_what_is_sure_enough_and_argmax_hides_a_clamp():
    options = ExportOptions(labels="threshold", threshold=0.1)
    assert draws(0.59, "x", options) == LeftOut("under_threshold")
    assert draws(0.41, "x", options) == LeftOut("under_threshold")
    assert draws(0.61, "x", options) == (True,)
    assert draws(0.39, "x", options) == (False,)
    assert draws(0.5, "x", options) == LeftOut("ties")
    assert draws(0.5, "x", ExportOptions(labels="threshold", threshold=0.0)) == LeftOut("ties")
    assert draws(0.6, "x", ExportOptions()) == draws(1.0, "x", ExportOptions()) == (True,)


@pytest.mark.parametrize("band", [0.0001, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.45, 0.49, 1 / 3, 0.5])
def test_threshold_keeps_its_own_edge_whichever_answer_is_called_a(band):
    options = ExportOptions(labels="threshold", threshold=band)
    for p in (0.5 + band, 1.0 - (0.5 - band)):
        assert draws(p, "x", options) == (True,)
        assert draws(1.0 - p, "x", options) == (False,)
    for p in (0.5 + band - 1e-6, 0.5 - band + 1e-6):
        assert draws(p, "x", options) == LeftOut("under_threshold")


def test_a_clamp_as_wide_as_the_default_threshold_keeps_its_rows():
    export = load_export("preference", options=ExportOptions(labels="threshold"))
    rows = list(export.rows([Preference(PROMPT, "a", "b", 0.6), Preference(PROMPT, "c", "d", 0.4)]))
    assert [(row["chosen"][0]["content"], row["p_chosen"]) for row in rows] == [("a", 0.6), ("d", 0.6)]


def test_the_raw_probability_of_the_chosen_side_is_always_there():
    one = Preference(PROMPT, "a", "b", 0.25)
    rows = list(load_export("preference", options=ExportOptions(labels="duplicate", copies=4)).rows([one]))
    found = Counter((row["chosen"][0]["content"], row["p_chosen"]) for row in rows)
    assert found == {("a", 0.25): 1, ("b", 0.75): 3}
    ties = list(load_export("hh", options=ExportOptions(labels="bernoulli")).rows([Preference(PROMPT, "a", "b", 0.5)]))
    assert ties[0]["p_chosen"] == 0.5


def test_equal_answers_are_left_out_in_every_mode():
    for mode in ("argmax", "threshold", "bernoulli", "duplicate"):
        export = load_export("preference", options=ExportOptions(labels=mode))
        assert list(export.rows([Preference(PROMPT, "a", "a", 0.9)])) == [LeftOut("identical_answers")]


def test_a_margin_is_the_logit_and_is_bounded_and_only_where_it_is_read():
    assert margin(0.5) == margin(0.2) == 0.0
    assert margin(0.9) == pytest.approx(math.log(9))
    assert margin(1.0) == pytest.approx(math.log(999))
    options = ExportOptions(margin=True)
    with_margin = {
        name
        for name in ("preference", "preference_implicit", "openrlhf_preference", "hh", "sft", "axolotl_reward")
        if "margin" in load_export(name, options=options).schema().names
    }
    assert with_margin == {"preference", "preference_implicit", "openrlhf_preference"}
    [row] = load_export("preference", options=options).rows([Preference(PROMPT, "a", "b", 0.9)])
    assert row["margin"] == margin(0.9)
    assert "margin" not in load_export("preference").schema().names
