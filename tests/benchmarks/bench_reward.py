"""Reward training against trl's RewardTrainer on real human pairs, and what four answers to a prompt cost.

Pairs/s of a 6-layer model, 256 wide, 8 pairs a step, both sides on the same pairs of hh_harmless_dev, in processes of
one kind that take turns. Timed are the steps alone: no loading, encoding or saving. Both are taken as they come (trl
with gradient checkpointing and in bfloat16, we in bfloat16 where the processor has it), then both in float32, then
without checkpointing, then also on batches of like lengths. `CAI_BENCH_ROWS` names some of these rows alone, and
`CAI_BENCH_SHAPE=half_billion` takes a model of half a billion weights, for a GPU.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import (
    Failed,
    Result,
    SideFailed,
    Skipped,
    Worker,
    alternate,
    asked_for,
    compare,
    failing,
    machine,
)

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
PAIRS = DATA / "preference_pairs" / "hh_harmless_dev.jsonl"
VOCABULARY = DATA / "tokenizers" / "gpt2"
ROUNDS = int(os.environ.get("CAI_BENCH_ROUNDS", "7"))
BATCH, MEGA = 8, 50
ONLY_CPU = ("reward_checkpointing",)
"""On a GPU all rows are timed in bfloat16, as both sides come there, so that this one is as both are shipped."""
SHAPES = {"small": (256, 688, 6, 4), "half_billion": (896, 4864, 24, 14)}
"""Width, inner width, layers, heads."""
SHAPE = os.environ.get("CAI_BENCH_SHAPE", "small")
FLOAT32: dict[str, Any] = {"bf16": False}
PLAIN = {**FLOAT32, "gradient_checkpointing": False}
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "reward_as_shipped": (">= 4", {}),
    "reward_checkpointing": (">= 4", FLOAT32),
    "reward_no_checkpointing": (">= 3.5", PLAIN),
    "reward_length_grouped": (">= 1.5", {**PLAIN, "train_sampling_strategy": "sequential"}),
    "reward_flash": (">= 3.5", {**PLAIN, "flash": True}),
    "reward_flash_length_grouped": (">= 1.5", {**PLAIN, "train_sampling_strategy": "sequential", "flash": True}),
}
ONLY_GPU = ("reward_flash", "reward_flash_length_grouped")
"""trl with FlashAttention-2, which only CUDA has: `torch_flash` where the package flash-attn is not installed."""
EXACT = ("reward_loss", "reward_gradients")
UNIT = "pairs/s, ours / trl's"


def steps() -> int:
    """Steps of a round: `CAI_BENCH_STEPS`, or more on a GPU, which takes less time for one."""
    import torch

    if told := os.environ.get("CAI_BENCH_STEPS"):
        return int(told)
    if not torch.cuda.is_available():
        return 12
    return 40 if SHAPE == "small" else 16


def named(row: str) -> str:
    """The row's name, with that of the shape unless it is the small one."""
    return row if SHAPE == "small" else f"{row}_{SHAPE}"


def device() -> str:
    """Where both sides work."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def build(folder: Path, dtype: str = "float32") -> list[Any]:
    """A random model and the GPT-2 tokenizer in `folder`, and the real pairs; not prompts with more answers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from cai.human_preferences import read_human_preferences
    from cai.training.backbone import load_backbone
    from cai.training.quiet import quiet_libraries
    from cai.training.rows import encode_groups

    bpe = Tokenizer(models.BPE.from_file(str(VOCABULARY / "encoder.json"), str(VOCABULARY / "vocab.bpe")))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|pad|>")
    torch.manual_seed(0)
    hidden, inner, layers, heads = SHAPES[SHAPE]
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=1024, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    preferences = read_human_preferences(str(PAIRS)).preferences
    with quiet_libraries():
        LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        groups = encode_groups(load_backbone(folder, 0).chat, preferences, 1024, "reject")[0]
    return [one for one in groups if len(one.tails) == 2]


def chosen(groups: list[Any], grouped: bool, seed: int) -> list[Any]:
    """`steps()` batches of pairs; `grouped` as transformers' length grouping over all of them would make them."""
    draw = random.Random(seed)
    order = list(range(len(groups)))
    draw.shuffle(order)
    if not grouped:
        return [groups[at] for at in order[: steps() * BATCH]]
    batches = []
    for start in range(0, len(order), MEGA * BATCH):
        mega = sorted(order[start : start + MEGA * BATCH], key=lambda at: -groups[at].width)
        batches += [mega[at : at + BATCH] for at in range(0, len(mega), BATCH)]
    full = [batch for batch in batches if len(batch) == BATCH]
    return [groups[at] for batch in draw.sample(full, steps()) for at in batch]


def ours(folder: Path, groups: list[Any], options: dict[str, Any]) -> float:
    """Pairs a second over one epoch."""
    from cai.recipe import RewardSettings
    from cai.training import reward
    from cai.training.backbone import load_backbone

    dtype: Any = {True: "bfloat16", False: "float32", None: "auto"}[options.get("bf16")]
    settings = RewardSettings(batch_size=BATCH, dtype=dtype)
    run = reward.RewardRun(load_backbone(folder, 0), groups, settings, 0)
    found = run.way, "; ".join(run.notes)
    reward.best_way = lambda *_: found  # to try again in every round would have a GPU compile anew, untimed
    started = time.perf_counter()
    while run.step < run.total:
        run.advance()
    finish_work()
    return len(groups) / (time.perf_counter() - started)


def finish_work() -> None:
    """Wait for what a GPU was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def theirs(folder: Path, groups: list[Any], options: dict[str, Any]) -> float:
    """Pairs a second over one epoch of trl's trainer under `options`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    from tests.benchmarks.torch_flash import flash_attention

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            if state.global_step == state.max_steps:
                finish_work()
            self.seconds = time.perf_counter() - self.started

    sides = [one.rows if one.comparisons[0].p_first > 0.5 else one.rows[::-1] for one in groups]
    rows = Dataset.from_dict({"chosen_ids": [a for a, _ in sides], "rejected_ids": [b for _, b in sides]})
    attention = {"attn_implementation": flash_attention()} if options.get("flash") else {}
    options = {name: value for name, value in options.items() if name != "flash"}
    on_cpu = not torch.accelerator.is_available()  # trl does not start on a CPU unless it is told that it is one
    config = RewardConfig(
        str(folder / "trl"), num_train_epochs=1, report_to="none", save_strategy="no", disable_tqdm=True,
        use_cpu=on_cpu, **options,
    )  # fmt: skip
    assert config.per_device_train_batch_size == BATCH
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype="float32", **attention)
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    RewardTrainer(model, config, train_dataset=rows, processing_class=tokenizer, callbacks=[clock]).train()
    return len(groups) / clock.seconds


def work(side: str, folder: Path) -> None:
    """Answer each line of standard input with pairs a second; whatever libraries print goes to standard error."""
    from cai.training.rows import Comparison, Group

    answers, sys.stdout = sys.stdout, sys.stderr
    rows = json.loads((folder / "groups.json").read_text())
    groups = [Group(row["stem"], row["tails"], tuple(Comparison(**one) for one in row["comparisons"])) for row in rows]
    for line in sys.stdin:
        asked = json.loads(line)
        run = {"ours": ours, "theirs": theirs}[side]
        rate = run(folder, chosen(groups, asked["grouped"], asked["seed"]), asked["options"])
        print(json.dumps(rate), file=answers, flush=True)


def four_answers(groups: list[Any]) -> Iterator[Result]:
    """Tokens of prompts with four real answers each, two of them another prompt's, against their six pairs.

    The pairs are counted apart, two rows each as trl reads them, and once more as we would pack them one by one.
    """
    from itertools import combinations

    from cai.training.packing import pack

    packed = apart = by_pair = 0
    for one, other in zip(groups[::2], groups[1::2], strict=False):
        both = type(one)(one.stem, (*one.tails, *other.tails), one.comparisons)
        packed += pack([both]).ids.shape[1]
        apart += sum(len(a) + len(b) for a, b in combinations(both.rows, 2))
        by_pair += sum(len(one.stem) + len(a) + len(b) for a, b in combinations(both.tails, 2))
    unit = "tokens of 4 answers a prompt, packed / six pairs"
    for name, bar, theirs, how in (
        ("reward_four_answers", "<= 0.35", apart, "of two rows"),
        ("reward_four_answers_packed", "reported", by_pair, "packed one by one"),
    ):
        yield Result(name, *[packed / theirs] * 3, bar, packed, theirs, f"{unit} {how}", machine())


def exactness(folder: Path, groups: list[Any]) -> Iterator[Result]:
    """Loss and gradients of 64 real pairs, packed against one answer a row with padding, both in float32."""
    import torch

    from cai.training.backbone import load_backbone
    from cai.training.losses import group_loss
    from cai.training.scoring import PADDED, Scorer, Way

    base, found = load_backbone(folder, 0), []
    torch.nn.init.normal_(base.model.score.weight, std=0.5)  # from zero, as it starts, no loss would tell scores apart
    base.model.to(device())
    for way in (Way("flex" if device() == "cuda" else "blocks", lean=True), PADDED):
        scorer, loss = Scorer(base.model, base.tokenizer.pad_token_id, way).train(), 0.0
        base.model.zero_grad()
        for start in range(0, 64, BATCH):
            some = groups[start : start + BATCH]
            fit, objective = group_loss(scorer(some), some)
            objective.backward()
            loss += fit.item()
        found.append((loss, torch.cat([one.grad.flatten() for one in base.model.parameters() if one.grad is not None])))
        scorer.restore()
    (loss, gradient), (other, reference) = found
    for name, bar, apart, size in (
        (EXACT[0], "<= 1e-5", abs(loss - other), abs(other)),
        (EXACT[1], "<= 1e-4", float((gradient - reference).norm()), float(reference.norm())),
    ):
        unit = "|packed − padded| / padded, 64 pairs, float32"
        yield Result(named(name), *[apart / size] * 3, bar, apart, size, unit, machine())


def results() -> Iterator[Result | Skipped | Failed]:
    if not (PAIRS.is_file() and VOCABULARY.is_dir()):
        yield Skipped("reward", "the real pairs (../shared/data) are not here")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = build(folder)
        (folder / "groups.json").write_text(json.dumps([asdict(one) for one in groups]))
        yield from four_answers(groups)
        wanted = asked_for((*EXACT, *SIDES))
        if set(EXACT).intersection(wanted):
            yield from exactness(folder, groups)
        on_gpu = device() == "cuda"
        sides: list[Worker] = []
        for row in (row for row in SIDES if row in wanted and row not in (ONLY_CPU if on_gpu else ONLY_GPU)):
            bar, options = SIDES[row]
            sides = sides or both_sides(folder)
            try:
                rates = turn_about(sides, {**options, "bf16": True} if on_gpu else options)
            except SideFailed as error:
                yield failing(named(row), error)
                stop(sides)
                sides = []
            else:
                yield compare(named(row), *rates, bar, UNIT)
        stop(sides)


def both_sides(folder: Path) -> list[Worker]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_reward"]
    return [Worker([*command, side, str(folder)], folder / f"{side}.log") for side in ("ours", "theirs")]


def stop(sides: Sequence[Worker]) -> None:
    for side in sides:
        side.stop()


def turn_about(sides: Sequence[Worker], options: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Pairs/s of each side, each turn on a draw of its own."""
    turns = [0, 0]

    def turn(side: int) -> float:
        turns[side] += 1
        grouped = "train_sampling_strategy" in options
        return sides[side](grouped=grouped, seed=turns[side], options=options)

    return alternate(lambda: turn(0), lambda: turn(1), ROUNDS)


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))
