"""A saved reward model is read back before it counts, and gives others the scores that it was trained to give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    TextClassificationPipeline,
)

from cai.errors import TrainingError
from cai.recipe import RewardSettings
from cai.training.checks import check_saved
from cai.training.reward import train_reward
from tests.tiny import build_tiny_tokenizer
from tests.training.planted import preferences

SETTINGS = RewardSettings(lr=3e-3, epochs=0.5, batch_size=16, max_length=128)


def read(folder: Path):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder), json.loads((folder / "golden_scores.json").read_text())


@pytest.fixture
def trained(tmp_path) -> tuple[Path, list[str]]:
    """A reward model from a GPT-2, whose positions count from a row's first place, under a tokenizer that pads left."""
    tokenizer = build_tiny_tokenizer()
    tokenizer.init_kwargs["padding_side"] = tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path / "gpt2")
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "initializer_range": 0.3}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ids)).save_pretrained(tmp_path / "gpt2")
    report = train_reward(
        tmp_path / "gpt2", preferences(30), tmp_path / "rm", SETTINGS, 0, checkpoints=tmp_path / "checkpoints"
    )
    return tmp_path / "rm", report["notes"]


def test_a_batch_scores_as_one_by_one_whatever_side_the_base_padded_on(trained):
    folder, notes = trained
    model, tokenizer, golden = read(folder)
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in golden["rows"]]
    pipeline = TextClassificationPipeline(model=model, tokenizer=tokenizer)
    expected = pytest.approx([row["score"] for row in golden["rows"]], abs=1e-4)
    for size in (1, len(texts)):
        assert [one["score"] for one in pipeline(texts, batch_size=size, add_special_tokens=False)] == expected
    assert sum("padded on the left; that of the reward model pads on the right" in note for note in notes) == 1


def test_a_folder_whose_tokenizer_pads_where_scores_change_is_refused(trained):
    folder, _ = trained
    _, tokenizer, golden = read(folder)
    check_saved(folder, golden)
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(folder)
    with pytest.raises(TrainingError, match="the saved one, in one batch padded on the left"):
        check_saved(folder, golden)


def test_a_folder_with_other_weights_is_refused(trained):
    folder, _ = trained
    golden = read(folder)[2]
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] = 2 * weights["score.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(TrainingError, match="scores differ between the model in memory and the saved one"):
        check_saved(folder, golden)


def test_a_folder_with_another_tokenizer_is_refused(trained):
    folder, _ = trained
    golden = read(folder)[2]
    build_tiny_tokenizer(300).save_pretrained(folder)
    with pytest.raises(TrainingError, match="does not give the ids that were trained on"):
        check_saved(folder, golden)
