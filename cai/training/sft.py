"""Supervised fine-tuning with trl, on rows that are already token ids: loss on the last answer, EOS included.

trl has the loop, the schedule and the optimizer. Ours are the rendering (text never becomes a control token), the
marker without which a checkpoint is not continued, and the folder that is written at the end. The trainer's checkpoints
hold `optimizer.pt`, `scheduler.pt` and `rng_state.pth`, which are read back with `weights_only=True`: nothing in them
runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cai.chat import Chat, Template
from cai.context import context_length
from cai.errors import TrainingError
from cai.fitting import Row
from cai.memory import keep_memory
from cai.recipe import SFTSettings
from cai.records import Json, Messages
from cai.training.adapters import lora_config, merged
from cai.training.backbone import UNREADABLE, cause, load_tokenizer
from cai.training.checkpoint import (
    claim,
    decisive,
    fingerprint,
    folder_fingerprint,
    is_complete,
    mark_complete,
    release,
    rows_fingerprint,
)
from cai.training.checks import padded
from cai.training.folder import (
    check_replaceable,
    checked_out,
    finished,
    mean_loss_at_ends,
    staged_folder,
    write_record,
)
from cai.training.quiet import quiet_libraries
from cai.training.rows import Counts, encode_dialogues
from cai.training.templates import closed_template

Progress = Callable[[int, int, float], None]
IGNORED = -100
"""The label of a token that is read but not learnt."""


def train_sft(
    model: Path, dialogues: Sequence[Messages], out: Path, settings: SFTSettings, seed: int, *,
    checkpoints: Path, progress: Progress | None = None, template: Template = "auto",
) -> Json:  # fmt: skip
    """Fine-tune the causal language model in `model` on the last turn of every dialogue, and save it in `out`.

    `progress(step, total, loss)` is called after every step. Dialogues are written by `template`; the transcript, where
    it is asked for, is stored as the saved tokenizer's template. Returns counts and losses in nats per token; at once
    if `out` holds what this very call made. Raises `TrainingError` if it cannot start; `out` is then left as it was.
    """
    out = checked_out(out, model)
    with quiet_libraries(), torch.random.fork_rng():
        tokenizer = load_tokenizer(model)
        chat = Chat(tokenizer, template)
        if template == "transcript":
            tokenizer.chat_template = closed_template(chat)
        network, dtype = _network(model)
        context = context_length(network.config)
        limit = min(settings.max_length, context or settings.max_length)
        rows, counts = encode_dialogues(chat, dialogues, limit, settings.too_long)
        counts.check(limit, settings.max_rejected, settings.max_truncated)
        hashed = rows_fingerprint([part for row in rows for part in (row.ids, row.answer)])
        key = fingerprint("sft", decisive(settings), seed, template, folder_fingerprint(model), hashed)
        folder = claim(checkpoints, key)
        if report := finished(out, key):
            release(folder)
            return report
        check_replaceable(out)
        trainer = _trainer(network, tokenizer, rows, settings, seed, folder)
        trainer.add_callback(Watch(progress))
        if trainer.args.device.type == "cpu":
            keep_memory()
        trainer.train(resume_from_checkpoint=_newest(folder))
        about = {"trainer": "sft", "model": model.name, "seed": seed, "settings": asdict(settings)}
        report, losses = _report(trainer, rows, counts)
        with staged_folder(out) as staged:
            report["parameters"] = _save(trainer, chat, dtype, staged)
            write_record(staged, key, about, report, losses)
        release(folder)
    return report


class Watch(TrainerCallback):
    """Tells how far training is, and marks a checkpoint once all of it is on disk."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Json | None = None, **_: Any) -> None:
        if self.progress and logs and "loss" in logs:
            self.progress(state.global_step, state.max_steps, logs["loss"])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class PlainSFTTrainer(SFTTrainer):
    """trl's trainer, without a model card in every checkpoint."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        return None


def collate(examples: Sequence[dict[str, Any]], pad_id: int) -> dict[str, torch.Tensor]:
    """Token ids, attention mask and labels, each (rows, widest), padded on the right."""
    ids, mask = padded([one["input_ids"] for one in examples], pad_id)
    labels, _ = padded([one["labels"] for one in examples], IGNORED)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _network(folder: Path) -> tuple[Any, torch.dtype]:
    """The model in float32 for training, and the type that its weights are stored in."""
    stored: Any
    try:
        stored = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True, use_safetensors=True)
    except (*UNREADABLE, RuntimeError) as error:
        raise TrainingError(f"no model can be loaded from {folder}: {cause(error)}") from error
    dtype = stored.dtype
    return stored.to(torch.float32), dtype


def _trainer(
    network: Any, tokenizer: Any, rows: Sequence[Row], settings: SFTSettings, seed: int, folder: Path
) -> PlainSFTTrainer:
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    size = micro_batch_size(settings.batch_size, max(len(row.ids) for row in rows), settings.batch_tokens)
    constant = "constant_with_warmup" if settings.warmup_ratio else "constant"
    options: Json = {"gradient_checkpointing": None}  # off; transformers 5.23 warns of the name unless it is None
    config = SFTConfig(
        output_dir=str(folder), seed=seed, learning_rate=settings.lr, num_train_epochs=settings.epochs,
        per_device_train_batch_size=size, gradient_accumulation_steps=settings.batch_size // size,
        lr_scheduler_type=constant if settings.scheduler == "constant" else settings.scheduler,
        warmup_steps=settings.warmup_ratio, weight_decay=settings.weight_decay, max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch", bf16=False, fp16=False,
        save_steps=settings.checkpoint_every, save_total_limit=2,
        logging_steps=1, disable_tqdm=True, report_to="none",
        max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, dataloader_pin_memory=False, **options,
    )  # fmt: skip
    trainer = PlainSFTTrainer(
        model=network, args=config, processing_class=tokenizer, train_dataset=_dataset(rows),
        data_collator=lambda examples: collate(examples, pad_id),
        peft_config=lora_config(settings.lora, "CAUSAL_LM") if settings.lora else None,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def _dataset(rows: Sequence[Row]) -> Dataset:
    labels = [[one if learnt else IGNORED for one, learnt in zip(row.ids, row.answer, strict=True)] for row in rows]
    return Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": labels})


def micro_batch_size(batch_size: int, width: int, budget: int) -> int:
    """The largest divisor of `batch_size` for which rows × `width` tokens stay within `budget`; at least 1."""
    return max(n for n in range(1, batch_size + 1) if batch_size % n == 0 and (n == 1 or n * width <= budget))


def _newest(folder: Path) -> str | None:
    """The newest whole checkpoint; what a kill left half-written is removed."""
    found = {int(path.name.partition("-")[2]): path for path in folder.glob("checkpoint-*")}
    for path in found.values():
        if not is_complete(path):
            shutil.rmtree(path)
    whole = [step for step, path in found.items() if path.exists()]
    return str(found[max(whole)]) if whole else None


def _stops(known: int | Sequence[int] | None, chat: Chat) -> int | list[int]:
    """Token ids that end an answer: the model's own and the chat template's."""
    stops = sorted({*([known] if isinstance(known, int) else known or ()), *chat.stop_ids})
    return stops[0] if len(stops) == 1 else stops


def _report(trainer: PlainSFTTrainer, rows: Sequence[Row], counts: Counts) -> tuple[Json, list[float]]:
    """Counts and mean losses, and the loss of every step."""
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    first, last = mean_loss_at_ends(losses)
    report = {
        "steps": trainer.state.global_step,
        **counts.to_json(),
        "tokens": sum(len(row.ids) for row in rows),
        "tokens_learnt": sum(sum(row.answer) for row in rows),
        "loss_first": first,
        "loss": last,
    }
    return report, losses


def _save(trainer: PlainSFTTrainer, chat: Chat, dtype: torch.dtype, folder: Path) -> int:
    """Write the model as `dtype`, adapters merged, with its tokenizer and generation settings; counts its weights."""
    network = merged(trainer.accelerator.unwrap_model(trainer.model)).to(dtype)
    network.config.use_cache = True
    network.generation_config.eos_token_id = _stops(network.generation_config.eos_token_id, chat)
    network.save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)
    return sum(one.numel() for one in network.parameters())
