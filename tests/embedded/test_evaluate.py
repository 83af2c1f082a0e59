from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest

from cai.embedded import evaluate
from cai.embedded.answers import answer, kinds_of_answer
from cai.embedded.critiques import critique, revise, right_critiques, sayable
from cai.embedded.evaluate import BARS, expected_calibration_error, rate, table
from cai.embedded.oracle import classify, find
from cai.embedded.principles import FAMILIES, HARM_FAMILIES, flaw_of, prefer, shipped_wordings, wordings
from cai.embedded.world import ask, myth, read_scene, scenes
from tests.embedded.critique_reading import read_critique


def test_calibration_error():
    assert expected_calibration_error([(0.95, True)] * 95 + [(0.95, False)] * 5) == pytest.approx(0)
    assert expected_calibration_error([(0.95, False)] * 10) == pytest.approx(0.95)


def test_the_table_says_what_is_met():
    figures = {key: {"value": 0.7, "low": 0.6, "high": 0.8, "n": 50} for key in BARS}
    lines = table(figures).splitlines()
    assert len(lines) == len(BARS)
    assert lines[0].endswith(" met") and lines[1].endswith("not met")
    partly = table(figures | {"helpful": {"value": 0.96, "low": 0.93, "high": 0.98, "n": 50}}).splitlines()[1]
    assert partly.endswith("met, though not the whole interval")
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


class Stub:
    """A model that says and chooses what a function of what it is asked says; dialogues are the arguments they have."""

    def __init__(self, says=None, chooses=None):
        self.says, self.chooses = says, chooses

    def texts(self, dialogues, **_):
        return [self.says(*one) for one in dialogues]

    def label_logprobs(self, dialogues, choices=None):
        return [self.chooses(*asked) for asked, _ in dialogues]


@pytest.fixture
def bare(monkeypatch):
    """Dialogues that are asked of a stub are what they are made of."""
    for name in ("comparison_messages", "critique_messages", "revision_messages", "rubric_messages"):
        monkeypatch.setattr(evaluate, name, lambda *parts: parts)


FAMILY_OF = {text: family for family in FAMILIES for text in wordings(family, "comparison", "test")}


def judged(messages, a, b, question):
    """The verdict of the rules under the principle that the question is about."""
    side = prefer(read_scene(messages), find(messages, a).answer, find(messages, b).answer, FAMILY_OF[question])
    return (0.0, -5.0) if side == "a" else (-5.0, 0.0)


def test_a_contested_pair_counts_only_where_either_principle_is_followed(bare):
    follows = evaluate._judge(Stub(chooses=judged), Random(3), 80, "test")
    assert follows["principle_following"]["value"] == follows["judge_accuracy"]["value"] == 1
    assert follows["judge_accuracy"]["n"] == 80 > follows["principle_following"]["n"] > 10
    shorter = Stub(chooses=lambda messages, a, b, question: (len(b), len(a)))
    ignores = evaluate._judge(shorter, Random(3), 80, "test")
    assert ignores["principle_following"] == {**follows["principle_following"], "value": 0, "low": 0,
                                              "high": ignores["principle_following"]["high"]}  # fmt: skip
    assert ignores["judge_accuracy"]["value"] < follows["judge_ignoring"]["value"] < 1


def test_facts_are_criticised_and_graded_for_what_they_are(bare):
    def untrue(messages, text):
        return find(messages, text).answer.untrue

    def criticises(messages, text, _):
        return "What the answer says is false." if untrue(messages, text) else "Nothing in the answer is untrue."

    knows = Stub(criticises, lambda messages, text, _: (-untrue(messages, text), -0.5))
    found = evaluate._single_facts(knows, Random(1), 80, "test")
    assert [found[key]["value"] for key in ("critique_facts", "grades_facts")] == [1, 1]
    trusts = Stub(lambda *_: "Nothing in the answer is untrue.", lambda *_: (0.0, -1.0))
    found = evaluate._single_facts(trusts, Random(1), 80, "test")
    assert [found[key]["value"] for key in ("critique_facts", "grades_facts")] == [0.5, 0.5]
    told = []
    evaluate._single_facts(Stub(lambda *asked: told.append(asked) or "", lambda *_: (0.0, 0.0)), Random(1), 300, "test")
    wrong = [(messages, text) for messages, text, _ in told if untrue(messages, text)]
    believed = [text for messages, text in wrong if _myth(read_scene(messages)) in text]
    assert len(wrong) == 150 and 10 <= len(believed) <= 55, "untruths that nobody believes are most of them"


def _myth(scene):
    return myth(scene.person, scene.name)


def test_long_harm_is_revised_as_often_as_plain_harm(bare):
    shown = []
    stub = Stub(lambda messages, text, *_: shown.append(find(messages, text).answer.long) or "")
    evaluate._revisions(stub, Random(1), 20, "test", [])
    assert len(shown) == 40 and sum(shown[:20]) == 10


def test_the_judge_is_measured_by_family_of_principles_from_the_same_verdicts(bare):
    def knows_harm_alone(messages, a, b, question):
        first, second = judged(messages, a, b, question)
        return (first, second) if FAMILY_OF[question] in HARM_FAMILIES else (second, first)

    asked = []
    stub = Stub(chooses=lambda *one: asked.append(one[-1]) or knows_harm_alone(*one))
    found = evaluate._judge(stub, Random(3), 80, "test")
    rows = [found[key] for key in evaluate.JUDGED]
    assert [one["value"] for one in rows] == [1, 0, 0] and all(one["n"] for one in rows)
    right = rows[0]["n"]
    assert found["judge_accuracy"]["value"] == right / 80 and sum(one["n"] for one in rows) <= 80
    covered = [family for families in evaluate.JUDGED.values() for family in families]
    assert sorted([*covered, "honesty"]) == sorted(FAMILIES)
    few = evaluate._judge(Stub(chooses=judged), Random(3), 1, "test")
    assert sorted(few[key]["n"] for key in evaluate.JUDGED) == [0, 0, 1]
    told = {key: rate([True]) for key in BARS} | few
    assert table(told).count("no case") >= 2


HARMLESSNESS = {one.critique: one for one in shipped_wordings("harmlessness")}


def test_revisions_under_drawn_principles_mend_harm_where_the_principle_speaks_of_it(bare):
    drawn = Counter()

    def mends(messages, text, wording, *said):
        scene, shown = read_scene(messages), find(messages, text).answer
        if not said:
            drawn[HARMLESSNESS[wording].id, shown.long] += 1
            return "It harms."
        assert said == ("It harms.", HARMLESSNESS[wording].revision), "the revision of the principle of the critique"
        return revise(scene, shown, HARMLESSNESS[wording].family, Random(1)).text

    found = evaluate._drawn_revisions(Stub(mends), Random(1), 320, "test", coherent := [])
    named = Counter(name for name, _ in drawn.elements())
    assert named.keys() == {one.id for one in HARMLESSNESS.values()} and max(named.values()) < 3 * min(named.values())
    assert sum(count for (_, long), count in drawn.items() if long) == 160
    speaks = [one.id for one in HARMLESSNESS.values() if one.family in (*HARM_FAMILIES, "safe_help")]
    assert coherent == [True] * 320
    assert found["n"] == 320 and found["value"] == sum(named[name] for name in speaks) / 320 < 0.9
    assert evaluate._drawn_revisions(Stub(lambda _, text, *__: text), Random(1), 20, "test", [])["value"] == 0


def test_drawn_principles_come_last_so_that_no_other_draw_hangs_on_them(bare, monkeypatch):
    asked = []
    stub = Stub(lambda *one: asked.append(one) or "", lambda *_: (0.0, -1.0))
    monkeypatch.setattr(evaluate, "_loaded", lambda *_: stub)
    told = []
    figures = evaluate.evaluate("no folder", count=6, progress=lambda *one: told.append(one))
    assert [one[:2] for one in told] == [(done, 9) for done in range(9)]
    assert figures.keys() == BARS.keys() and figures["revision_drawn"]["value"] == 0
    assert figures["coherent"]["n"] == 6 * (3 + 2 + 1 + 1), "these revisions are in it"
    shipped = [len(one) > 2 and one[2] in HARMLESSNESS for one in asked]
    assert shipped == [False] * (len(asked) - 12) + [True] * 12
