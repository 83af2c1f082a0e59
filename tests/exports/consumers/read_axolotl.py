"""Axolotl's `prepare_preference_datasets` and `prepare_datasets`, as `axolotl preprocess` calls them.

It saves what it prepared from a process of its own, which imports this file again: hence no import of it at the top.
"""

from __future__ import annotations

from typing import Any

from reading import Rows, Task, answer

IGNORED = -100


def read(task: Task) -> dict[str, Rows]:
    """JSONL's rows, then Parquet's, of both splits: axolotl concatenates the datasets of one configuration."""
    return {
        "preference": preferences(task, "axolotl_preference", "dpo", "chat_template.default"),
        "kto": preferences(task, "axolotl_kto", "kto", "chatml.prompt_pairs"),
        "reward": tokenized(task, "axolotl_reward", "bradley_terry.chat_template"),
        "sft": tokenized(task, "axolotl_sft", "chat_template"),
    }


def settings(task: Task, name: str, style: str, **more: Any) -> Any:
    from axolotl.utils.dict import DictDefault

    paths = [path for kind in ("jsonl", "parquet") for path in task.files(name, kind).values()]
    return DictDefault(
        base_model=task.tokenizer, base_model_config=task.tokenizer, tokenizer_config=task.tokenizer,
        datasets=[{"path": path, "type": style} for path in paths], sequence_len=4096, val_set_size=0, seed=0,
        dataset_prepared_path=str(task.work / "prepared"), shuffle_merged_datasets=False, is_preprocess=True,
        train_on_inputs=False, max_steps=1, micro_batch_size=1, gradient_accumulation_steps=1, batch_size=1,
        num_epochs=1, output_dir=str(task.work), **more,
    )  # fmt: skip


def preferences(task: Task, name: str, rl: str, style: str) -> Rows:
    from axolotl.loaders import load_tokenizer
    from axolotl.utils.data import prepare_preference_datasets
    from axolotl.utils.schemas.enums import RLType

    cfg = settings(task, name, style, rl=RLType(rl))
    data, _ = prepare_preference_datasets(cfg, load_tokenizer(cfg))
    return list(data)


def tokenized(task: Task, name: str, style: str) -> Rows:
    from axolotl.loaders import load_tokenizer
    from axolotl.utils.data import prepare_datasets

    cfg = settings(task, name, style, reward_model=style.startswith("bradley_terry") or None)
    tokenizer = load_tokenizer(cfg)
    data, _, _, _ = prepare_datasets(cfg, tokenizer)
    return [texts(tokenizer, row) for row in data]


def texts(tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Token ids as texts; `labels` is the text that the loss is on, and a number where it is the row's label."""
    seen = {}
    for key, value in row.items():
        if key.endswith("ids"):
            seen[key] = tokenizer.decode(value)
        elif key == "labels":
            seen[key] = tokenizer.decode([id for id in value if id != IGNORED])
        elif key.startswith("labels_"):
            seen[key] = value
    return seen


if __name__ == "__main__":
    answer(read)
