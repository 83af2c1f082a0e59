"""Rows in which what questions share stands once give what reading each question alone gives."""

from __future__ import annotations

import random

import pytest
import torch

from cai.models import hf_model, hf_score, load_model
from cai.models.questions import grouped, questions_of
from cai.models.tree import batches_of, plant
from cai.packed import CannotPack
from cai.recipe import EngineSettings
from tests.models.test_hf_score import assert_equal_to_full_forward, comparisons

PLAIN = EngineSettings(device="cpu")


@pytest.fixture
def engine(tiny_folder):
    return load_model(f"hf/{tiny_folder}", PLAIN)


def drawn_questions(draw: random.Random, vocabulary: int, choices: int = 2):
    """Questions that begin alike: a dialogue, one of two orders, an ending; now and then one that shares nothing."""

    def some(low: int, high: int) -> list[int]:
        return [draw.randrange(8, vocabulary) for _ in range(draw.randint(low, high))]

    common, questions = some(0, 40) if draw.random() < 0.5 else [], []
    for _ in range(draw.randint(1, 3)):
        dialogue = common + some(1, 60)
        for order in range(2):
            stem = [*dialogue, order + 1, *some(1, 40)]
            for _ in range(draw.randint(1, 5)):
                prompt = stem + some(1, 12)
                longer = some(0, 2) if draw.random() < 0.3 else []
                options = [[*prompt, *longer, label] for label in range(3, 3 + choices)]
                questions += questions_of(len(questions), prompt, options)
        prompt = common + some(1, 9)
        questions += questions_of(len(questions), prompt, [[*prompt, 3], [*prompt, 4]])
    return questions


@pytest.mark.parametrize("seed", range(25))
def test_what_is_read_is_what_each_question_alone_gives(engine, seed):
    draw = random.Random(seed)
    questions = drawn_questions(draw, 300)
    model = engine._loaded
    answers = list(hf_score._answers(model, sorted(questions, key=lambda one: one.ids), draw.choice((60, 300, 5000))))
    assert model.in_rows and sorted(id(one) for one, _ in answers) == sorted(map(id, questions))
    for question, logprobs in answers:
        with torch.inference_mode():
            alone = model.model(torch.tensor([question.ids])).logits[0].log_softmax(-1)
        wanted = [float(alone[len(alone) - 1 - back, token]) for back, token, _ in question.picks]
        assert logprobs == pytest.approx(wanted, abs=1e-5)


def test_nothing_shared_stands_twice(engine):
    dialogue, one, other = list(range(20, 50)), list(range(60, 80)), list(range(90, 110))
    endings = ([5, 6, 7], [5, 6, 8], [5, 9, 9])
    prompts = [dialogue + order + ending for order in (one, other) for ending in endings]
    questions = [part for at, ids in enumerate(prompts) for part in questions_of(at, ids, [[*ids, 3], [*ids, 4]])]
    groups = grouped(sorted(questions, key=lambda one: one.ids), 0)
    tree = plant(groups, 0, engine._loaded.model, None)
    before = {tuple(ids[:end]) for ids in prompts for end in range(1, len(ids) + 1)}
    assert tree.ids.shape[1] == len(before) == 30 + 2 * 20 + 2 * 6
    assert tree.reads.tolist() == sorted(tree.reads.tolist()) and len(tree.reads) == 6


def test_a_row_keeps_to_its_tokens(engine):
    questions = sorted(drawn_questions(random.Random(3), 300), key=lambda one: one.ids)
    groups = grouped(questions, 0)
    cut = list(batches_of(groups, 0, 100))
    kept = [one for some in cut for group in some for one in group.questions]
    assert kept == [one for group in groups for one in group.questions] and len(cut) > 2
    assert all(
        sum(len(group.questions) for group in some) == 1
        or plant(some, 0, engine._loaded.model, None).ids.shape[1] <= 100
        for some in cut
    )


def test_a_model_that_cannot_be_told_of_rows_is_read_in_batches(engine, monkeypatch):
    def refuse(*_, **__):
        raise CannotPack("its attention has softcap")

    monkeypatch.setattr(hf_model, "attend_in_tree", refuse)
    assert_equal_to_full_forward(engine, comparisons(pairs=2))
    assert engine._loaded.in_rows is False
    assert engine._loaded.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["GPTJ", "GPTNeo", "Bloom", "Qwen2", "GPTNeoX"])
def test_other_families_are_right_whatever_is_asked_first(family, tiny_folder, tmp_path):
    """Some keep an attention of their own, whatever they are told: they are read in batches, the first one too."""
    import transformers

    size = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    kind = {
        "GPTJ": {"n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 8, "n_positions": 512},
        "GPTNeo": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
        "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
        "Qwen2": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                  "num_key_value_heads": 1},
        "GPTNeoX": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    }[family]  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**kind, **size)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(tmp_path)
    engine = load_model(f"hf/{tmp_path}", PLAIN)
    list(engine.score(iter(comparisons(pairs=1)[:1])))
    assert_equal_to_full_forward(engine, comparisons(pairs=2))
    assert engine._loaded.in_rows is (family in ("Qwen2", "GPTNeoX"))


def test_endings_that_are_long_are_not_attended_to_at_once(engine):
    begun = list(range(20, 60))
    prompts = [begun + [at] + [at % 7 + 8] * 200 for at in range(100, 140)]
    questions = [part for at, ids in enumerate(prompts) for part in questions_of(at, ids, [[*ids, 3], [*ids, 4]])]
    groups = grouped(questions, 0)
    assert len(groups) == 1
    [*cut] = batches_of(groups, 0, 16_384)
    tree = plant(cut[0], 0, engine._loaded.model, None)
    assert tree.ids.shape[1] == 40 + 40 * 201 and len(tree.branches) > 10
    assert sum(one.mask.numel() for one in tree.branches) < 40 * 201 * 3 * 512


def test_memory_that_was_short_once_is_asked_for_again(engine, monkeypatch):
    def short(*_, **__):
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(hf_model, "attend_in_tree", short)
        assert_equal_to_full_forward(engine, comparisons(pairs=1))
        assert engine._loaded.in_rows is None
    assert_equal_to_full_forward(engine, comparisons(pairs=1))
    assert engine._loaded.in_rows is True


def test_bfloat16_reads_rows_too(tiny_folder):
    engine = load_model(f"hf/{tiny_folder}", EngineSettings(device="cpu", dtype="bfloat16"))
    asked = comparisons(pairs=2)
    rows = dict(engine.score(iter(asked)))
    assert engine._loaded.in_rows
    engine._loaded.in_rows = False
    batches = dict(engine.score(iter(asked)))
    assert all(rows[at].logprobs == pytest.approx(batches[at].logprobs, abs=0.1) for at in rows)


def test_a_row_that_is_read_wrongly_is_found_out(engine, monkeypatch):
    def forgetful(module, query, key, value, mask, tree=None, **more):
        return torch.nn.functional.scaled_dot_product_attention(
            query, *(one.repeat_interleave(2, 1) for one in (key, value))
        ).transpose(1, 2), None

    monkeypatch.setattr(hf_model, "attend_in_tree", forgetful)
    assert_equal_to_full_forward(engine, comparisons(pairs=2))
    assert engine._loaded.in_rows is False


def test_reading_rows_leaves_generation_as_it_is(engine):
    from cai.records import GenerateRequest, Sampling, user

    request = GenerateRequest((user("How do I bake bread?"),), Sampling(max_tokens=12, temperature=0.0), 0)
    before = dict(engine.generate(iter([request])))
    dict(engine.score(iter(comparisons(pairs=1))))
    assert engine._loaded.in_rows and dict(engine.generate(iter([request]))) == before


def test_why_rows_are_not_read_is_logged(engine, monkeypatch, caplog):
    def refuse(*_, **__):
        raise CannotPack("its attention has softcap")

    monkeypatch.setattr(hf_model, "attend_in_tree", refuse)
    with caplog.at_level("INFO", logger="cai"):
        list(engine.score(iter(comparisons(pairs=1))))
    assert "read in batches, not in rows: CannotPack: its attention has softcap" in caplog.text
