"""verl's dataset classes, as its trainers make them from a configuration."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf
from reading import Rows, Task, answer
from transformers import AutoTokenizer
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
from verl.utils.dataset.rm_dataset import RMDataset

LENGTH = 4096


def read(task: Task) -> dict[str, Rows]:
    tokenizer = AutoTokenizer.from_pretrained(task.tokenizer)
    return {
        "rl": rl(task, tokenizer),
        "sft": sft(task, tokenizer),
        "reward": reward(task, tokenizer),
    }


def rl(task: Task, tokenizer: Any) -> Rows:
    """Rows as the rollout gets them, collated in pairs as in training."""
    settings = OmegaConf.create(
        {"cache_dir": str(task.work), "max_prompt_length": LENGTH, "filter_overlong_prompts_workers": None}
    )
    rows: Rows = []
    for path in task.files("verl_rl", "parquet").values():
        data = RLHFDataset(path, tokenizer, settings)
        batch = collate_fn([data[at] for at in range(len(data))])
        for at in range(len(data)):
            row = {name: values[at] for name, values in batch.items() if name != "dummy_tensor"}
            rows.append(row)
    return rows


def sft(task: Task, tokenizer: Any) -> Rows:
    settings = OmegaConf.create({"max_length": LENGTH, "pad_mode": "no_padding", "truncation": "error"})
    rows: Rows = []
    for path in task.files("verl_sft", "parquet").values():
        data = MultiTurnSFTDataset(path, tokenizer, settings)
        for at in range(len(data)):
            one = data[at]
            ids, mask = one["input_ids"].tolist(), one["loss_mask"].tolist()
            learned = tokenizer.decode([id for id, wanted in zip(ids, mask, strict=True) if wanted])
            rows.append({"text": tokenizer.decode(ids), "learned": learned})
    return rows


def reward(task: Task, tokenizer: Any) -> Rows:
    """Texts without a chat template, as in `nemo_rl_binary`."""
    rows: Rows = []
    for path in task.files("nemo_rl_binary", "parquet").values():
        data = RMDataset(path, tokenizer, max_length=LENGTH, cache_dir=str(task.work))
        for at in range(len(data)):
            one = data[at]
            texts = [
                tokenizer.decode(ids[mask.bool()])
                for ids, mask in zip(one["input_ids"], one["attention_mask"], strict=True)
            ]
            rows.append(dict(zip(("chosen", "rejected"), texts, strict=True)))
    return rows


if __name__ == "__main__":
    answer(read)
