"""Whether soft labels pay, and the clamp on reasoned ones: calibration and accuracy of the reward models they make.

In the embedded world, where the rules say which answer is better under each principle. A noisy judge labels pairs once;
two reward models are trained on the same pairs from the same weights in the same order, one on its soft labels and one
on the side that they lean to; or on reasoned labels with and without the clamp. Both are held against the rules on
held-out prompts: ECE of σ(r_a − r_b) as a forecast of what a principle drawn from the constitution says, as it is and
after one temperature fitted on other pairs of the training side; the cross-entropy of that forecast; accuracy as the
side that most principles prefer, and once more on the pairs where all of them prefer the same. The ECE of the labels
themselves is reported beside them. A row is the mean of paired differences over the seeds, with a 95 % t interval, in
percentage points (of the cross-entropy, in hundredths of a nat). `noisy_judge` says what the noise is,
`soft_label_runs.DESIGNS` holds every setting; `CAI_BENCH_DESIGN=fitted` takes another one, `CAI_BENCH_SEEDS=5` fewer
seeds than ten. Labels and forecasts are kept in `outputs/soft_labels`, from where a run that was cut off goes on.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from tests.benchmarks.measure import Result, SideFailed, machine

FOLDER = Path("outputs") / "soft_labels"
SEEDS = int(os.environ.get("CAI_BENCH_SEEDS", "10"))
INFERIOR = 2.0
"""Percentage points of accuracy that "at least equal" allows the lower end of the interval."""
MEASURES = {
    "ece": "ECE", "ece_fitted": "ECE, temperature fitted", "cross_entropy": "cross-entropy", "accuracy": "accuracy",
    "accuracy_agreed": "accuracy, all agree", "ece_labels": "ECE of the labels",
}  # fmt: skip
SAID = {True: "holds", False: "does not hold"}


class Spread(NamedTuple):
    """A mean over the seeds and its 95 % t interval; not a number where a seed has none."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        from scipy.stats import t

        if any(map(math.isnan, values)):
            return cls(math.nan, math.nan, math.nan)
        half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
        return cls(fmean(values), fmean(values) - half, fmean(values) + half)

    def __str__(self) -> str:
        return f"{self.mean:6.2f} [{self.low:6.2f}, {self.high:6.2f}]"


class Claim(NamedTuple):
    """Two arms that are held against each other."""

    name: str
    ours: str
    theirs: str


def claims(arms: Sequence[str]) -> list[Claim]:
    """Soft against hard at every noise; and of reasoned labels, clamped and tempered ones against those as they are."""
    rates = [name.removeprefix("soft ") for name in arms if name.startswith("soft ")]
    noisy = [Claim(f"soft_labels_{100 * float(rate):.0f}", f"soft {rate}", f"hard {rate}") for rate in rates]
    return [*noisy, *(Claim(f"{name}_labels", name, "unclamped") for name in ("clamped", "tempered") if name in arms)]


def sigmoid(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(x / 2)


def fitted_temperature(margins: Sequence[float], truth: Sequence[float]) -> float:
    """T that makes σ(margin/T) the best forecast of the truth by cross-entropy."""
    from scipy.optimize import minimize_scalar

    from cai.evaluation.reward import soft_cross_entropy

    def loss(log_t: float) -> float:
        return fmean(soft_cross_entropy(p, d / math.exp(log_t)) for p, d in zip(truth, margins, strict=True))

    return math.exp(float(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def figures(kept: dict[str, Any], arm: str) -> dict[str, float]:
    """What one reward model comes to, in per cent and hundredths of a nat, and the temperature fitted to it."""
    from cai.embedded.evaluate import expected_calibration_error
    from cai.evaluation.reward import soft_cross_entropy

    margins, truth = kept["arms"][arm]["test"], kept["truth"]["test"]
    temperature = fitted_temperature(kept["arms"][arm]["calibration"], kept["truth"]["calibration"])

    def ece(scale: float) -> float:
        return 100 * expected_calibration_error([(sigmoid(d / scale), p) for d, p in zip(margins, truth, strict=True)])

    def accuracy(least: float) -> float:
        """Of the pairs of which at least this share of the principles prefers the same side."""
        right = [(d > 0) == (p > 0.5) for d, p in zip(margins, truth, strict=True) if max(p, 1 - p) >= least]
        return 100 * fmean(right) if right else math.nan

    return {
        "ece": ece(1.0), "ece_fitted": ece(temperature),
        "cross_entropy": 100 * fmean(soft_cross_entropy(p, d) for p, d in zip(truth, margins, strict=True)),
        "accuracy": accuracy(math.nextafter(0.5, 1)),
        "accuracy_agreed": accuracy(1.0), "temperature": temperature,
        "ece_labels": 100
        * expected_calibration_error(list(zip(kept["labels"][arm], kept["truth"]["train"], strict=True))),
    }  # fmt: skip


def right_by_sureness(labels: Sequence[float], truth: Sequence[float]) -> list[float]:
    """The share of labels on the right side, in per cent, in each quarter of them from the least sure to the surest.

    Ties of either are left out.
    """
    sided = sorted(
        (abs(p - 0.5), (p > 0.5) == (t > 0.5)) for p, t in zip(labels, truth, strict=True) if 0.5 not in (p, t)
    )
    ends = [round(len(sided) * at / 4) for at in range(5)]
    return [100 * fmean(right for _, right in sided[start:end]) for start, end in pairwise(ends)]


def rows(claim: Claim, seeds: Sequence[dict[str, Any]]) -> list[Result]:
    """A row for every measure of a claim."""
    ours, theirs = ([figures(kept, arm) for kept in seeds] for arm in (claim.ours, claim.theirs))
    found, pairs = [], len(seeds[0]["truth"]["train"])
    for measure, title in MEASURES.items():
        if any(math.isnan(one[measure]) for one in (*ours, *theirs)):
            continue
        sides = [[one[measure] for one in side] for side in (ours, theirs)]
        gap = Spread.of([a - b for a, b in zip(*sides, strict=True)])
        bar = f"low > -{INFERIOR:g}" if measure == "accuracy" else "high < 0" if measure == "ece" else "reported"
        scale = "nats/100" if measure == "cross_entropy" else "%"
        unit = f"{title}, {scale}: {claim.ours} − {claim.theirs}, points, {len(seeds)} seeds of {pairs} pairs"
        means = [fmean(side) for side in sides]
        found.append(Result(f"{claim.name}_{measure}", *gap, bar, *means, unit, machine()))
    return found


def table(some: Sequence[Claim], seeds: Sequence[dict[str, Any]]) -> str:
    """Every arm with its intervals, the differences, and which claims hold."""
    lines = [f"{'':<18}" + "".join(f"{title:>26}" for title in MEASURES.values()) + f"{'fitted T':>10}"]
    for claim in some:
        lines += [_arm(arm, [figures(kept, arm) for kept in seeds]) for arm in (claim.ours, claim.theirs)]
        found = rows(claim, seeds)
        gaps = (str(Spread(row.ratio, row.low, row.high)) for row in found)
        lines.append(f"{'  difference':<18}" + "".join(f"{one:>26}" for one in gaps))
        lines += [f"  {row.name} ({row.bar}) {SAID[row.holds]}" for row in found if row.holds is not None]
    if "unclamped" in seeds[0]["labels"]:
        each = (right_by_sureness(kept["labels"]["unclamped"], kept["truth"]["train"]) for kept in seeds)
        quarters = ", ".join(f"{fmean(one):.0f}" for one in zip(*each, strict=True))
        lines.append(f"unclamped labels on the right side, the least sure quarter of them first: {quarters} %")
    errors = {name: 100 * fmean(kept["errors"][name] for kept in seeds) for name in seeds[0]["errors"]}
    wrong = ", ".join(f"{name}: {rate:.1f} %" for name, rate in errors.items())
    return "\n".join([*lines, f"measured error of the judge's votes on the training pairs: {wrong}"])


def _arm(name: str, found: Sequence[dict[str, float]]) -> str:
    spreads = [str(Spread.of([one[measure] for one in found])) for measure in MEASURES]
    mean_t = fmean(one["temperature"] for one in found)
    return f"{name:<18}" + "".join(f"{one:>26}" for one in spreads) + f"{mean_t:>10.2f}"


def run_all(design: str, folder: Path, seeds: Sequence[int]) -> None:
    """Every one of the seeds in a process of its own on one thread, as many at once as there are cores."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting, running = list(seeds), {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            seed = waiting.pop(0)
            log = folder / f"seed-{seed}.log"
            command = [sys.executable, "-m", "tests.benchmarks.soft_label_runs", str(seed), str(folder), design]
            with log.open("w") as errors:
                running[seed] = (
                    subprocess.Popen(command, stderr=errors, env={**os.environ, "OMP_NUM_THREADS": "1"}),
                    log,
                )
        seed = next(iter(running))
        process, log = running.pop(seed)
        if process.wait():
            for other, _ in running.values():
                other.terminate()
            raise SideFailed(process.returncode, f"seed {seed}: {log.read_text(errors='replace')[-2900:]}")


def results() -> Iterator[Result]:
    from tests.benchmarks.soft_label_runs import DESIGNS, run_seed

    name = os.environ.get("CAI_BENCH_DESIGN", "misread")
    if name not in DESIGNS:
        sys.exit(f"CAI_BENCH_DESIGN={name}: no design has that name (there: {', '.join(DESIGNS)})")
    design, folder = DESIGNS[name], FOLDER / name
    numbers = range(design.first_seed, design.first_seed + SEEDS)
    run_all(name, folder, numbers)
    seeds = [run_seed(design, seed, folder) for seed in numbers]
    some = claims(design.arms)
    print(table(some, seeds))
    for claim in some:
        for row in rows(claim, seeds):
            yield row if name == "misread" else replace(row, name=f"{row.name}_{name}")
