"""What oneDNN's linear layers are worth on a CPU: tokens generated and labels given a second, with them and without.

One process, one model with random weights, of which the layers are now ours and now torch's own. Eight prompts are
answered at once with 32 tokens each, by the small shape of `bench_reward` and by that of half a billion weights; labels
are those of `bench_scores`. The tokenizer and the pairs are real, and where they are not here all is skipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import bench_reward
from tests.benchmarks.bench_reward import PAIRS, SHAPES, VOCABULARY
from tests.benchmarks.measure import Result, Skipped, alternate, compare, seconds

ROUNDS, PROMPTS, TOKENS = 7, 8, 32


def results() -> Iterator[Result | Skipped]:
    import torch

    from cai.linear import quickened
    from cai.models import load_model
    from cai.recipe import EngineSettings

    if not (PAIRS.is_file() and VOCABULARY.is_dir()):
        yield Skipped("linear", "the real pairs (../shared/data) are not here")
        return
    if type(quickened(torch.nn.Linear(2, 2))) is torch.nn.Linear:
        yield Skipped("linear", "this torch has no oneDNN")
        return
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            bench_reward.SHAPE = shape
            bench_reward.build(Path(folder))
            engine = load_model(f"hf/{folder}", EngineSettings(device="cpu"))
            work = {f"linear_generate_{shape}": (generating(engine), PROMPTS * TOKENS, "tokens/s")}
            if shape == "small":
                work["linear_labels"] = (*labelling(engine), "labels/s")
            for name, (once, count, unit) in work.items():
                rates = alternate(*(rate(engine, once, count, quick) for quick in (True, False)), ROUNDS)
                yield compare(name, *rates, ">= 1", f"{unit}, {shape}: with oneDNN / without")


def rate(engine: Any, once: Callable[[], object], count: int, quick: bool) -> Callable[[], float]:
    """What measures `count` over the seconds of `once`, the layers being ours if `quick`."""
    from torch import nn

    from cai.linear import QuickLinear

    def measure() -> float:
        for layer in engine._loaded.model.modules():
            if type(layer) in (nn.Linear, QuickLinear):
                layer.__class__ = QuickLinear if quick else nn.Linear
        return count / seconds(once)

    return measure


def generating(engine: Any) -> Callable[[], object]:
    from cai.human_preferences import read_human_preferences
    from cai.records import GenerateRequest, Sampling

    prompts = [one.prompt for one in read_human_preferences(str(PAIRS)).preferences[:PROMPTS]]
    asked = [GenerateRequest(one.messages, Sampling(TOKENS), at, "") for at, one in enumerate(prompts)]
    return lambda: list(engine.generate(iter(asked)))


def labelling(engine: Any) -> tuple[Callable[[], object], int]:
    from tests.benchmarks.bench_scores import PRINCIPLES, requests

    asked = requests("principle_last", engine.chat)
    return lambda: list(engine.score(iter(asked))), len(asked) // (2 * PRINCIPLES)
