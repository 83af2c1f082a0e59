"""Training a reward model on soft labels: one loop, one process or several, which a kill at any moment does not change.

A step is a pure function of the weights, the optimizer and its number: its groups come from `schedule.Plan`, its
learning rate from `schedule.lr_factor`, its noise (adapter dropout) from a seed of its own. A checkpoint therefore
holds tensors and a step number and nothing else, and a run that is killed and continued ends in the same bits as one
that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cai.chat import Template
from cai.errors import TrainingError
from cai.memory import keep_memory
from cai.packed import layers_of
from cai.prompts.trained import write_trained_prompts
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
from cai.training.checks import check_ids, check_saved, check_scores, golden_scores
from cai.training.folder import (
    check_replaceable,
    checked_out,
    finished,
    mean_loss_at_ends,
    staged_folder,
    write_json,
    write_record,
)
from cai.training.losses import group_loss
from cai.training.parallel import Team, placed, unwrapped
from cai.training.precision import autocast_type
from cai.training.quiet import quiet_libraries
from cai.training.rows import Counts, Group, encode_groups, in_mean_weights
from cai.training.schedule import Plan, dealt, lr_factor
from cai.training.scoring import PADDED, Scorer, best_way
from cai.training.vocabulary import read_rows

Progress = Callable[[int, int, float], None]
STILL = 0.01
"""The share of a loss by which it has to fall for anything to be said of the model."""


def train_reward(
    backbone: Path, preferences: Sequence[Preference], out: Path, settings: RewardSettings, seed: int, *,
    checkpoints: Path, progress: Progress | None = None, template: Template = "auto",
) -> Json:  # fmt: skip
    """Train a sequence classifier with one label, starting from a language model, and save it in `out`.

    `progress(step, total, loss)` is called after every step. Dialogues are written by `template`, which the saved
    tokenizer then has. Returns counts, losses in nats, and notes; at once if `out` holds what this very call made.
    Under `accelerate launch` every process calls it, and the first one writes. Raises `TrainingError` if it cannot
    start or if the model fails a check; `out` is then left as it was.
    """
    out = checked_out(out, backbone)
    with quiet_libraries(), torch.random.fork_rng():
        team = Team.gathered()
        notes = []
        if settings.dtype == "auto":
            quick = autocast_type("auto", team.device)[0]
            settings = replace(settings, dtype="bfloat16" if quick else "float32")
            notes = ["computed in bfloat16, as this processor can; reward.dtype=float32 for all digits"] * quick
        base = load_backbone(backbone, seed, template)
        limit = _limit(settings, base)
        listwise = settings.loss == "listwise"
        groups, counts = encode_groups(base.chat, preferences, limit, settings.too_long, listwise)
        counts.check(limit, settings.max_rejected, settings.max_truncated)
        check_ids(base.tokenizer, [row for group in groups for row in group.rows])
        key = fingerprint(
            "reward", decisive(settings), seed, template, folder_fingerprint(backbone), _fingerprint(groups),
            *_since(groups, settings, base.drawn),
        )  # fmt: skip
        # a checkpoint holds the embeddings that are read alone: none that holds all of them may be gone on with
        store = team.first(lambda: Checkpoints(checkpoints, fingerprint(key, "embeddings that are read")))
        notes += [
            "the checkpoint that was there is of other data, settings or reward.dtype: begun anew"
        ] * store.replaced
        report = finished(out, key)
        team.wait()
        if report is None:
            check_replaceable(out)
            run = RewardRun(base, groups, settings, seed, team)
            run.restore(team.first(store.latest))
            _train(run, store, progress if team.leads else None)
            model = run.model(lambda: load_backbone(backbone, seed, template))
            report = team.told(_finish(run, model, backbone, base, counts, out, key, notes) if team.leads else {})
        if team.leads:
            store.clear()
    return report


def _train(run: RewardRun, store: Checkpoints, progress: Progress | None) -> None:
    while run.step < run.total:
        loss = run.advance()
        if run.step % run.settings.checkpoint_every == 0 or run.step == run.total:
            run.save(store)
        if progress:
            progress(run.step, run.total, loss)


class RewardRun:
    """The state of a run between two steps: weights, optimizer moments, losses so far."""

    def __init__(
        self, base: Backbone, groups: Sequence[Group], settings: RewardSettings, seed: int, team: Team | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.groups, self.settings, self.seed = in_mean_weights(groups), settings, seed
        if settings.loss == "listwise" and any(group.lists is None for group in groups):
            raise ValueError("groups for a listwise loss are encoded with listwise=True")
        self.team = team or Team.gathered()
        self.pad_id = base.tokenizer.pad_token_id
        sizes, widths = [len(group.comparisons) for group in groups], [group.width for group in groups]
        self.plan = Plan(sizes, widths, settings.batch_size, settings.epochs, seed, settings.mega_batch)
        self.total, self.step = self.plan.total_steps, 0
        self.losses: list[float] = []
        self.handle = _trainable_model(base, settings)
        tokens = {token for group in groups for row in (group.stem, *group.tails) for token in row}
        self.vocabulary = read_rows(base.model, {*tokens, self.pad_id}, self.team.device)
        bfloat16, problem = autocast_type(settings.dtype, self.team.device)
        self.scorer = Scorer(base.model, self.pad_id, PADDED, bfloat16)
        self.team.spread(self.scorer, layers_of(base.model))
        if self.team.device.type == "cpu":
            keep_memory()
        self.way, why = best_way(self.scorer, groups, self.team)
        self.scorer.take(self.way)
        self.notes = [note for note in (why, problem) if note]
        self.module = self.team.wrap(self.scorer)
        fused = self.team.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.trained(), settings.weight_decay), lr=settings.lr, fused=fused
        )

    def advance(self) -> float:
        """One optimizer step over `batch_size` pairs, in as many forward passes as `batch_tokens` asks for.

        Its loss, in nats, is the weighted sum over the batch's pairs over their number times the mean weight of the
        whole training set: a light pair has a small gradient in whatever batch it is.
        """
        torch.manual_seed(_step_seed(self.seed, self.step))
        batch = self.plan.batch(self.step)
        pairs = sum(len(self.groups[at].comparisons) for at in batch)
        self.module.train()
        mine = self._micro_batches(batch)
        loss = 0.0
        for number, chosen in enumerate(mine):
            with self.team.alone(self.module, last=number + 1 == len(mine)):
                fit, objective = self._losses(chosen or batch[:1])
                share = self.team.size / pairs if chosen else 0.0
                (objective * share).backward()  # type: ignore[no-untyped-call]
                loss += fit.item() / pairs if chosen else 0.0
        loss = self.team.summed(loss)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.step + 1}; lower reward.lr (now {self.settings.lr:g})"
            )
        if self.settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(list(self.trained().values()), self.settings.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.losses.append(loss)
        return loss

    def _micro_batches(self, batch: Sequence[int]) -> list[list[int]]:
        """This process's part of a step; as many for every process, so that none waits for another in vain."""
        shares = dealt(batch, {at: self.groups[at].tokens for at in batch}, self.team.size)
        cuts = [self.scorer.batches(share, self.groups, self.settings.batch_tokens) for share in shares]
        mine = cuts[self.team.number]
        return mine + [[]] * (max(map(len, cuts)) - len(mine))

    def _losses(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        groups = [self.groups[at] for at in chosen]
        scores = self.module(groups)
        return group_loss(scores, groups, self.settings.centering)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What is learnt, by name; with several processes, each has its part."""
        return {name: one for name, one in unwrapped(self.module).named_parameters() if one.requires_grad}

    def save(self, store: Checkpoints) -> None:
        """Write a checkpoint; the first process does, with what all hold."""
        named = self.trained()
        weights = self.team.collected(named.items())
        moments = self.team.collected(
            (f"{name}/{moment}", tensor)
            for name, one in named.items()
            for moment, tensor in self.optimizer.state[one].items()
        )
        if self.team.leads:
            tensors = {"weights": weights, "optimizer": moments}
            store.save(Checkpoint(self.step, {"losses": self.losses}, tensors))

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on from a checkpoint, or begin."""
        if checkpoint is None:
            return
        named = self.trained()
        with torch.no_grad():
            for name, tensor in checkpoint.tensors["weights"].items():
                named[name].copy_(placed(tensor.to(self.team.device), named[name]))
        number = {id(one): at for at, one in enumerate(_listed(self.optimizer))}
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in checkpoint.tensors["optimizer"].items():
            name, _, moment = key.rpartition("/")
            spread = placed(tensor.to(self.team.device), named[name]) if tensor.ndim else tensor
            state.setdefault(number[id(named[name])], {})[moment] = spread
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.losses = checkpoint.step, list(checkpoint.state["losses"])

    def _decay(self) -> float:
        """What weight decay has made of a weight without gradients."""
        settings, factors = self.settings, (self._lr(step) for step in range(self.step))
        return math.prod(1 - lr * settings.weight_decay for lr in factors)

    def _lr(self, step: int) -> float:
        settings = self.settings
        return settings.lr * lr_factor(step, self.total, settings.warmup_ratio, settings.scheduler)

    def model(self, again: Callable[[], Backbone]) -> Any:
        """The trained model as everybody loads it.

        From shards it is put together in a model that `again` builds, on the leading process alone; others get None.
        """
        if not self.team.shards:
            self.scorer.restore()
            if self.vocabulary:
                self.vocabulary.restore(self._decay())
            return merged(self.handle).eval()
        weights = self.team.collected(self.trained().items())
        if not self.team.leads:
            return None
        fresh = again()
        handle = _trainable_model(fresh, self.settings)
        with torch.no_grad():
            for name, one in Scorer(fresh.model, self.pad_id, PADDED).named_parameters():
                if self.vocabulary and one is fresh.model.get_input_embeddings().weight:
                    self.vocabulary.fill(one, weights[name], self._decay())
                elif name in weights:
                    one.copy_(weights[name])
        return merged(handle).eval()


def _trainable_model(base: Backbone, settings: RewardSettings) -> Any:
    """The model with adapters, or with all that it came with frozen, as the settings ask; what was drawn is trained."""
    if settings.freeze_backbone and settings.lora:
        raise TrainingError("reward.lora adapts the backbone and reward.freeze_backbone keeps it as it is; choose one")
    if settings.freeze_backbone:
        for name, one in base.model.named_parameters():
            one.requires_grad_(name in base.drawn or not name.startswith(f"{base.model.base_model_prefix}."))
    return with_adapters(base.model, settings.lora, "SEQ_CLS", base.drawn)


def _parameter_groups(trained: dict[str, torch.nn.Parameter], weight_decay: float) -> list[Json]:
    """Matrices decay; biases and norms do not."""
    return [
        {"params": [one for one in trained.values() if one.ndim >= 2], "weight_decay": weight_decay},
        {"params": [one for one in trained.values() if one.ndim < 2], "weight_decay": 0.0},
    ]


def _listed(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def _step_seed(seed: int, step: int) -> int:
    return int(fingerprint("step", seed, step)[:15], 16)


def _since(groups: Sequence[Group], settings: RewardSettings, drawn: frozenset[str]) -> list[str]:
    """What tells a training from one of the same name before its loss, or what it trains, was changed."""
    weights = {one.weight for group in groups for one in group.comparisons}
    beside = [name for name in drawn if not name.partition(".")[0].endswith(("classifier", "score"))]
    changes = {
        "expected rankings": settings.loss == "listwise",
        "weights of the whole set": len(weights) > 1,
        "all that was drawn beside adapters": bool(settings.lora and beside),
        "a head at zero": bool(drawn),
    }
    return [name for name, holds in changes.items() if holds]


def _fingerprint(groups: Sequence[Group]) -> str:
    rows: list[Sequence[float]] = []
    for group in groups:
        rows += [group.stem, *group.tails]
        rows += [(one.first, one.second, one.p_first, one.weight) for one in group.comparisons]
    return rows_fingerprint(rows)


def _limit(settings: RewardSettings, base: Backbone) -> int:
    """The most tokens of a row: those of the settings, or what the model can read if that is less."""
    return min(settings.max_length, base.context or settings.max_length)


def _not_learnt(run: RewardRun, base: Backbone, first: float, last: float) -> list[str]:
    """A line where the loss rose or stayed as it was: what it is, and what may help."""
    if last <= (1 - STILL) * first:
        return []
    steps = "1 step" if run.total == 1 else f"{run.total:,} steps"
    chance = math.log(2)
    worse = run.settings.loss == "pairs" and last > (1 + STILL) * chance
    coin = f", which is worse than a coin ({chance:.4f})" if worse else ""
    head = "; the model was a reward model already, and was trained on with the head that it came with"
    said = f"the loss hardly moved in {steps}{coin}: unless all labels are near ½, raise epochs or lr"
    if last > (1 + STILL) * first:
        said = (
            f"the loss rose from {first:.4f} to {last:.4f} in {steps}{coin}: lower lr, or raise epochs if steps are few"
        )
    return [said + head * base.came_with_head]


def _finish(
    run: RewardRun, model: Any, backbone: Path, base: Backbone, counts: Counts, out: Path, key: str, said: list[str]
) -> Json:
    """Check the model, save it with its golden scores, read it back, and say what was done."""
    sample = sorted((row for group in run.groups[:8] for row in group.rows), key=len)[:16]
    notes = [
        *base.notes,
        *said,
        *counts.told(_limit(run.settings, base), run.settings.too_long),
        *run.notes,
        *check_scores(model, sample, run.pad_id),
    ]
    golden, remarks = golden_scores(model, base.tokenizer, base.chat)
    first, last = mean_loss_at_ends(run.losses)
    rows = [len(row) for group in run.groups for row in group.rows]
    report = {
        "steps": run.total,
        **counts.to_json(),
        "prompts": len(run.groups),
        "layout": "padded" if run.way == PADDED else "packed",
        "tokens": sum(rows) if run.way == PADDED else sum(group.tokens for group in run.groups),
        "parameters": sum(one.numel() for one in model.parameters()),
        "loss_first": first,
        "loss": last,
        "notes": [*notes, *remarks, *_not_learnt(run, base, first, last)],
    }
    with staged_folder(out) as folder:
        model.save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
        write_json(folder / "golden_scores.json", golden)
        write_trained_prompts(folder, counts.openings, backbone)
        about = {"trainer": "reward", "model": backbone.name, "seed": run.seed, "settings": asdict(run.settings)}
        write_record(folder, key, about, report, run.losses)
        check_saved(folder, golden)
    return report
