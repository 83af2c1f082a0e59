"""trl's online trainers take a reward model's folder as reward function, and read of it the scores that we read."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from cai.models.reward import score_responses
from cai.recipe import RewardSettings
from cai.records import user
from cai.training.reward import train_reward
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:trl"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


@pytest.mark.parametrize("name", ["GRPO", "RLOO"])
def test_a_step_is_rewarded_with_our_scores(tmp_path, name):
    import datasets
    import trl
    from transformers import AutoTokenizer

    base, model = build_tiny_model(tmp_path / "base"), tmp_path / "rm"
    settings = RewardSettings(lr=3e-3, epochs=2, batch_size=16)
    train_reward(base, preferences(60), model, settings, 0, checkpoints=tmp_path / "checkpoints")
    seen: list[tuple[str, str]] = []

    def watching(prompts, completions, **columns):
        seen.extend((one[0]["content"], other[0]["content"]) for one, other in zip(prompts, completions, strict=True))
        return [0.0] * len(prompts)

    config = getattr(trl, f"{name}Config")(
        output_dir=str(tmp_path / "trl"), max_steps=1, per_device_train_batch_size=4, num_generations=2,
        max_completion_length=8, logging_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    asked = [{"prompt": [one.prompt.messages[0].to_json()]} for one in preferences(4, seed=1)]
    trainer = getattr(trl, f"{name}Trainer")(
        str(base), [str(model), watching], args=config, train_dataset=datasets.Dataset.from_list(asked),
        processing_class=AutoTokenizer.from_pretrained(base),
    )  # fmt: skip
    assert math.isfinite(trainer.train().training_loss)
    ours = score_responses(model, [((user(prompt),), answer) for prompt, answer in seen])
    [log] = [one for one in trainer.state.log_history if "rewards/rm/mean" in one]
    assert len(ours) == 4 and log["rewards/rm/mean"] == pytest.approx(fmean(ours), abs=1e-3)
