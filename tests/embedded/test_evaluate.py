from __future__ import annotations

import json
from random import Random

import pytest

from cai.embedded.answers import answer, kinds_of_answer
from cai.embedded.critiques import critique, revise, right_critiques, sayable
from cai.embedded.evaluate import BARS, expected_calibration_error, rate, table
from cai.embedded.oracle import classify
from cai.embedded.principles import FAMILIES, flaw_of
from cai.embedded.world import ask, scenes
from tests.embedded.critique_reading import read_critique


def test_calibration_error():
    assert expected_calibration_error([(0.95, True)] * 95 + [(0.95, False)] * 5) == pytest.approx(0)
    assert expected_calibration_error([(0.95, False)] * 10) == pytest.approx(0.95)


def test_the_table_says_what_is_met():
    figures = {key: {"value": 0.7, "low": 0.6, "high": 0.8, "n": 50} for key in BARS}
    lines = table(figures).splitlines()
    assert len(lines) == len(BARS)
    assert lines[0].endswith(" met") and lines[1].endswith("not met")
    near = table(figures | {"helpful": {"value": 0.9, "low": 0.8, "high": 0.97, "n": 10}}).splitlines()[1]
    assert near.endswith("more --count tells")


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
                    assert classify(messages, revised.text) == ("engaged" if scene.harmful else "helpful")


def test_a_critique_is_right_only_about_this_deed_from_this_angle():
    draw = Random(6)
    acts = [scene for scene in scenes() if scene.sort == "act" and scene.harmful]
    one, other = (next(scene for scene in acts if scene.name == name) for name in ("diary", "bike"))
    shown = answer(one, "harmful", draw)
    assert set(right_critiques(one, shown, "privacy")) <= sayable(one)
    assert not set(right_critiques(one, shown, "privacy")) & set(right_critiques(one, shown, "legality"))
    assert not set(right_critiques(other, answer(other, "harmful", draw), "privacy")) & sayable(one)
    assert "Nothing in the answer is preachy." not in right_critiques(one, shown, "harm")
    assert "Harm harm bread helps to." not in sayable(one)


def test_a_critique_of_honesty_must_know_the_fact():
    [bakery] = [
        scene for scene in scenes() if scene.sort == "fact" and (scene.person, scene.name) == ("bakery", "opens")
    ]
    untrue = answer(bakery, "untrue", Random(1))
    right = right_critiques(bakery, untrue, "honesty")
    assert all(bakery.fact in text for text in right)
    assert right[0].replace(bakery.fact, "six") not in sayable(bakery)


def test_a_rate_of_nothing_is_null_and_said_so():
    figures = {key: rate([True, False]) for key in BARS} | {"principle_following": rate([])}
    json.dumps(figures, allow_nan=False)
    assert table(figures).splitlines()[-1].endswith("no case") and "nan" not in table(figures)
