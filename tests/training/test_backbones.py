"""Other backbones and other ways to train them: encoders, adapters, a frozen backbone, bfloat16, listwise."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from cai.errors import TrainingError
from cai.models.reward import score_responses
from cai.recipe import LoraSettings, RewardSettings
from cai.records import Preference, Prompt, user
from cai.training.backbone import load_backbone
from cai.training.precision import autocast_type
from cai.training.reward import train_reward
from tests.tiny import LINES, build_tiny_model, build_tiny_tokenizer
from tests.training.planted import BAD, GOOD, preferences, weights_hash, with_a_drawn_head

SETTINGS = RewardSettings(lr=3e-3, epochs=2, batch_size=16, max_length=128, checkpoint_every=2, batch_tokens=700)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def train(base: Path, tmp_path: Path, settings: RewardSettings = SETTINGS, rows=None, name: str = "rm", progress=None):
    return train_reward(
        base, rows or preferences(60), tmp_path / name, settings, 0,
        checkpoints=tmp_path / "checkpoints", progress=progress,
    )  # fmt: skip


def right(folder: Path) -> float:
    """Share of unseen pairs that the model orders as it should."""
    unseen = preferences(30, seed=1)
    a = score_responses(folder, [(one.prompt.messages, one.chosen) for one in unseen])
    b = score_responses(folder, [(one.prompt.messages, one.rejected) for one in unseen])
    return sum(x > y for x, y in zip(a, b, strict=True)) / 30


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).state_dict()


def words(**special: str) -> PreTrainedTokenizerFast:
    """A lower-case tokenizer of whole words and letters, without a chat template."""
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", *special.values()]
    inner.train_from_iterator(
        [*LINES, *GOOD, *BAD, "human assistant :"],
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=marks, show_progress=False),
    )
    first, last = special["cls_token"], special["sep_token"]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(one, inner.token_to_id(one)) for one in (first, last)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", **special)


def encoder(folder: Path) -> Path:
    """A BERT with random weights whose tokenizer knows neither BOS nor EOS."""
    tokenizer = words(cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(
        vocab_size=len(tokenizer), **shape, max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_encoder_is_trained_on_padded_rows_and_says_so(tmp_path):
    report = train(encoder(tmp_path / "bert"), tmp_path, replace(SETTINGS, epochs=4))
    assert report["layout"] == "padded" and report["loss"] < 0.3 < report["loss_first"]
    notes = " | ".join(report["notes"])
    assert "does not score the last token: answers are read one a row, padded" in notes
    assert "[CLS] and [SEP] stand for BOS and EOS" in notes and "pad on the right" in notes
    assert right(tmp_path / "rm") >= 0.9
    saved = AutoTokenizer.from_pretrained(tmp_path / "rm")
    golden = json.loads((tmp_path / "rm" / "golden_scores.json").read_text())
    ids = golden["rows"][0]["input_ids"]
    assert (saved.decode(ids[:1]), saved.decode(ids[-1:])) == ("[CLS]", "[SEP]") and ids.count(ids[-1]) == 1


def test_the_same_words_in_another_case_are_one_answer_to_a_model_that_knows_no_case(tmp_path):
    same = [Preference(Prompt.make((user("q"),)), "paris", "PARIS", 1.0)]
    report = train(encoder(tmp_path / "bert"), tmp_path, replace(SETTINGS, epochs=0.5), [*same, *preferences(8)])
    assert (report["rows_given"], report["rows_used"], report["rows_same_answer"]) == (9, 8, 1)


def test_positions_that_an_encoder_keeps_for_its_pad_are_not_counted(tmp_path):
    tokenizer = words(cls_token="<s>", sep_token="</s>", bos_token="<s>", eos_token="</s>")
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), **shape, max_position_embeddings=66, pad_token_id=0)
    RobertaForMaskedLM(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    assert load_backbone(tmp_path / "roberta", 0).context == 65
    rows = [Preference(Prompt.make((user("please " * 90 + str(n)),)), "paris", "flour", 1.0) for n in range(4)]
    settings = replace(SETTINGS, epochs=0.5, max_truncated=1)
    assert train(tmp_path / "roberta", tmp_path, settings, rows)["rows_truncated"] == 4
    scores = score_responses(tmp_path / "rm", [(one.prompt.messages, one.response_a) for one in rows])
    assert all(map(math.isfinite, scores))


def test_a_window_shorter_than_a_row_is_read_padded(tmp_path):
    tokenizer = build_tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "window")
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MistralConfig(
        vocab_size=len(tokenizer), **shape, num_key_value_heads=2, sliding_window=24,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path / "window")
    report = train(tmp_path / "window", tmp_path, replace(SETTINGS, epochs=0.5))
    assert report["layout"] == "padded"
    assert any("cannot read packed rows: its attention has a window of 24 tokens" in note for note in report["notes"])


POOLED = {"classifier.weight", "bert.pooler.dense.weight", "bert.pooler.dense.bias"}
"""What the folder of a masked language model does not hold. The head's bias stays: in a difference it cancels."""


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_a_frozen_backbone_keeps_what_it_came_with(base, tmp_path, kind):
    start = base if kind == "llama" else encoder(tmp_path / "bert")
    settings = replace(SETTINGS, freeze_backbone=True, lr=3e-2, epochs=4)
    report = train(start, tmp_path, settings)
    assert report["loss"] < report["loss_first"]
    fresh = load_backbone(start, 0).model.state_dict()
    changed = {name for name, one in weights(tmp_path / "rm").items() if not torch.equal(one, fresh[name])}
    assert changed == ({"score.weight"} if kind == "llama" else POOLED)


def test_adapters_leave_nothing_as_it_was_drawn(tmp_path):
    start = encoder(tmp_path / "bert")
    settings = replace(SETTINGS, lora=LoraSettings(r=2))
    report = train(start, tmp_path, settings)
    assert report["loss"] < report["loss_first"]
    fresh, saved = load_backbone(start, 0).model.state_dict(), weights(tmp_path / "rm")
    changes = {name: one - fresh[name] for name, one in saved.items() if not torch.equal(one, fresh[name])}
    assert changes.keys() >= POOLED and "bert.embeddings.word_embeddings.weight" not in changes
    adapted, whole = (
        torch.linalg.matrix_rank(changes[name], rtol=1e-3)
        for name in ("bert.encoder.layer.0.attention.self.query.weight", "bert.pooler.dense.weight")
    )
    assert adapted <= 2 < whole, "what was drawn is trained itself, under no adapter"

    def stop(step, total, loss):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(start, tmp_path, settings, name="cut", progress=stop)
    seen = []
    train(start, tmp_path, settings, name="cut", progress=lambda step, *_: seen.append(step))
    assert seen[0] == 3 and weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "rm")


def opt(folder: Path, dropout: float = 0.5) -> Path:
    """An OPT, whose layers hold their dropout as a number."""
    tokenizer = build_tiny_tokenizer()
    shape = {
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 32,
    }
    odds = {"dropout": dropout, "attention_dropout": dropout, "layerdrop": dropout}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    OPTForCausalLM(OPTConfig(vocab_size=len(tokenizer), **shape, **odds, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_no_dropout_is_left_in_any_form(tmp_path):
    model = with_a_drawn_head(load_backbone(opt(tmp_path / "opt"), 0)).model
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        assert torch.equal(model.train()(ids).logits, model.eval()(ids).logits)
    assert model.config.dropout == 0.5


def test_adapters_are_trained_where_matrices_lie_the_other_way_round(tmp_path):
    tokenizer = build_tiny_tokenizer()
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, **ids)).save_pretrained(
        tmp_path / "gpt2"
    )
    tokenizer.save_pretrained(tmp_path / "gpt2")
    report = train(tmp_path / "gpt2", tmp_path, replace(SETTINGS, lr=2e-2, epochs=6, lora=LoraSettings(r=4)))
    assert report["layout"] == "packed" and report["loss"] < report["loss_first"]
    start = AutoModelForSequenceClassification.from_pretrained(tmp_path / "gpt2", num_labels=1).state_dict()
    changed = [name for name, one in weights(tmp_path / "rm").items() if not torch.equal(one, start[name])]
    assert "transformer.h.0.attn.c_attn.weight" in changed and "transformer.wte.weight" not in changed


def test_adapters_and_a_frozen_backbone_exclude_each_other(base, tmp_path):
    with pytest.raises(TrainingError, match="choose one"):
        train(base, tmp_path, replace(SETTINGS, lora=LoraSettings(), freeze_backbone=True))


def test_bfloat16_is_computed_in_and_weights_stay_float32(base, tmp_path):
    assert autocast_type("float32", torch.device("cpu")) == (False, "")
    settings = replace(SETTINGS, epochs=4, dtype="bfloat16")
    report = train(base, tmp_path, settings)
    has_it, note = autocast_type("bfloat16", torch.device("cpu"))
    assert (note in report["notes"]) is not has_it
    assert report["loss"] < 0.3 and right(tmp_path / "rm") >= 0.9
    plain = train(base, tmp_path, replace(settings, dtype="float32"), name="plain")
    assert plain["loss"] == pytest.approx(report["loss"], abs=0.05)
    assert {one.dtype for one in weights(tmp_path / "rm").values()} == {torch.float32}
    assert has_it is (plain["loss"] != report["loss"])


@pytest.mark.parametrize(
    ("has", "found"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_a_processor_computes_in_bfloat16_unasked_if_it_has_instructions_for_it(monkeypatch, has, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr("cai.training.precision._has_bfloat16", lambda _: True)
    assert autocast_type("auto", torch.device("cpu")) == (found, "")
    assert autocast_type("bfloat16", torch.device("cpu")) == (True, "")
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert autocast_type("auto", torch.device("cpu")) == (False, "")


def test_a_processor_without_bfloat16_says_so(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert autocast_type("bfloat16", torch.device("cpu")) == (
        False, "this cpu has no bfloat16; the training was in float32",
    )  # fmt: skip


def ranked(n: int, seed: int = 0) -> list[Preference]:
    """Prompts with four answers, better the more often they say Paris, and a hard label for every two."""
    answers = [("Paris. " * k + "Mix flour. " * (3 - k)).strip() for k in range(4)]
    prompts = [Prompt.make((user(f"What is the capital? {seed} {number}"),)) for number in range(n)]
    pairs = [(a, b) for b in range(4) for a in range(b)]
    return [Preference(prompt, answers[a], answers[b], 0.0) for prompt in prompts for a, b in pairs]


@pytest.mark.parametrize("loss", ["pairs", "listwise"])
def test_four_answers_are_ranked(base, tmp_path, loss):
    report = train(base, tmp_path, replace(SETTINGS, epochs=5, batch_size=24, loss=loss), ranked(24))
    assert (report["prompts"], report["rows_used"], report["steps"]) == (24, 144, 30)
    assert report["loss"] < 0.2 < report["loss_first"]
    unseen = ranked(6, seed=1)
    a, b = (
        score_responses(tmp_path / "rm", [(one.prompt.messages, text(one)) for one in unseen])
        for text in (lambda one: one.response_a, lambda one: one.response_b)
    )
    assert sum(x < y for x, y in zip(a, b, strict=True)) >= 34
