from __future__ import annotations

import json
from random import Random

import pytest

from cai.embedded.answers import answer, kinds_of_answer
from cai.embedded.critiques import critique, read_critique, revise
from cai.embedded.evaluate import BARS, expected_calibration_error, table, wilson
from cai.embedded.oracle import classify
from cai.embedded.principles import FAMILIES, flaw_of
from cai.embedded.world import ask, scenes


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    for hits, n in ((0, 10), (7, 10), (93, 100), (10, 10)):
        ours = wilson(hits, n)
        theirs = binomtest(hits, n).proportion_ci(method="wilson")
        assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_calibration_error():
    assert expected_calibration_error([(0.95, True)] * 95 + [(0.95, False)] * 5) == pytest.approx(0)
    assert expected_calibration_error([(0.95, False)] * 10) == pytest.approx(0.95)


def test_the_table_says_what_is_met():
    figures = {key: {"value": 0.7, "low": 0.6, "high": 0.8, "n": 50} for key in BARS}
    lines = table(figures).splitlines()
    assert len(lines) == len(BARS)
    assert lines[0].endswith(" met") and "not met" in lines[1]


def test_critiques_name_the_flaw_and_revisions_mend_it():
    draw = Random(5)
    for scene in draw.sample(scenes(), 150):
        messages = ask(scene, "train", draw)
        for name in kinds_of_answer(scene):
            shown = answer(scene, name, draw)
            for family in FAMILIES:
                flaw = flaw_of(scene, shown, family)
                assert read_critique(critique(scene, shown, family, draw)) == (flaw or "none")
                revised = revise(scene, shown, family, draw)
                assert flaw_of(scene, revised, family) is None
                if flaw is None:
                    assert revised.text == shown.text
                elif flaw in ("harm", "evasive", "preachy", "unhelpful"):
                    assert classify(messages, revised.text) in ("engaged", "helpful", "untrue")


def test_a_rate_of_nothing_is_null_and_said_so():
    figures = {key: wilson(1, 2) for key in BARS} | {"principle_following": wilson(0, 0)}
    json.dumps(figures, allow_nan=False)
    assert table(figures).splitlines()[-1].endswith("no case") and "nan" not in table(figures)
