"""LLaMA-Factory's `get_dataset`: dataset_info.json, the converter of each format, and the processor of each stage."""

from __future__ import annotations

from typing import Any

from llamafactory.data.loader import _get_merged_dataset, get_dataset
from llamafactory.data.template import get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments, TrainingArguments
from reading import Rows, Task, answer
from transformers import AutoTokenizer

STAGES = {
    "llamafactory_sharegpt": "rm",
    "llamafactory_alpaca": "rm",
    "llamafactory_kto": "kto",
    "llamafactory_sft": "sft",
}
IGNORED = -100


def read(task: Task) -> dict[str, Rows]:
    seen: dict[str, Rows] = {}
    for name, stage in STAGES.items():
        converted: Rows = []
        processed: Rows = []
        for split in ("train", "test"):
            one, other = dataset(task, name, split, stage)
            converted += one
            processed += other
        seen[f"{name} converted"], seen[f"{name} processed"] = converted, processed
    return seen


def dataset(task: Task, name: str, split: str, stage: str) -> tuple[Rows, Rows]:
    """The rows as its converter sees them, and as its processor has tokenized them."""
    model = ModelArguments(model_name_or_path=task.tokenizer, cache_dir=str(task.work))
    data = DataArguments(
        dataset=f"{name}_{split}", dataset_dir=str(task.datasets / name), cutoff_len=4096, overwrite_cache=True
    )
    training = TrainingArguments(output_dir=str(task.work), use_cpu=True, report_to=[])
    tokenizer = AutoTokenizer.from_pretrained(task.tokenizer)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    merged = _get_merged_dataset(data.dataset, model, data, training, stage)
    whole = get_dataset(template, model, data, training, stage, tokenizer)["train_dataset"]
    converted = [{key: row[f"_{key}"] for key in ("prompt", "response", "system", "tools")} for row in merged]
    return converted, [texts(tokenizer, row) for row in whole]


def texts(tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Token ids as texts; `labels` are the texts that the loss is on."""
    seen = {}
    for key, value in row.items():
        if key.endswith("input_ids"):
            seen[key] = tokenizer.decode(value)
        elif key.endswith("labels"):
            seen[key] = tokenizer.decode([id for id in value if id != IGNORED])
        elif key == "kto_tags":
            seen[key] = value
    return seen


if __name__ == "__main__":
    answer(read)
