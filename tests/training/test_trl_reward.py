"""A trained reward model as the reward function of trl's own policy trainers: its scores are those that we give."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cai.models.reward import score_responses
from cai.recipe import RewardSettings
from cai.records import Message
from cai.training.reward import train_reward
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:trl"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]
SETTINGS = RewardSettings(lr=3e-3, epochs=0.5, batch_size=16, max_length=128)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    base = build_tiny_model(folder / "base")
    train_reward(base, preferences(30), folder / "rm", SETTINGS, 0, checkpoints=folder / "checkpoints")
    return base, folder / "rm"


@pytest.mark.parametrize("name", ["GRPO", "RLOO"])
def test_a_step_takes_it_as_reward_function(folders, tmp_path, name):
    import datasets
    import trl
    from transformers import AutoTokenizer

    base, rm = folders
    prompts = [{"prompt": [{"role": "user", "content": f"What is the capital? {n}"}]} for n in range(4)]
    asked: list[tuple[tuple[Message, ...], str]] = []

    def watch(prompts, completions, **_):
        for prompt, [answer] in zip(prompts, completions, strict=True):
            asked.append((tuple(Message.from_json(turn) for turn in prompt), answer["content"]))
        return [0.0] * len(prompts)

    config = getattr(trl, f"{name}Config")(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4, num_generations=2, report_to=[],
        use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, gradient_checkpointing=False, logging_steps=1,
        max_completion_length=8, reward_weights=[1.0, 0.0],
    )  # fmt: skip
    trainer = getattr(trl, f"{name}Trainer")(
        str(base), reward_funcs=[str(rm), watch], args=config, train_dataset=datasets.Dataset.from_list(prompts),
        processing_class=AutoTokenizer.from_pretrained(base),
    )  # fmt: skip
    assert math.isfinite(trainer.train().training_loss)
    [given] = [
        value for key, value in trainer.state.log_history[0].items() if key.startswith("rewards/") and "rm/mean" in key
    ]
    ours = score_responses(rm, asked, device="cpu")
    assert len(ours) == 4 and given == pytest.approx(sum(ours) / 4, abs=1e-4)
    assert len(set(ours)) > 1 and len({prompt for prompt, _ in asked}) == 2
