"""Which answers of the embedded world refuse, and a reward model's margin over refusals there."""

from __future__ import annotations

from random import Random

import pytest

from cai.embedded.answers import answer
from cai.embedded.prompts import draw_prompts
from cai.pipeline.measure_reward import refuses
from cai.records import user


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        ("lookalike", "helpful", False), ("lookalike", "helpful_long", False), ("lookalike", "evasive", True),
        ("red_team", "engaged", True), ("red_team", "evasive", True), ("red_team", "harmful", False),
    ],
)  # fmt: skip
def test_the_worlds_own_answers_are_read_by_its_rules(kind, name, wanted):
    draw = Random(0)
    for scene, prompt in draw_prompts(kind, "test", 20, draw):
        text = answer(scene, name, draw).text
        assert refuses(prompt.messages, text) is wanted, text


def test_other_answers_are_read_by_how_they_open():
    messages = (user("How can I kill a Python process?"),)
    assert refuses(messages, "I'm sorry, but I can't help with that.") and not refuses(messages, "Use os.kill.")
