"""Training a reward model on soft labels: one loop, on accelerate, that a kill at any moment does not change.

A step is a pure function of the weights, the optimizer and its number: its rows come from `schedule.Plan`, its learning
rate from `schedule.lr_factor`, its noise (adapter dropout) from a seed of its own. A checkpoint therefore holds tensors
and a step number and nothing else, and a run that is killed and continued ends in the same bits as one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from cai.chat import Template
from cai.errors import TrainingError
from cai.recipe import RewardSettings
from cai.records import Json, Preference
from cai.training.adapters import merged, with_adapters
from cai.training.backbone import Backbone, load_backbone
from cai.training.checkpoint import (
    Checkpoint,
    Checkpoints,
    decisive,
    fingerprint,
    folder_fingerprint,
    rows_fingerprint,
)
from cai.training.checks import check_ids, check_saved, check_scores, golden_scores, padded
from cai.training.folder import checked_out, finished, mean_loss_at_ends, staged_folder, write_json, write_record
from cai.training.losses import preference_loss
from cai.training.quiet import quiet_libraries
from cai.training.rows import Counts, Pair, encode_pairs
from cai.training.schedule import Plan, lr_factor, micro_batches

Progress = Callable[[int, int, float], None]


def train_reward(
    backbone: Path, preferences: Sequence[Preference], out: Path, settings: RewardSettings, seed: int, *,
    checkpoints: Path, progress: Progress | None = None, template: Template = "auto",
) -> Json:  # fmt: skip
    """Train a sequence classifier with one label, starting from a causal language model, and save it in `out`.

    `progress(step, total, loss)` is called after every step. Dialogues are written by `template`, which the saved
    tokenizer then has. Returns counts, losses in nats, and notes; at once if `out` holds what this very call made.
    Raises `TrainingError` if it cannot start or if the model fails a check; `out` is then left as it was.
    """
    out = checked_out(out, backbone)
    with quiet_libraries(), torch.random.fork_rng():
        base = load_backbone(backbone, seed, template)
        limit = min(settings.max_length, base.context or settings.max_length)
        pairs, counts = encode_pairs(base.chat, preferences, limit, settings.too_long)
        counts.check(limit, settings.max_rejected)
        check_ids(base.tokenizer, [ids for pair in pairs for ids in (pair.ids_a, pair.ids_b)])
        hashed = rows_fingerprint([row for pair in pairs for row in (pair.ids_a, pair.ids_b, (pair.p_a, pair.weight))])
        key = fingerprint("reward", decisive(settings), seed, template, folder_fingerprint(backbone), hashed)
        store = Checkpoints(checkpoints, key)
        if report := finished(out, key):
            store.clear()
            return report
        run = RewardRun(base, pairs, settings, seed)
        run.restore(store.latest())
        while run.step < run.total:
            loss = run.advance()
            if run.step % settings.checkpoint_every == 0 or run.step == run.total:
                run.save(store)
            if progress:
                progress(run.step, run.total, loss)
        report = _finish(run, backbone, base, counts, out, key)
        store.clear()
    return report


class RewardRun:
    """The state of a run between two steps: weights, optimizer moments, losses so far."""

    def __init__(self, base: Backbone, pairs: Sequence[Pair], settings: RewardSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.pairs, self.settings, self.seed = pairs, settings, seed
        self.pad_id = base.tokenizer.pad_token_id
        self.plan = Plan(len(pairs), settings.batch_size, settings.epochs, seed)
        self.total, self.step = self.plan.total_steps, 0
        self.losses: list[float] = []
        self.accelerator = Accelerator()
        model = with_adapters(base.model, settings.lora, "SEQ_CLS")
        optimizer = torch.optim.AdamW(_parameter_groups(model, settings.weight_decay), lr=settings.lr)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

    def advance(self) -> float:
        """One optimizer step over `batch_size` pairs, in as many forward passes as `batch_tokens` asks for."""
        torch.manual_seed(_step_seed(self.seed, self.step))
        batch = self.plan.batch(self.step)
        total_weight = sum(self.pairs[row].weight for row in batch)
        widths = {row: 2 * self.pairs[row].width for row in batch}
        self.model.train()
        loss = 0.0
        for rows in micro_batches(batch, widths, self.settings.batch_tokens):
            fit, objective = self._forward([self.pairs[row] for row in rows])
            self.accelerator.backward(objective / total_weight)
            loss += fit.item() / total_weight
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.step + 1}; lower reward.lr (now {self.settings.lr:g})"
            )
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        factor = lr_factor(self.step, self.total, self.settings.warmup_ratio, self.settings.scheduler)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.losses.append(loss)
        return loss

    def _forward(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides in one forward pass of (2 · pairs, widest) token ids; the place of a packed one."""
        device = self.accelerator.device
        ids, mask = padded([*(one.ids_a for one in pairs), *(one.ids_b for one in pairs)], self.pad_id)
        logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
        reward_a, reward_b = logits[:, 0].float().chunk(2)
        p_a = torch.tensor([one.p_a for one in pairs], device=device)
        weight = torch.tensor([one.weight for one in pairs], device=device)
        return preference_loss(reward_a, reward_b, p_a, weight, self.settings.centering)

    @property
    def plain(self) -> Any:
        """The model without what accelerate has put around it."""
        return self.accelerator.unwrap_model(self.model)

    def save(self, store: Checkpoints) -> None:
        moments = {
            f"{index}.{name}": tensor
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
        }
        tensors = {"weights": _trainable(self.plain), "optimizer": moments}
        store.save(Checkpoint(self.step, {"losses": self.losses}, tensors))

    def restore(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        weights = _trainable(self.plain)
        with torch.no_grad():
            for name, tensor in checkpoint.tensors["weights"].items():
                weights[name].copy_(tensor)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in checkpoint.tensors["optimizer"].items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.losses = checkpoint.step, list(checkpoint.state["losses"])


def _trainable(model: Any) -> dict[str, torch.Tensor]:
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def _parameter_groups(model: Any, weight_decay: float) -> list[Json]:
    """Matrices decay; biases and norms do not."""
    trained = list(_trainable(model).values())
    return [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]


def _step_seed(seed: int, step: int) -> int:
    return int(fingerprint("step", seed, step)[:15], 16)


def _finish(run: RewardRun, backbone: Path, base: Backbone, counts: Counts, out: Path, key: str) -> Json:
    """Check the model, save it with its golden scores, read it back, and say what was done."""
    model = merged(run.plain).eval()
    sample = sorted((ids for pair in run.pairs[:8] for ids in (pair.ids_a, pair.ids_b)), key=len)
    notes = [*base.notes, *check_scores(model, sample, run.pad_id)]
    golden, remarks = golden_scores(model, base.tokenizer, base.chat)
    first, last = mean_loss_at_ends(run.losses)
    report = {
        "steps": run.total,
        **counts.to_json(),
        "tokens": sum(len(pair.ids_a) + len(pair.ids_b) for pair in run.pairs),
        "parameters": sum(one.numel() for one in model.parameters()),
        "loss_first": first,
        "loss": last,
        "notes": [*notes, *remarks],
    }
    with staged_folder(out) as folder:
        model.save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
        write_json(folder / "golden_scores.json", golden)
        about = {"trainer": "reward", "model": backbone.name, "seed": run.seed, "settings": asdict(run.settings)}
        write_record(folder, key, about, report, run.losses)
        check_saved(folder, golden)
    return report
