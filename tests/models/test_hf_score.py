"""Choice scores over shared stems equal plain full forward passes."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
import torch

from cai.dialogues import comparison_messages
from cai.models import hf_score, load_model
from cai.models.questions import Question, grouped, questions_of
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, ChoiceScores, Failure, Message, user

PLAIN = EngineSettings(device="cpu")
WORDS = ("kinder", "better", "safer", "truer and shorter", "less harmful to anybody")


@pytest.fixture(scope="module")
def engine(tiny_folder):
    return load_model(f"hf/{tiny_folder}", PLAIN)


def comparisons(choices=("A", "B"), prefix="Answer: (", pairs=6):
    requests = []
    for at, word in itertools.product(range(pairs), WORDS):
        a, b = "Mix flour. " * (1 + at), "No, I will not. " * (1 + at % 3)
        for one, other in ((a, b), (b, a)):
            messages = comparison_messages((user(f"How do I bake {at}?"),), one, other, f"Which is {word}?")
            requests.append(ChoiceRequest((Message("system", "You judge answers. " * 4), *messages), choices, prefix))
    return requests


def full_forward(engine, request):
    """Log-probability of each choice by one forward pass over the whole text each: no cache, no batch."""
    chat, model = engine.chat, engine._loaded.model
    prompt = chat.encode(request.messages, request.prefix)
    scores = []
    for choice in request.choices:
        ids = chat.encode(request.messages, request.prefix + choice)
        start = next((at for at, (x, y) in enumerate(zip(prompt, ids, strict=False)) if x != y), len(prompt))
        with torch.inference_mode():
            logprobs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        scores.append(sum(float(logprobs[at - 1, ids[at]]) for at in range(start, len(ids))))
    return scores


def assert_equal_to_full_forward(engine, requests):
    answers = dict(engine.score(iter(requests)))
    assert sorted(answers) == list(range(len(requests)))
    for at, request in enumerate(requests):
        assert answers[at].logprobs == pytest.approx(full_forward(engine, request), abs=1e-4)
        assert answers[at].prompt_tokens == len(engine.chat.encode(request.messages, request.prefix))
    assert len({answer.logprobs for answer in answers.values()}) == len(requests)


def test_one_token_choices(engine):
    assert_equal_to_full_forward(engine, comparisons())


def test_choices_of_several_tokens(engine):
    assert_equal_to_full_forward(engine, comparisons(("A", "B, I think", "neither of them"), pairs=2))


@pytest.mark.parametrize("choices", [("A", "B"), ("the first one", "the second")])
def test_reads_are_looked_up_a_few_at_a_time(engine, monkeypatch, choices):
    monkeypatch.setattr(hf_score, "_AT_ONCE", 1)
    assert_equal_to_full_forward(engine, comparisons(choices, "The better is ", pairs=3))


def test_logits_of_half_precision_are_added_up_in_full():
    logits = (torch.randn(7, 3000, generator=torch.Generator().manual_seed(0)) * 5).bfloat16()
    places, tokens = [6, 0, 3, 3], [1, 2999, 5, 7]
    right = logits.double().log_softmax(dim=-1)[places, tokens]
    assert hf_score._logprobs(logits, places, tokens).tolist() == pytest.approx(right.tolist(), abs=1e-4)


def test_without_a_prefix(engine):
    assert_equal_to_full_forward(engine, comparisons(("Yes", "No"), "", pairs=2))


def test_transcript(tiny_folder):
    engine = load_model(f"hf/{tiny_folder}", replace(PLAIN, template="transcript"))
    assert_equal_to_full_forward(engine, comparisons(pairs=2))
    assert_equal_to_full_forward(engine, comparisons(("yes", "no"), "", pairs=1))


@pytest.mark.parametrize("tokens", [1, 700, 4000])
def test_batches_do_not_matter(engine, tiny_folder, tokens):
    requests = comparisons(pairs=3)
    whole = dict(engine.score(iter(requests)))
    cut = dict(load_model(f"hf/{tiny_folder}", replace(PLAIN, batch_tokens=tokens)).score(iter(requests)))
    assert all(cut[at].logprobs == pytest.approx(whole[at].logprobs, abs=1e-4) for at in whole)


def near_a_border(value):
    return abs(value * 1e5 % 1 - 0.5) < 0.15


def test_a_score_does_not_depend_on_what_else_is_asked(engine, monkeypatch):
    requests = comparisons()
    stored = dict(engine.score(iter(requests)))
    assert len(stored) == 60
    with monkeypatch.context() as patch:
        patch.setattr(hf_score, "rounded", tuple)
        exact = dict(engine.score(iter(requests)))
    drawn = random.Random(1)
    for count in (1, 2, 7, 30, 59):
        some = drawn.sample(range(60), count)
        answers = dict(engine.score(requests[at] for at in some))
        for place, at in enumerate(some):
            for one, other, raw in zip(answers[place].logprobs, stored[at].logprobs, exact[at].logprobs, strict=True):
                assert one == other or (near_a_border(raw) and abs(one - other) < 1.5e-5)
    assert sum(near_a_border(raw) for answer in exact.values() for raw in answer.logprobs) < 60


def test_models_that_cannot_share_are_read_whole(engine, monkeypatch):
    monkeypatch.setattr(engine._loaded, "reach", 0)
    assert_equal_to_full_forward(engine, comparisons(pairs=2))


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma3"])
def test_other_architectures(family, tiny_folder, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM as Auto
    from transformers import AutoTokenizer, Gemma3TextConfig, GPT2Config, MistralConfig

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    size = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    deep = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512}  # fmt: skip
    config = {
        "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=512, **size),
        "mistral": lambda: MistralConfig(sliding_window=64, **deep, **size),
        "gemma3": lambda: Gemma3TextConfig(
            sliding_window=32, layer_types=["sliding_attention", "full_attention"], **deep, **size
        ),
    }[family]()
    torch.manual_seed(0)
    model = Auto.from_config(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = load_model(f"hf/{tmp_path}", PLAIN)
    assert_equal_to_full_forward(engine, comparisons(pairs=2))
    assert [engine._loaded.shares(size) for size in (32, 64, 65)] == {
        "gpt2": [True, True, True], "mistral": [True, True, False], "gemma3": [True, False, False],
    }[family]  # fmt: skip


def test_too_long_fails_alone(engine):
    long = ChoiceRequest((user("word " * 600),), ("A", "B"), "Answer: (")
    tokens = len(engine.chat.encode(long.messages, long.prefix)) + 1
    answers = dict(engine.score(iter([long, *comparisons(pairs=1)])))
    assert answers[0] == Failure(f"prompt of {tokens} tokens exceeds the model's context of 512")
    assert all(isinstance(answers[at], ChoiceScores) for at in range(1, 11))


def test_equal_requests_all_get_their_answer(engine):
    request = comparisons()[0]
    answers = dict(engine.score(iter([request] * 5)))
    assert len({answer.logprobs for answer in answers.values()}) == 1 and len(answers) == 5


def test_questions_of_a_choice_that_merges_with_the_prompt():
    assert questions_of(7, [1, 2], [[1, 2, 8], [1, 2, 9]]) == [Question(7, (1, 2), ((0, 8, 0), (0, 9, 1)), 2)]
    merged = questions_of(7, [1, 2], [[1, 30], [1, 2, 9]])
    assert merged == [Question(7, (1,), ((0, 30, 0),), 2), Question(7, (1, 2), ((1, 2, 1), (0, 9, 1)), 2)]


def test_groups_save_what_they_can():
    def question(*ids):
        return Question(0, ids, ((0, 1, 0),), len(ids))

    stem, other = tuple(range(100)), tuple(range(40)) + tuple(range(200, 260))
    rows = sorted([*(question(*stem, at, at) for at in range(4)), *(question(*other, at) for at in range(3)),
                   question(9, 9, 9)], key=lambda one: one.ids)  # fmt: skip
    groups = [(len(group.questions), group.stem) for group in grouped(rows, 0)]
    assert sorted(groups) == [(1, 0), (3, 100), (4, 100)]
    assert sum(len(group.questions) for group in grouped(rows[:-1], 40)) == 7
