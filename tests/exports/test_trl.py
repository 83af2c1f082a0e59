"""trl's own trainers take a step on the files as they are written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cai.exports import ExportOptions, load_export
from cai.exports.writing import export_dataset
from tests.exports.writing import RECORDS, make_drafts, make_preferences
from tests.tiny import build_tiny_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:trl"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("tiny")))


MADE_FROM = RECORDS | {"prompt_completion": make_drafts, "unpaired_preference": make_preferences}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    for name, make in MADE_FROM.items():
        export_dataset(load_export(name), make(), folder / name)
    return folder


def load(written: Path, name: str, kind: str = "jsonl"):
    import datasets

    builder = "json" if kind == "jsonl" else kind
    path = str(written / name / f"train.{kind}")
    return datasets.load_dataset(builder, data_files=path, split="train", cache_dir=str(written / "cache"))


def settings(config, folder: Path, **more):
    return config(
        output_dir=str(folder), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no", disable_tqdm=True, gradient_checkpointing=False, **more,
    )  # fmt: skip


def tokenizer(model: str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_sft_trainer(kind, model, written, tmp_path):
    from trl import SFTConfig, SFTTrainer

    args = settings(SFTConfig, tmp_path, max_length=128)
    data = load(written, "sft", kind)
    trainer = SFTTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    row = next(row for row in trainer.train_dataset if len(row["messages"]) == 5)
    text = tokenizer(model).decode(row["input_ids"])
    assert text.startswith("<|bos|><|system|>Be kind.<|user|>你好 ü 🙂 {x} \u2028 \\n ")
    assert text.endswith(f"<|user|>and?<|assistant|>{row['messages'][-1]['content']}<|eos|>")
    assert math.isfinite(trainer.train().training_loss)


def test_sft_trainer_learns_the_completion_alone(model, written, tmp_path):
    from trl import SFTConfig, SFTTrainer

    args = settings(SFTConfig, tmp_path, max_length=128)
    data = load(written, "prompt_completion")
    trainer = SFTTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert len(trainer.train_dataset) == len(data)
    for row, source in zip(trainer.train_dataset, data, strict=True):
        learned = [id for id in row["labels"] if id != -100]
        assert tokenizer(model).decode(learned) == f"{source['completion'][0]['content']}<|eos|>"
    assert math.isfinite(trainer.train().training_loss)


@pytest.mark.parametrize("name", ["preference", "preference_implicit"])
def test_reward_trainer(name, model, written, tmp_path):
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    reward = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
    args = settings(RewardConfig, tmp_path, max_length=128)
    trainer = RewardTrainer(reward, args=args, train_dataset=load(written, name), processing_class=tokenizer(model))
    assert len(trainer.train_dataset) == len(load(written, name))
    assert math.isfinite(trainer.train().training_loss)


def test_reward_trainer_asks_for_the_margin(model, tmp_path):
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    losses = {}
    for asked in (False, True):
        folder = tmp_path / str(asked)
        options = ExportOptions(margin=asked)
        export_dataset(load_export("preference", options=options), make_preferences(), folder / "preference")
        data = load(folder, "preference").filter(lambda row: row["p_chosen"] == 1.0)
        reward = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
        reward.score.weight.data.zero_()
        args = settings(RewardConfig, folder, max_length=128, center_rewards_coefficient=None)
        trainer = RewardTrainer(reward, args=args, train_dataset=data, processing_class=tokenizer(model))
        losses[asked] = trainer.train().training_loss
    assert losses[False] == pytest.approx(math.log(2), abs=1e-4)
    assert losses[True] == pytest.approx(math.log(1 + 0.999 / 0.001), abs=1e-3)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_kto_trainer(kind, model, written, tmp_path):
    from trl import KTOConfig, KTOTrainer

    args = settings(KTOConfig, tmp_path, max_length=128)
    data = load(written, "unpaired_preference", kind)
    assert {row["label"] for row in data} == {True, False}
    trainer = KTOTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert list(trainer.train_dataset["label"]) == list(data["label"])
    assert trainer.train().training_loss == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("name", ["preference", "preference_implicit"])
def test_dpo_trainer(name, model, written, tmp_path):
    from trl import DPOConfig, DPOTrainer

    args = settings(DPOConfig, tmp_path, max_length=128)
    trainer = DPOTrainer(model, args=args, train_dataset=load(written, name), processing_class=tokenizer(model))
    assert trainer.train().training_loss == pytest.approx(math.log(2), abs=1e-4)


def test_grpo_trainer(model, written, tmp_path):
    from trl import GRPOConfig, GRPOTrainer

    seen: list[object] = []

    def reward(prompts, completions, kind, **columns):
        seen.extend(zip(prompts, kind, strict=True))
        return [float(len(one[0]["content"])) for one in completions]

    args = settings(GRPOConfig, tmp_path, num_generations=2, max_completion_length=4)
    data = load(written, "prompts")
    trainer = GRPOTrainer(model, reward, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert math.isfinite(trainer.train().training_loss)
    [row] = [row for row in data if row["prompt"] == seen[0][0]]
    assert row["kind"] == seen[0][1]


def test_trl_reads_the_formats_for_what_they_are(written, model):
    from trl import apply_chat_template, extract_prompt, is_conversational

    for name in MADE_FROM:
        assert is_conversational(load(written, name)[0])
    for implicit, explicit in zip(load(written, "preference_implicit"), load(written, "preference"), strict=True):
        assert extract_prompt(implicit) == {key: explicit[key] for key in ("prompt", "chosen", "rejected")}
    text = apply_chat_template({"prompt": load(written, "prompts")[0]["prompt"]}, tokenizer(model))["prompt"]
    assert text.endswith("<|assistant|>")
