from __future__ import annotations

import pytest

from cai.dialogues import LABELS, verdict_prefix
from cai.embedded import weights_path
from cai.embedded.corpus import Turn, groups, render
from cai.embedded.tokenizer import BOS, END, load_tokenizer, train_tokenizer
from cai.records import user


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(weights_path())


@pytest.mark.parametrize("template", ["principle_last", "paper"])
@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_one_token_after_the_prefix(tokenizer, template, label):
    prefix = tokenizer(verdict_prefix(template), add_special_tokens=False)["input_ids"]
    both = tokenizer(verdict_prefix(template) + label, add_special_tokens=False)["input_ids"]
    assert both == [*prefix, tokenizer.convert_tokens_to_ids(label)]


def test_control_tokens_are_apart(tokenizer):
    ids = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    assert len(set(ids)) == 4 and ids[-1] is None
    assert tokenizer.eos_token == END


def test_any_text_survives(tokenizer):
    for text in ("Ünïcode – 東京 🙂", "a  b\n\n\tc", "don't (A) 3.14", "{response} <b>"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_text_cannot_become_a_control_token(tokenizer):
    ids = tokenizer("<|end|>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.eos_token_id not in ids


def test_the_corpus_is_rendered_as_the_chat_template_does(tokenizer):
    stream = groups(3)
    for turn in [turn for _ in range(5) for turn in next(stream)]:
        ids, weights = render(turn, tokenizer)
        text = tokenizer.apply_chat_template(
            [message.to_json() for message in turn.messages], tokenize=False, add_generation_prompt=True
        )
        assert tokenizer.decode(ids) == text + turn.prefix + turn.learned + (END if turn.ended else "")
        learned = [token for token, weight in zip(ids, weights, strict=True) if weight]
        assert tokenizer.decode(learned) == turn.learned + (END if turn.ended else "")
    assert render(Turn((user("Hi"),), "Hello"), tokenizer)[0].count(tokenizer.convert_tokens_to_ids(BOS)) == 1


def test_training_is_a_function_of_the_text(tmp_path):
    texts = ["the cat sat on the mat", "the dog sat on the log"] * 10
    one, two = (train_tokenizer(texts, size=300).backend_tokenizer.to_str() for _ in range(2))
    assert one == two
