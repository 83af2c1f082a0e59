"""One seed of the soft-label experiment: pairs, votes, labels of every arm, a reward model from each, its forecasts.

`python -m tests.benchmarks.soft_label_runs SEED FOLDER DESIGN` keeps labels and forecasts in `FOLDER/seed-SEED.json` as
they come, and goes on from there if it was cut off.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Literal, NamedTuple

import cai
from cai.embedded import weights_path
from cai.embedded.principles import shipped_wordings
from cai.recipe import EngineSettings, PreferenceSettings, RewardSettings
from cai.records import Judgement, Preference
from cai.storage.run import atomic_write
from tests.benchmarks.noisy_judge import CONSTITUTION, Noise, Pair, draw_pairs, error_rate, judged, labels, reasoned

CODE = [
    *(Path(__file__).with_name(name) for name in ("noisy_judge.py", "soft_label_runs.py")),
    *sorted(
        path for path in Path(cai.__file__).parent.rglob("*.py") if not {"cli", "exports"}.intersection(path.parts)
    ),
]
"""What draws pairs, has them judged, turns votes into labels and labels into reward models."""


def demo_reward(epochs: float) -> RewardSettings:
    """The demo's settings of a reward model, for another length of training."""
    return RewardSettings(lr=3e-4, epochs=epochs, batch_size=16, max_length=512, too_long="reject", dtype="float32")


REASONED = ("clamped", "tempered", "unclamped")
"""Arms of labels after reasoning: within the bounds of the clamp, at a fitted temperature, and as they are."""


@dataclass(frozen=True, slots=True)
class Design:
    """An experiment; a pair is judged under at most `principles` of the constitution.

    If `shared`, the noise of a pair is one for all its votes. No labels are made by reasoning where `reasoning_error`
    is None; "longer" is that of a judge taken in by length; if `tempered`, some are also made at a fitted temperature.
    If `fitted`, the temperature of the soft labels is the one that forecasts best on the calibration pairs; else it is
    the one that the noise of a single vote calls for. The seeds are counted from `first_seed`.
    """

    train: int
    calibration: int
    test: int
    principles: int
    error_rates: tuple[float, ...]
    reasoning_error: float | Literal["longer"] | None
    reward: RewardSettings
    fitted: bool = False
    tempered: bool = False
    shared: bool = False
    first_seed: int = 0

    @property
    def key(self) -> str:
        """The settings, the judge, the principles and the code: figures of others are not gone on with."""
        judge = hashlib.sha256((weights_path() / "model.safetensors").read_bytes()).hexdigest()
        asked = [one.comparison for one in shipped_wordings(CONSTITUTION)]
        code = hashlib.sha256(b"".join(path.read_bytes() for path in CODE)).hexdigest()
        return json.dumps([asdict(self), judge, asked, code], sort_keys=True)

    @property
    def arms(self) -> list[str]:
        noisy = [f"{kind} {rate:g}" for rate in self.error_rates for kind in ("soft", "hard")]
        reasoned = [name for name in REASONED if self.tempered or name != "tempered"]
        return [*noisy, *(() if self.reasoning_error is None else reasoned)]


DESIGNS = {
    "misread": Design(512, 100, 600, 16, (0.05, 0.1), "longer", demo_reward(16), shared=True, first_seed=10),
    "reasoned": Design(512, 100, 600, 16, (), 0.4, demo_reward(16), tempered=True),
    "plenty": Design(1024, 100, 600, 16, (0.05,), None, demo_reward(16), fitted=True),
    "converged": Design(512, 100, 600, 16, (0.05,), 0.4, demo_reward(16), fitted=True),
    "fitted": Design(768, 100, 300, 16, (0.05,), 0.4, demo_reward(5), fitted=True),
    "drawn": Design(768, 100, 300, 1, (0.2,), 0.4, demo_reward(5)),
    "long": Design(768, 100, 300, 16, (0.05,), 0.3, demo_reward(5)),
    "short": Design(256, 100, 300, 4, (0.05, 0.15, 0.3), 0.3, demo_reward(3)),
}
"""In "short", which came first, reward models see 48 batches and are far from what they can learn. "long" gives them
240, and asks the judge under every principle that tells a pair apart, so that the noise is averaged away before the
side is taken that a hard label is. "drawn", which came when soft labels had lost by that, asks under one principle,
drawn as the paper does (§4.1), and a fifth of the votes are wrong: the noise of draw and vote is in either label. Two
fifths of its reasonings are wrong, at which the bounds of the clamp, 0.4 and 0.6, are what a verdict is worth. In all
three the labels are less sure than they are right: a mean over principles is surer than each vote. "fitted" asks as
"long" does and fits the labels' temperature (`preferences.temperature`) where truth is known. In all of these a reward
model stops long before it has learned its labels, and one from hard labels is still unsure where it stops. "converged",
is "fitted" until the loss no longer falls: what the labels say is then what the reward model says; "plenty" is that
with twice the pairs. In "reasoned" the clamp is held against a temperature that is fitted where truth is known: it
makes labels as humble, and keeps which of them are surer. All of these have errors that a mean over up to sixteen
votes, or a reward model, averages away. In "misread" it cannot: the votes on a pair share their errors, as those of a
judge that misreads an answer do, so that as many hard labels are wrong as votes, and the labels' temperature is what
the noise calls for; and its reasoned verdicts go to the longer answer, as those of many judges do. Its noise was chosen
on seeds 100 and 101 (and seen on 0 and 1), its verdicts on none; with the seeds that it has no other design was run.
Tastes of a judge that are the same for whole sorts of pair ("systematic", no longer here) and reasonings that are wrong
at random but as sure, were tried on two seeds each: they told nothing, and that clamped labels lose accuracy."""


class Drawn(NamedTuple):
    """The pairs of a seed: a reward model is trained on the first, its temperature fitted on the second."""

    train: list[Pair]
    calibration: list[Pair]
    test: list[Pair]


def drawn(design: Design, seed: int) -> Drawn:
    """Training and calibration pairs of the training side of the world, of different prompts; the others held out."""
    pairs = draw_pairs(design.train + design.calibration, "train", Random(f"train {seed}"))
    test = draw_pairs(design.test, "test", Random(f"test {seed}"))
    return Drawn(pairs[: design.train], pairs[design.train :], test)


def all_labels(design: Design, seed: int, some: Drawn) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The labels of every arm for the training pairs, and the measured error rates of the votes behind them."""
    from cai.models import load_model

    engine, pairs = load_model(f"hf/{weights_path()}", EngineSettings(device="cpu")), some.train
    clean = judged(engine, pairs, design.principles, Random(f"principles {seed}"))
    found: dict[str, list[float]] = {}
    errors = {"clean": error_rate(pairs, clean)}
    for rate in design.error_rates:
        noise, draw = Noise.making_wrong(rate, clean, design.shared), Random(f"noise {seed}")
        votes = [noise.on(one, draw) for one in clean]
        errors[f"{rate:g}"] = error_rate(pairs, votes)
        temperature = noise.temperature
        if design.fitted:
            known = judged(engine, some.calibration, design.principles, Random(f"calibration {seed}"))
            temperature = best_temperature(some.calibration, [noise.on(one, draw) for one in known])
        soft = labels(votes, PreferenceSettings(temperature=temperature))
        found |= {f"soft {rate:g}": soft, f"hard {rate:g}": [float(p > 0.5) for p in soft]}
    if design.reasoning_error is not None:
        wrong, draw = design.reasoning_error, Random(f"reasoning {seed}")
        thought, known = (reasoned(engine, one, wrong, draw) for one in (pairs, some.calibration))
        errors["reasoned"] = error_rate(pairs, thought)
        tempered = PreferenceSettings(clamp=None, temperature=best_temperature(some.calibration, known))
        arms = (PreferenceSettings(clamp="auto"), tempered, PreferenceSettings(clamp=None))
        found |= {name: labels(thought, settings) for name, settings in zip(REASONED, arms, strict=True)}
    return found, errors


def best_temperature(pairs: Sequence[Pair], votes: Sequence[Judgement]) -> float:
    """The temperature at which labels from the votes forecast the truth best, by cross-entropy."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        made = labels(votes, PreferenceSettings(temperature=math.exp(log_t)))
        return -fmean(_log(p) * one.share + _log(1 - p) * (1 - one.share) for one, p in zip(pairs, made, strict=True))

    return math.exp(float(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def _log(p: float) -> float:
    return math.log(max(p, 1e-12))


def forecasts(
    design: Design, seed: int, pairs: Drawn, p_a: Sequence[float]
) -> tuple[list[float], list[float], list[float]]:
    """r_a − r_b on calibration and test pairs of a reward model trained on `p_a`, and the losses of its steps."""
    from cai.training.backbone import load_backbone
    from cai.training.quiet import quiet_libraries
    from cai.training.reward import RewardRun
    from cai.training.scoring import PADDED, Scorer

    with quiet_libraries():
        base = load_backbone(weights_path(), seed)
    run = RewardRun(base, _groups(base, pairs.train, p_a), design.reward, seed)
    while run.step < run.total:
        run.advance()
    scorer = Scorer(run.model(lambda: load_backbone(weights_path(), seed)), run.pad_id, PADDED)
    margins = [_margins(scorer, _groups(base, some, [one.share for one in some])) for some in pairs[1:]]
    return margins[0], margins[1], run.losses


def _groups(base: Any, pairs: Sequence[Pair], p_a: Sequence[float]) -> list[Any]:
    from cai.training.rows import encode_groups

    rows = [Preference(one.prompt, one.a, one.b, p) for one, p in zip(pairs, p_a, strict=True)]
    groups, counts = encode_groups(base.chat, rows, 512, "reject")
    assert len(groups) == counts.used == len(pairs), counts
    return groups


def _margins(scorer: Any, groups: list[Any]) -> list[float]:
    import torch

    found = [0.0] * len(groups)
    with torch.inference_mode():
        for batch in scorer.batches(range(len(groups)), groups, 4096):
            scores = scorer([groups[at] for at in batch]).view(-1, 2)
            for at, both in zip(batch, scores.tolist(), strict=True):
                one = groups[at].comparisons[0]
                found[at] = both[one.first] - both[one.second]
    return found


def run_seed(design: Design, seed: int, folder: Path) -> dict[str, Any]:
    """``{key, labels, errors, truth, arms: {name: {calibration, test, losses}}}`` of a seed, from its file on."""
    path = folder / f"seed-{seed}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    if kept.get("key") != design.key:
        kept = {"key": design.key, "arms": {}}
    missing = [name for name in design.arms if name not in kept["arms"]]
    if not missing:
        return kept
    pairs = drawn(design, seed)
    if "labels" not in kept:
        kept["labels"], kept["errors"] = all_labels(design, seed, pairs)
        kept["truth"] = {name: [one.share for one in some] for name, some in pairs._asdict().items()}
        _keep(path, kept)
    for name in missing:
        calibration, test, losses = forecasts(design, seed, pairs, kept["labels"][name])
        assert all(map(math.isfinite, test)), name
        kept["arms"][name] = {"calibration": calibration, "test": test, "losses": losses}
        _keep(path, kept)
    return kept


def _keep(path: Path, kept: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(kept) + "\n")


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    run_seed(DESIGNS[sys.argv[3]], int(sys.argv[1]), Path(sys.argv[2]))
