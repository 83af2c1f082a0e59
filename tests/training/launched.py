"""What each process of a launched training runs: ``launched.py BASE OUT LAST HOW``; stops after step LAST if not 0."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cai.recipe import LoraSettings, RewardSettings
from cai.records import Preference
from cai.training.reward import train_reward
from tests.training.planted import preferences

SETTINGS = RewardSettings(
    lr=3e-3, epochs=2, batch_size=7, max_length=128, checkpoint_every=2, batch_tokens=200, dtype="float32"
)
WAYS = {
    "whole": SETTINGS,
    "adapters": replace(SETTINGS, lora=LoraSettings(r=4), centering=0.01),
    "listwise": replace(SETTINGS, loss="listwise", centering=0.01),
    "frozen": replace(SETTINGS, freeze_backbone=True, mega_batch=2),
}


def weighed(rows: list[Preference]) -> list[Preference]:
    """The rows under weights from 0.1 to 10, every third with a third answer beside, which makes a list."""
    sides = [(0, 1, 0.8), (1, 2, 0.6), (0, 2, 0.7)]
    found = []
    for at, one in enumerate(rows):
        answers, weight = (one.response_a, one.response_b, "1 2 3."), 10.0 ** (at % 3 - 1)
        labels = [Preference(one.prompt, answers[a], answers[b], p, weight) for a, b, p in sides]
        found += labels if at % 3 == 0 else [replace(one, weight=weight)]
    return found


def train(base: Path, out: Path, last: int = 0, how: str = "whole") -> None:
    def progress(step: int, total: int, loss: float) -> None:
        if step == last:
            raise SystemExit(3)

    rows = weighed(preferences(29, 0.8)) if how == "listwise" else preferences(29, 0.8)
    train_reward(base, rows, out, WAYS[how], 0, checkpoints=out.parent / "left", progress=progress)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
