"""trl's own trainers hold every row of the files as they are written, with its sides, and take a step on them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cai.exports import ExportOptions, load_export
from cai.exports.writing import export_dataset
from cai.records import Messages, Prompt
from tests.exports.consumers.source import dialogue, in_json
from tests.exports.writing import RECORDS, make_drafts, make_preferences, make_prompts
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


def settings(config, folder: Path, batch: int = 2, **more):
    return config(
        output_dir=str(folder), max_steps=1, per_device_train_batch_size=batch, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no", disable_tqdm=True, gradient_checkpointing=False, **more,
    )  # fmt: skip


def tokenizer(model: str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


# What the trainers are to hold: the records that the files were made from, those of the train split in their order.


def prompts() -> list[Prompt]:
    """Of one turn and of several, all with Unicode."""
    found = [one for one in make_prompts() if one.split == "train"]
    assert {len(one.messages) for one in found} == {1, 4}
    return found


def demonstrations() -> list[tuple[Messages, str]]:
    found = [(one, [each.revision for each in one.rounds] or [one.response]) for one in make_drafts()]
    return [(one.prompt.messages, text) for one, some in found if one.prompt.split == "train" for text in some]


def pairs() -> list[tuple[Messages, str, str]]:
    """Turns, the better answer and the worse one; both sides win some, and ties are not there."""
    found = [one for one in make_preferences() if one.prompt.split == "train" and one.p_a != 0.5]
    assert {one.p_a > 0.5 for one in found} == {True, False}
    both = [(one, (one.response_a, one.response_b)) for one in found]
    return [(one.prompt.messages, *(sides if one.p_a > 0.5 else reversed(sides))) for one, sides in both]


def texts(trainer, model: str, *columns: str) -> list[tuple[str, ...]]:
    """The token ids that a trainer holds, row by row, as texts."""
    decode = tokenizer(model).decode
    return [tuple(decode(row[column]) for column in columns) for row in trainer.train_dataset]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_sft_trainer(kind, model, written, tmp_path):
    from trl import SFTConfig, SFTTrainer

    args = settings(SFTConfig, tmp_path, max_length=128)
    data = load(written, "sft", kind)
    trainer = SFTTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert texts(trainer, model, "input_ids") == [(dialogue(turns, answer),) for turns, answer in demonstrations()]
    assert math.isfinite(trainer.train().training_loss)


def test_sft_trainer_learns_the_completion_alone(model, written, tmp_path):
    from trl import SFTConfig, SFTTrainer

    args = settings(SFTConfig, tmp_path, max_length=128)
    data = load(written, "prompt_completion")
    trainer = SFTTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert texts(trainer, model, "input_ids") == [(dialogue(turns, answer),) for turns, answer in demonstrations()]
    learned = [[id for id in row["labels"] if id != -100] for row in trainer.train_dataset]
    assert [tokenizer(model).decode(ids) for ids in learned] == [f"{answer}<|eos|>" for _, answer in demonstrations()]
    assert math.isfinite(trainer.train().training_loss)


@pytest.mark.parametrize("name", ["preference", "preference_implicit"])
def test_reward_trainer(name, model, written, tmp_path):
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    reward = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
    args = settings(RewardConfig, tmp_path, max_length=128)
    trainer = RewardTrainer(reward, args=args, train_dataset=load(written, name), processing_class=tokenizer(model))
    assert texts(trainer, model, "chosen_ids", "rejected_ids") == [
        (dialogue(turns, chosen), dialogue(turns, rejected)) for turns, chosen, rejected in pairs()
    ]
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
    trainer = KTOTrainer(model, args=args, train_dataset=data, processing_class=tokenizer(model))
    held = texts(trainer, model, "prompt_ids", "completion_ids")
    assert [(*both, label) for both, label in zip(held, trainer.train_dataset["label"], strict=True)] == [
        (dialogue(turns), f"{text}<|eos|>", label)
        for turns, chosen, rejected in pairs()
        for text, label in ((chosen, True), (rejected, False))
    ]
    assert trainer.train().training_loss == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("name", ["preference", "preference_implicit"])
def test_dpo_trainer(name, model, written, tmp_path):
    from trl import DPOConfig, DPOTrainer

    args = settings(DPOConfig, tmp_path, max_length=128)
    trainer = DPOTrainer(model, args=args, train_dataset=load(written, name), processing_class=tokenizer(model))
    assert texts(trainer, model, "prompt_ids", "chosen_ids", "rejected_ids") == [
        (dialogue(turns), f"{chosen}<|eos|>", f"{rejected}<|eos|>") for turns, chosen, rejected in pairs()
    ]
    assert trainer.train().training_loss == pytest.approx(math.log(2), abs=1e-4)


def test_grpo_trainer(model, written, tmp_path):
    """One step of every prompt, each answered twice."""
    from trl import GRPOConfig, GRPOTrainer

    seen: list[tuple[object, str]] = []

    def reward(prompts, completions, kind, **columns):
        seen.extend(zip(prompts, kind, strict=True))
        return [float(len(one[0]["content"])) for one in completions]

    wanted = [(in_json(one.messages), one.kind) for one in prompts()]
    args = settings(GRPOConfig, tmp_path, 2 * len(wanted), num_generations=2, max_completion_length=4)
    data = load(written, "prompts")
    trainer = GRPOTrainer(model, reward, args=args, train_dataset=data, processing_class=tokenizer(model))
    assert [(row["prompt"], row["kind"]) for row in trainer.train_dataset] == wanted
    assert math.isfinite(trainer.train().training_loss)
    assert sorted(seen, key=repr) == sorted(2 * wanted, key=repr)


def test_trl_reads_the_formats_for_what_they_are(written, model):
    from trl import apply_chat_template, extract_prompt, is_conversational

    for name in MADE_FROM:
        assert is_conversational(load(written, name)[0])
    for implicit, explicit in zip(load(written, "preference_implicit"), load(written, "preference"), strict=True):
        assert extract_prompt(implicit) == {key: explicit[key] for key in ("prompt", "chosen", "rejected")}
    text = apply_chat_template({"prompt": load(written, "prompts")[0]["prompt"]}, tokenizer(model))["prompt"]
    assert text.endswith("<|assistant|>")
