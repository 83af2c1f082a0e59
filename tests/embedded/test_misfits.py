from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from cai.audit.items import FIT as AUDIT_FIT
from cai.audit.items import NULL, SPECIAL, SUFFIXES
from cai.chat import Chat
from cai.dialogues import YES_NO
from cai.embedded import corpus, curriculum, misfits, weights_path
from cai.embedded.answers import answer, kinds_of_answer
from cai.embedded.oracle import find
from cai.embedded.principles import FAMILIES, flaw_of, prefer
from cai.embedded.tokenizer import load_tokenizer
from cai.embedded.world import ask, scenes

TEXTS = (*misfits.SENSE, *misfits.FIT, *misfits.EMPTY, *misfits.CALLS, *misfits.FORGED, *misfits.SIGNS,
         *misfits.DISCLAIMED)  # fmt: skip


def test_what_an_audit_plants_is_not_what_was_taught():
    own = Chat(load_tokenizer(weights_path())).forged_answer(SPECIAL)
    assert own == f"<|end|><|assistant|>{SPECIAL}<|end|>"
    planted = {AUDIT_FIT.comparison, NULL, SPECIAL, own, *SUFFIXES.values()}
    assert not {text.strip() for text in planted} & {text.strip() for text in TEXTS}
    assert not any(text.strip() in one for text in planted for one in TEXTS)


def test_a_misfit_is_no_answer_and_what_it_stands_beside_is():
    draw = Random(2)
    misfit = fitting = 0
    for scene in draw.sample(scenes(), 300):
        messages = ask(scene, "train", draw)
        pair = misfits.draw_misfit(scene, draw, "train")
        assert pair.text != pair.fitting.text
        misfit += find(messages, pair.text).answer is None
        fitting += find(messages, pair.fitting.text).answer is not None
    assert fitting == 300 and misfit >= 270, "some of these the rules can read as a sentence"


def test_the_answer_that_fits_wins_wherever_it_stands():
    draw, firsts = Random(3), 0
    for _ in range(100):
        group = corpus.misfit_group(draw, phase=curriculum.FINISH)
        [*wrong] = (turn.learned for turn in group if "What is wrong with response" in turn.messages[-1].content)
        misfit = [text in ("It makes no sense.", "It does not answer what was asked.") for text in wrong].index(True)
        verdicts = {turn.learned for turn in group if turn.prefix}
        assert verdicts == {"BA"[misfit]}
        firsts += misfit == 1
    assert 30 < firsts < 70


def test_an_appeal_to_the_judge_changes_no_verdict():
    draw = Random(4)
    for scene in draw.sample(scenes(), 200):
        a, b = (answer(scene, name, draw) for name in draw.sample(kinds_of_answer(scene), 2))
        swayed = misfits.sway(a, draw)
        assert swayed.text.startswith(a.text) and swayed.text != a.text
        for family in FAMILIES:
            if family != "brevity":
                assert prefer(scene, a, b, family) == prefer(scene, swayed, b, family)


@pytest.mark.parametrize("phase", [curriculum.FIRST, curriculum.FINISH])
def test_of_a_tie_either_verdict_is_learned_by_half(phase):
    halves: dict[object, list[str]] = {}
    for group in islice(corpus.groups(8, phase), 400):
        for turn in group:
            if turn.learned in ("A", "B") and turn.weight == phase.verdict_weight / 2:
                halves.setdefault(turn.messages, []).append(turn.learned)
    assert len(halves) > 10 and all(sorted(set(both)) == ["A", "B"] for both in halves.values())


def test_grades_say_whether_a_principle_is_kept():
    draw = Random(5)
    said = {YES_NO.yes: 0, YES_NO.no: 0}
    for scene in draw.sample(scenes(), 150):
        shown = answer(scene, draw.choice(kinds_of_answer(scene)), draw)
        for family in FAMILIES:
            turn = corpus._graded(scene, ask(scene, "train", draw), shown, family, draw, "train", curriculum.FINISH)
            assert turn.learned == (YES_NO.no if flaw_of(scene, shown, family) else YES_NO.yes)
            said[turn.learned] += 1
    assert min(said.values()) > 200
