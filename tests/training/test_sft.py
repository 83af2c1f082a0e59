from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.chat import Chat
from cai.errors import TrainingError
from cai.recipe import LoraSettings, SFTSettings
from cai.records import assistant, user
from cai.training.checkpoint import MARKER
from cai.training.sft import IGNORED, collate, micro_batch_size, train_sft
from cai.training.templates import template_ids
from tests.tiny import build_tiny_model
from tests.training.planted import dialogues, weights_hash

SETTINGS = SFTSettings(lr=3e-3, epochs=2, batch_size=8, max_length=128, checkpoint_every=3)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def train(
    base: Path, tmp_path: Path, settings: SFTSettings = SETTINGS, rows=None, name: str = "sft", progress=None, **more
):
    return train_sft(
        base, rows or dialogues(40), tmp_path / name, settings, 0,
        checkpoints=tmp_path / "checkpoints", progress=progress, **more,
    )  # fmt: skip


def answer_loss(folder: Path, messages) -> float:
    """Mean cross-entropy of the last answer's tokens, computed from the definition."""
    chat = Chat(AutoTokenizer.from_pretrained(folder))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids, answer = chat.encode_supervised(messages)
    with torch.inference_mode():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    learnt = [-logprobs[at - 1, ids[at]].item() for at in range(len(ids)) if answer[at]]
    return sum(learnt) / len(learnt)


def test_it_learns_and_writes_a_whole_model_folder(base, tmp_path, capfd):
    steps = []
    report = train(base, tmp_path, progress=lambda *at: steps.append(at))
    assert capfd.readouterr() == ("", "")
    assert [step for step, _, _ in steps] == list(range(1, 11)) and {total for _, total, _ in steps} == {10}
    assert report["loss"] < 0.6 * report["loss_first"]
    assert (report["rows_given"], report["rows_used"]) == (40, 40)
    names = {path.name for path in (tmp_path / "sft").iterdir()}
    assert names == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "training.json",
    }  # fmt: skip
    config = json.loads((tmp_path / "sft/config.json").read_text())
    assert config["use_cache"] is True and config["architectures"] == ["LlamaForCausalLM"]
    assert json.loads((tmp_path / "sft/generation_config.json").read_text())["eos_token_id"] == 2
    before = (base / "chat_template.jinja").read_text()
    assert (tmp_path / "sft/chat_template.jinja").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft"]


def test_the_loss_is_that_of_the_answer_alone(base, tmp_path):
    dialogue = (user("What is the capital?"), assistant("I do not know."), user("Think."), assistant("Paris."))
    report = train(base, tmp_path, replace(SETTINGS, epochs=1), [dialogue] * 8)
    assert report["loss_first"] == pytest.approx(answer_loss(base, dialogue), rel=1e-5)
    assert report["tokens_learnt"] == 8 * sum(Chat(AutoTokenizer.from_pretrained(base)).encode_supervised(dialogue)[1])


def test_labels_and_mask_of_a_batch():
    rows = [{"input_ids": [1, 5, 2], "labels": [IGNORED, 5, 2]}, {"input_ids": [1, 2], "labels": [IGNORED, 2]}]
    batch = collate(rows, 0)
    assert batch["input_ids"].tolist() == [[1, 5, 2], [1, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 5, 2], [IGNORED, 2, IGNORED]]


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4, dropout=0.1)], ids=["full", "lora"])
def test_twice_from_scratch_and_once_in_pieces_are_the_same_bits(base, tmp_path, lora):
    settings = replace(SETTINGS, lora=lora, scheduler="cosine", warmup_ratio=0.2)
    train(base, tmp_path, settings, name="one")
    train(base, tmp_path, settings, name="two")

    def stop_at(last):
        def progress(step, total, loss):
            if step == last:
                raise KeyboardInterrupt

        return progress

    for last in (2, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            train(base, tmp_path, settings, name="cut", progress=stop_at(last))
    seen = []
    train(base, tmp_path, settings, name="cut", progress=lambda step, *_: seen.append(step))
    assert seen[0] == 7
    assert len({weights_hash(tmp_path / name) for name in ("one", "two", "cut")}) == 1
    assert (tmp_path / "cut/training.json").read_text() == (tmp_path / "one/training.json").read_text()


def test_a_checkpoint_without_its_marker_is_not_continued(base, tmp_path):
    def stop(step, total, loss):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base, tmp_path, progress=stop)
    [newest] = tmp_path.glob("checkpoints/*/checkpoint-6")
    (newest / MARKER).unlink()
    seen = []
    train(base, tmp_path, progress=lambda step, *_: seen.append(step))
    assert seen[0] == 4


def test_what_is_finished_is_not_trained_again(base, tmp_path):
    settings = replace(SETTINGS, epochs=0.5)
    report = train(base, tmp_path, settings)
    before = (tmp_path / "sft/model.safetensors").stat().st_ino
    steps = []
    again = train(
        base, tmp_path, replace(settings, checkpoint_every=7), progress=lambda step, *_: steps.append(step)
    )  # fmt: skip
    assert again == report and not steps
    assert (tmp_path / "sft/model.safetensors").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft"]
    train(base, tmp_path, replace(settings, lr=1e-4), progress=lambda step, *_: steps.append(step))
    assert steps == [1, 2, 3]


def test_the_transcript_is_trained_and_stored_where_it_is_asked_for(base, tmp_path):
    dialogue = (user("What is the capital?"), assistant("Paris."))
    report = train(base, tmp_path, replace(SETTINGS, epochs=1), [dialogue] * 8, template="transcript")
    chat = Chat(AutoTokenizer.from_pretrained(base), "transcript")
    expected = chat.encode_dialogue(dialogue)
    assert report["tokens"] == 8 * len(expected) and "Human:" in chat.tokenizer.decode(expected)
    saved = AutoTokenizer.from_pretrained(tmp_path / "sft")
    assert template_ids(saved, [message.to_json() for message in dialogue]) == expected
    for template in ("auto", "transcript"):
        assert Chat(saved, template).encode(dialogue[:1]) == chat.encode(dialogue[:1])


def test_weights_keep_the_type_they_had(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    train(tmp_path / "half", tmp_path, replace(SETTINGS, epochs=0.2))
    assert json.loads((tmp_path / "sft/config.json").read_text())["dtype"] == "bfloat16"


def test_a_tokenizer_without_template_or_pad_is_trained_as_a_transcript(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template, tokenizer.pad_token = None, None
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    report = train(tmp_path / "plain", tmp_path)
    assert report["loss"] < report["loss_first"]
    saved = AutoTokenizer.from_pretrained(tmp_path / "sft")
    assert saved.chat_template is None and saved.pad_token is None


def test_rows_over_the_limit_are_counted(base, tmp_path):
    rows = [(user("Please tell me. " * 60), assistant("Paris.")), (user("q"), assistant("Paris. " * 90)), *dialogues(6)]
    report = train(base, tmp_path, replace(SETTINGS, epochs=1), rows)
    assert (report["rows_given"], report["rows_used"], report["rows_truncated"], report["rows_too_long"]) == (
        8,
        7,
        1,
        1,
    )
    with pytest.raises(TrainingError, match="2 of 8 rows cannot be trained on: 2 too long for 128 tokens"):
        train(base, tmp_path, replace(SETTINGS, too_long="reject", max_rejected=0.1), rows)


@pytest.mark.parametrize(
    ("batch_size", "width", "budget", "size"), [(32, 10, 1000, 32), (32, 100, 1000, 8), (7, 100, 300, 1), (8, 9, 1, 1)]
)
def test_micro_batches_divide_the_batch(batch_size, width, budget, size):
    assert micro_batch_size(batch_size, width, budget) == size


def test_micro_batches_do_not_change_the_loss(base, tmp_path):
    whole = train(base, tmp_path, replace(SETTINGS, epochs=1))
    parts = train(base, tmp_path, replace(SETTINGS, epochs=1, batch_tokens=60))
    assert parts["steps"] == whole["steps"]
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-3)
    assert math.isfinite(parts["loss"])
