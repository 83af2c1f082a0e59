"""The recipe of the embedded model: own tokenizer, Llama from random weights, loss on what the assistant says.

Batches are a function of (seed, block) alone, so a killed training goes on from its last complete checkpoint with the
same numbers. A checkpoint is safetensors (weights, optimizer) and `state.json`, which is written last; `log.jsonl` has
the losses of every step.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from cai.dialogues import LABELS
from cai.embedded import corpus, curriculum
from cai.embedded.asking import usable
from cai.embedded.batches import BLOCK, Batch, blocks, one_core
from cai.embedded.tokenizer import load_tokenizer, train_tokenizer
from cai.errors import TrainingError
from cai.memory import keep_memory
from cai.records import Json
from cai.storage.run import atomic_write

SHARDS = 2  # parts of a batch on a CPU, one a core: a thread each, so that no core waits inside an operation


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Shape, data and steps; a batch is `rows` × `length` tokens.

    `rows` is a multiple of `SHARDS`. The last steps, in the shares of `curriculum.LATER`, are short trainings more,
    each from the rate `finish_lr` on. The weights that are saved are the mean of what the last two of them end with,
    each an exponential `average`; `sharpen` multiplies their logits, so that sampling at T = 1 makes fewer slips.
    """

    seed: int = 0
    steps: int = 10000
    rows: int = 8
    length: int = 448
    hidden: int = 192
    layers: int = 6
    heads: int = 6
    inner: int = 512
    muon_lr: float = 0.02
    adam_lr: float = 0.004
    warmup: int = 40
    decay_from: float = 0.5
    finish_lr: float = 0.2
    tokenizer_groups: int = 6000
    average: float = 0.99
    sharpen: float = 2.5
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        if self.rows < 1 or self.rows % SHARDS:
            raise ValueError(f"rows is {self.rows}, a multiple of {SHARDS} is wanted")

    @property
    def falls(self) -> tuple[int, ...]:
        """The step at which each of the short trainings begins, and behind them the end."""
        begins = [self.steps]
        for share, _ in reversed(curriculum.LATER):
            begins.append(begins[-1] - round(share * self.steps))
        return tuple(reversed(begins))


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Factor 0 … 1: warm-up, constant, then linear to a fiftieth; then shorter falls from `finish_lr`."""
    first = settings.falls[0]
    for begun, end in pairwise(settings.falls):
        if begun <= step < end:
            return settings.finish_lr * (1 - 0.98 * (step - begun) / (end - begun))
    start = settings.decay_from * first
    return min((step + 1) / settings.warmup, 1.0, 1 - 0.98 * (step - start) / (first - start))


def build_model(settings: TrainSettings, tokenizer: Any) -> Any:
    """A Llama of the settings' shape with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(settings.seed)
    configure: Any = LlamaConfig
    config = configure(
        vocab_size=len(tokenizer), hidden_size=settings.hidden, intermediate_size=settings.inner,
        num_hidden_layers=settings.layers, num_attention_heads=settings.heads, num_key_value_heads=settings.heads,
        max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, attn_implementation="sdpa",
    )  # fmt: skip
    return LlamaForCausalLM(config)


@dataclass(frozen=True, slots=True)
class Shard:
    """What one part of a batch gave: gradients by parameter, each edge's loss, and whether its target was likeliest."""

    gradients: tuple[Any, ...]
    each: Any
    right: Any
    targets: Any


def run_shard(model: Any, batch: Batch, total_weight: float) -> Shard:
    """Forward and backward over a part of a batch whose edges weigh `total_weight` in all."""
    import torch
    import torch.nn.functional as F

    batch = batch.to(model.device)
    hidden = model.model(
        input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[batch.parents])
    each = F.cross_entropy(logits, batch.targets, reduction="none")
    loss = (each * batch.weights).sum() / total_weight
    gradients = torch.autograd.grad(loss, tuple(model.parameters()))
    return Shard(gradients, each.detach(), logits.detach().argmax(-1) == batch.targets, batch.targets)


def run_batch(model: Any, parts: list[Batch], workers: ThreadPoolExecutor) -> list[Shard]:
    """All parts side by side; gradients are summed in a fixed order and left on the parameters."""
    weight = float(sum(part.weights.sum() for part in parts))
    done = list(workers.map(lambda part: run_shard(model, part, weight), parts))
    for parameter, *gradients in zip(model.parameters(), *(one.gradients for one in done), strict=True):
        parameter.grad = sum(gradients[1:], gradients[0])
    return done


Report = Callable[[Json], None]


def train(
    out: Path, settings: TrainSettings, report: Report = lambda row: None, device: str = "cpu",
    stop_at: int | None = None,
) -> None:  # fmt: skip
    """Train into `out`, going on from its last checkpoint; the finished model is saved in ``out/model``.

    Raises TrainingError when `out` holds a training with other settings, or is no folder.
    """
    import torch

    from cai.embedded.optimizer import MuonAdam

    device = usable(device)
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; a folder is wanted")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(out, settings)
    model = build_model(settings, tokenizer).to(device)
    model.train()
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = MuonAdam(named, settings.muon_lr, settings.adam_lr)
    averaged = {name: parameter.detach().clone() for name, parameter in named.items()}
    before: dict[str, Any] = {}  # the averages with which the last fall begins
    step = _resume(out, settings, named, optimizer, averaged, before)
    log = _kept_log(out / "log.jsonl", step)
    labels = tokenizer.convert_tokens_to_ids(list(LABELS))
    keep_memory()
    began = time.perf_counter()
    on_cpu = model.device.type == "cpu"
    drawn = blocks(settings, tokenizer, step // BLOCK, SHARDS if on_cpu else 1, in_processes=not on_cpu)
    with ThreadPoolExecutor(SHARDS, initializer=one_core) as workers, closing(drawn):
        while step < settings.steps:
            for parts in next(drawn)[: settings.steps - step]:
                shards = run_batch(model, parts, workers)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step(learning_rate(settings, step), workers)
                _average(averaged, named, min(settings.average, step / (step + 10)))
                log.append(_row(step, shards, labels, time.perf_counter() - began))
                report(log[-1])
                step += 1
                if step == settings.falls[-2]:
                    before = {name: value.clone() for name, value in averaged.items()}
            if step % settings.checkpoint_every < BLOCK or step >= settings.steps:
                _save_checkpoint(out, settings, named, optimizer, averaged, before, step)
                with atomic_write(out / "log.jsonl") as file:
                    file.writelines(json.dumps(row) + "\n" for row in log)
            if stop_at is not None and step >= stop_at:
                return
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(averaged[name].lerp(before[name], 0.5))
        model.model.norm.weight.mul_(settings.sharpen)
    save_model(model, tokenizer, out / "model")


def _kept_log(path: Path, step: int) -> list[Json]:
    """The log's rows before `step`: what came after the last checkpoint is done again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        return [row for row in map(json.loads, lines) if row["step"] < step]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: the log is broken ({error}); remove it to go on without it") from error


def _tokenizer(out: Path, settings: TrainSettings) -> Any:
    if (out / "checkpoint" / "state.json").exists() or (out / "checkpoint.old" / "state.json").exists():
        try:
            return load_tokenizer(out / "tokenizer")
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"the tokenizer of this training is missing or broken; remove {out} to begin anew"
            raise TrainingError(f"{out / 'tokenizer'}: {why}") from error
    tokenizer = train_tokenizer(corpus.sample_texts(settings.seed + 1, settings.tokenizer_groups))
    tokenizer.save_pretrained(str(out / "tokenizer"))
    return tokenizer


def _average(averaged: dict[str, Any], named: dict[str, Any], keep: float) -> None:
    for name, parameter in named.items():
        averaged[name].lerp_(parameter.detach(), 1 - keep)


def _row(step: int, shards: list[Shard], labels: list[int], seconds: float) -> Json:
    """A line of the log; None of verdicts where a batch has none."""
    import torch

    each, right = (torch.cat([getattr(one, name) for one in shards]) for name in ("each", "right"))
    targets = torch.cat([one.targets for one in shards])
    verdict = (targets == labels[0]) | (targets == labels[1])
    return {
        "step": step,
        "text_loss": float(each[~verdict].mean()),
        "verdict_loss": float(each[verdict].mean()) if verdict.any() else None,
        "verdict_right": float(right[verdict].float().mean()) if verdict.any() else None,
        "seconds": round(seconds, 1),
    }


def _save_checkpoint(
    out: Path, settings: TrainSettings, named: dict[str, Any], optimizer: Any, averaged: dict[str, Any],
    before: dict[str, Any], step: int,
) -> None:  # fmt: skip
    from safetensors.torch import save_file

    fresh, place = out / "checkpoint.new", out / "checkpoint"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    save_file({name: value.detach() for name, value in named.items()}, fresh / "weights.safetensors")
    save_file(averaged, fresh / "averaged.safetensors")
    save_file(before, fresh / "before.safetensors")
    save_file(optimizer.state(), fresh / "optimizer.safetensors")
    state = {"step": step, "settings": asdict(settings), "curriculum": _curriculum()}
    (fresh / "state.json").write_text(json.dumps(state), encoding="utf-8")
    old = out / "checkpoint.old"
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.replace(old)
    fresh.replace(place)
    shutil.rmtree(old, ignore_errors=True)


@functools.cache
def _curriculum() -> str:
    """A hash of what is taught when: of the phases, and of what the grammar makes of them."""
    told = hashlib.blake2b(repr((curriculum.CURRICULUM, curriculum.LATER)).encode(), digest_size=8)
    for phase in curriculum.PHASES:
        told.update(repr(list(islice(corpus.groups(0, phase), 100))).encode())
    return told.hexdigest()


def _resume(
    out: Path, settings: TrainSettings, named: dict[str, Any], optimizer: Any, averaged: dict[str, Any],
    before: dict[str, Any],
) -> int:  # fmt: skip
    from safetensors import SafetensorError

    found = [folder for folder in (out / "checkpoint", out / "checkpoint.old") if (folder / "state.json").exists()]
    if not found:
        return 0
    try:
        state = json.loads((found[0] / "state.json").read_text(encoding="utf-8"))
        if (state["settings"], state["curriculum"]) == (asdict(settings), _curriculum()):
            step, last_fall = int(state["step"]), settings.falls[-2]
            return _load_checkpoint(found[0], step, named, optimizer, averaged, before, last_fall)
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise TrainingError(f"{found[0]}: the checkpoint is broken ({error}); remove it to begin anew") from error
    raise TrainingError(f"{out} holds a training with other settings; give another folder, or remove it")


def _load_checkpoint(
    folder: Path, step: int, named: dict[str, Any], optimizer: Any, averaged: dict[str, Any], before: dict[str, Any],
    last_fall: int,
) -> int:  # fmt: skip
    import torch
    from safetensors.torch import load_file

    with torch.no_grad():
        for stored, tensors in (("weights", named), ("averaged", averaged)):
            for name, value in load_file(folder / f"{stored}.safetensors").items():
                tensors[name].copy_(value)
    kept = load_file(folder / "before.safetensors")
    if step >= last_fall and kept.keys() != averaged.keys():
        raise ValueError("before.safetensors lacks the weights with which the last fall began")
    before |= {name: value.to(averaged[name].device) for name, value in kept.items()}
    optimizer.load(load_file(folder / "optimizer.safetensors"), step)
    return step


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save weights (float16), tokenizer, chat template and the sampling that the paper uses."""
    import torch
    from transformers import GenerationConfig

    model = model.eval().to(torch.float16)
    sampling: Any = GenerationConfig
    model.generation_config = sampling(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        do_sample=True, temperature=1.0, top_k=0, max_new_tokens=128,
    )  # fmt: skip
    model.save_pretrained(str(folder))
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"  # stored in halves, computed in full: processors are slow in float16
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(str(folder))
