"""Models whose attention has a window share what questions begin with wherever the window masks nothing."""

from __future__ import annotations

import math
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPTNeoConfig, GptOssConfig, MistralConfig

from cai.models import hf_score
from cai.models.hf_generate import _prompts
from cai.models.hf_model import LoadedModel
from tests.models.test_tree import drawn_questions

VOCABULARY = 300
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
SIZE = {
    "vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_position_embeddings": 512, "initializer_range": 0.3,
}  # fmt: skip
NEO = {
    "vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 32, "num_layers": 2, "num_heads": 2,
    "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 512, "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "mistral": lambda window: MistralConfig(sliding_window=window, **SIZE),
    "gemma3": lambda window: Gemma3TextConfig(
        sliding_window=window, layer_types=MIXED, query_pre_attn_scalar=16, **SIZE
    ),
}
EVERY = pytest.mark.parametrize("family", FAMILIES)


def model_of(config) -> LoadedModel:
    torch.manual_seed(0)
    return LoadedModel(AutoModelForCausalLM.from_config(config).eval(), 0)


def asked(seed):
    """Sorted questions with stems, and the lengths that they have."""
    questions = sorted(drawn_questions(random.Random(seed), VOCABULARY), key=lambda one: one.ids)
    return questions, sorted(len(one.ids) for one in questions)


def logprobs_alone(model, ids):
    with torch.inference_mode():
        return model.model(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)


def largest_error(model, questions, batch_tokens=4000):
    answers = list(hf_score._answers(model, list(questions), batch_tokens))
    assert sorted(id(one) for one, _ in answers) == sorted(map(id, questions))
    worst = 0.0
    for question, found in answers:
        alone = logprobs_alone(model, question.ids)
        wanted = [float(alone[len(alone) - 1 - back, token]) for back, token, _ in question.picks]
        worst = max(worst, *(abs(one - other) for one, other in zip(found, wanted, strict=True)))
    return worst


@pytest.fixture
def tokens_read(monkeypatch):
    """The number of tokens, pads included, that each forward pass of a question's model took."""
    counted = []
    read, forward = LoadedModel.read, LoadedModel._forward

    def in_a_row(self, groups, before=None):
        tree, logits = read(self, groups, before)
        counted.append(tree.ids.numel())
        return tree, logits

    def in_a_batch(self, ids, *more):
        counted.append(ids.numel())
        return forward(self, ids, *more)

    monkeypatch.setattr(LoadedModel, "read", in_a_row)
    monkeypatch.setattr(LoadedModel, "_forward", in_a_batch)
    return counted


@EVERY
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [True, False])
def test_what_fits_the_window_is_shared_and_right(family, seed, rows, tokens_read):
    questions, lengths = asked(seed)
    model = model_of(FAMILIES[family](max(lengths[-1], 72)))
    model.in_rows = None if rows else False
    list(hf_score._answers(model, questions[:1], 4000))
    assert model.in_rows is rows
    tokens_read.clear()
    found = list(hf_score._answers(model, list(questions), 4000))
    assert len(found) == len(questions) and sum(tokens_read) < 0.8 * sum(lengths)
    assert largest_error(model, questions) <= 1e-5


@EVERY
@pytest.mark.parametrize("seed", range(4))
def test_what_a_window_cuts_is_read_whole_and_right(family, seed, tokens_read):
    questions = [one for one in asked(seed)[0] if len(one.ids) > 16]
    model = model_of(FAMILIES[family](16))
    assert largest_error(model, questions) <= 1e-5
    assert sum(tokens_read) >= sum(len(one.ids) for one in questions)


@EVERY
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [True, False])
def test_of_questions_that_fit_in_part_those_that_fit_are_shared(family, seed, rows, tokens_read):
    questions, lengths = asked(seed)
    window = max(72, lengths[len(lengths) // 2])
    model = model_of(FAMILIES[family](window))
    model.in_rows = None if rows else False
    assert largest_error(model, questions) <= 1e-5
    fitting = [one for one in questions if len(one.ids) <= window]
    tokens_read.clear()
    list(hf_score._answers(model, fitting, 4000))
    assert sum(tokens_read) < sum(len(one.ids) for one in fitting)


@EVERY
def test_a_window_that_is_overlooked_is_noticed_here(family):
    """What the other tests rest on: these models do give other scores where a window masks something."""
    questions, lengths = asked(1)
    model = model_of(FAMILIES[family](24))
    model.reach, model.in_rows = math.inf, False
    assert lengths[-1] > 48 and largest_error(model, questions) > 0.01


@EVERY
def test_padding_that_would_take_a_batch_beyond_the_window_is_not_made(family, monkeypatch):
    """A long stem with a short ending beside a short stem with a long one: each fits, both side by side do not."""
    from cai.models.questions import questions_of

    draw = random.Random(5)
    long, short = ([draw.randrange(8, VOCABULARY) for _ in range(size)] for size in (80, 30))
    prompts = [*([*long, at] for at in (9, 10)), *([*short, *[at] * 50] for at in (9, 10))]
    questions = [part for at, ids in enumerate(prompts) for part in questions_of(at, ids, [[*ids, 3], [*ids, 4]])]
    questions.sort(key=lambda one: one.ids)
    model = model_of(FAMILIES[family](81))
    model.in_rows = False
    assert largest_error(model, questions) <= 1e-5
    monkeypatch.setattr(hf_score, "_in_reach", lambda model, cut: cut)
    assert largest_error(model, questions) > 1e-3


@EVERY
@pytest.mark.parametrize("window", [32, 72])
def test_texts_that_are_written_go_on_alike(family, window):
    draw = random.Random(2)
    begun = [draw.randrange(8, VOCABULARY) for _ in range(40)]
    prompts = [begun + [draw.randrange(8, VOCABULARY) for _ in range(size)] for size in (3, 17, 9)]
    model = model_of(FAMILIES[family](window))
    assert model.shares(57 + 8) is (window == 72)
    with torch.inference_mode():
        filled = _prompts(model, prompts, 8)
        for _ in range(8):
            for at, ids in enumerate(prompts):
                found = filled.logits[at, -1].log_softmax(-1)
                torch.testing.assert_close(found, logprobs_alone(model, ids)[-1], rtol=0, atol=3e-5)
            tokens = [draw.randrange(8, VOCABULARY) for _ in prompts]
            prompts = [[*ids, token] for ids, token in zip(prompts, tokens, strict=True)]
            model.step(filled, torch.tensor(tokens))


@pytest.mark.parametrize("seed", range(3))
def test_local_layers_of_an_older_kind_are_a_window_too(seed):
    questions, lengths = asked(seed)
    model = model_of(GPTNeoConfig(**NEO, window_size=24))
    assert lengths[-1] > 24 and model.reach == 24
    assert largest_error(model, questions) <= 1e-5


def test_sinks_keep_a_model_out_of_rows_and_its_window_is_honoured():
    """gpt-oss: every other layer has a window, and attention is more than plain."""
    config = GptOssConfig(
        sliding_window=128, layer_types=MIXED, num_local_experts=2, num_experts_per_tok=1,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **SIZE,
    )  # fmt: skip
    questions, _ = asked(3)
    model = model_of(config)
    assert model.reach == 128
    assert largest_error(model, questions) <= 1e-5 and model.in_rows is False


@pytest.mark.parametrize(
    ("config", "reach"),
    [
        (MistralConfig(sliding_window=None, **SIZE), math.inf),
        (MistralConfig(sliding_window=40, **SIZE), 40),
        (Gemma3TextConfig(sliding_window=40, layer_types=["full_attention"] * 3, **SIZE), 40),
        (Gemma3TextConfig(sliding_window=40, layer_types=MIXED, use_bidirectional_attention=True, **SIZE), 0),
    ],
)  # fmt: skip
def test_how_far_each_token_sees(config, reach):
    assert model_of(config).reach == reach
