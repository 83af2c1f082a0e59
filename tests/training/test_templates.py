"""Every chat template that trl ships: the stored one must give, with transformers alone, what was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl

from cai.chat import Chat
from cai.errors import ConfigError
from cai.records import assistant, user
from cai.training.templates import closed_template, template_ids
from tests.tiny import build_tiny_tokenizer

SHIPPED = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
SEES_IMAGES = ("idefics", "llava", "smolvlm")
DIALOGUE = (user("What is it?"), assistant("Bread.\n\nHuman: no"), user("{why}\n"), assistant("The <yeast> rises."))


@pytest.mark.parametrize("path", [None, *SHIPPED], ids=lambda path: path.stem if path else "transcript")
def test_the_stored_template_writes_what_was_trained_on(path):
    if path and path.stem.startswith(SEES_IMAGES):
        pytest.skip("takes contents as lists of parts")
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = path.read_text(encoding="utf-8") if path else None
    try:
        chat = Chat(tokenizer)
        expected, opened = chat.encode_dialogue(DIALOGUE), chat.encode(DIALOGUE[:3])
    except ConfigError as error:
        pytest.skip(str(error))
    tokenizer.chat_template = closed_template(chat) or tokenizer.chat_template
    assert template_ids(tokenizer, [message.to_json() for message in DIALOGUE]) == expected
    assert expected[-1] == tokenizer.eos_token_id
    again = Chat(tokenizer)
    assert again.encode_dialogue(DIALOGUE) == expected
    assert again.encode(DIALOGUE[:3]) == opened
    assert closed_template(again) is None or path is not None


def test_a_template_that_is_right_is_left_alone():
    assert closed_template(Chat(build_tiny_tokenizer())) is None
