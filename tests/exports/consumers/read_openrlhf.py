"""OpenRLHF's dataset classes, built as its train_rm, train_dpo, train_sft and train_ppo_ray build them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from openrlhf.datasets import PromptDataset, RewardDataset, SFTDataset
from openrlhf.datasets.utils import blending_datasets
from reading import Rows, Task, answer
from transformers import AutoTokenizer

LENGTH = 4096


def strategy(**keys: Any) -> SimpleNamespace:
    data = SimpleNamespace(apply_chat_template=True, **keys)
    return SimpleNamespace(args=SimpleNamespace(data=data, use_ms=False), print=print, is_rank_0=lambda: True)


def loaded(path: str, how: SimpleNamespace) -> Any:
    return blending_datasets(path, None, how, dataset_split="train")


def read(task: Task) -> dict[str, Rows]:
    tokenizer = AutoTokenizer.from_pretrained(task.tokenizer)
    seen: dict[str, Rows] = {}
    for kind in ("jsonl", "parquet"):
        for dpo in (False, True):
            seen[f"preference {'dpo' if dpo else 'reward'} {kind}"] = preferences(task, tokenizer, kind, dpo)
        for multiturn in (False, True):
            seen[f"sft {'every turn' if multiturn else 'last turn'} {kind}"] = sft(task, tokenizer, kind, multiturn)
        seen[f"prompts {kind}"] = prompts(task, tokenizer, kind)
    return seen


def preferences(task: Task, tokenizer: Any, kind: str, dpo: bool) -> Rows:
    how = strategy(prompt_key="prompt", chosen_key="chosen", rejected_key="rejected")
    rows: Rows = []
    for path in task.files("openrlhf_preference", kind).values():
        data = RewardDataset(loaded(path, how), tokenizer, LENGTH, how, is_dpo=dpo, num_processors=None)
        for at in range(len(data)):
            chosen, _, rejected, _, extra = data[at]
            texts = {"chosen": tokenizer.decode(chosen[0]), "rejected": tokenizer.decode(rejected[0])}
            length = {"prompt": tokenizer.decode(chosen[0][:extra])} if dpo else {"margin": extra}
            rows.append({**texts, **length})
    return rows


def sft(task: Task, tokenizer: Any, kind: str, multiturn: bool) -> Rows:
    """Each row's text, and the texts that the loss is on, in order."""
    how = strategy(input_key="input", output_key=None)
    rows: Rows = []
    for path in task.files("openrlhf_sft", kind).values():
        data = SFTDataset(loaded(path, how), tokenizer, LENGTH, how, num_processors=None, multiturn=multiturn)
        for at in range(len(data)):
            ids, _, mask = data[at]
            rows.append({"text": tokenizer.decode(ids[0]), "learned": learned(tokenizer, ids[0], mask[0])})
    return rows


def learned(tokenizer: Any, ids: Any, mask: Any) -> list[str]:
    """The stretches of tokens with loss; the mask at a position is that of the next token."""
    stretches: list[list[int]] = []
    for at in range(1, len(ids)):
        if mask[at - 1]:
            if at == 1 or not mask[at - 2]:
                stretches.append([])
            stretches[-1].append(int(ids[at]))
    return [tokenizer.decode(one) for one in stretches]


def prompts(task: Task, tokenizer: Any, kind: str) -> Rows:
    how = strategy(input_key="input", label_key=None)
    rows: Rows = []
    for path in task.files("openrlhf_prompts", kind).values():
        data = PromptDataset(loaded(path, how), tokenizer, how)
        for at in range(len(data)):
            datasource, prompt, label, images = data[at]
            rows.append({"datasource": datasource, "prompt": prompt, "label": label, "images": images})
    return rows


if __name__ == "__main__":
    answer(read)
