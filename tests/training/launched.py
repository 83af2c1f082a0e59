"""What each process of a launched training runs: ``launched.py BASE OUT LAST HOW``; stops after step LAST if not 0."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cai.recipe import LoraSettings, RewardSettings
from cai.training.reward import train_reward
from tests.training.planted import preferences

SETTINGS = RewardSettings(lr=3e-3, epochs=2, batch_size=7, max_length=128, checkpoint_every=2, batch_tokens=200)
WAYS = {
    "whole": SETTINGS,
    "adapters": replace(SETTINGS, lora=LoraSettings(r=4), centering=0.01),
    "frozen": replace(SETTINGS, freeze_backbone=True, mega_batch=2),
}


def train(base: Path, out: Path, last: int = 0, how: str = "whole") -> None:
    def progress(step: int, total: int, loss: float) -> None:
        if step == last:
            raise SystemExit(3)

    train_reward(base, preferences(29, 0.8), out, WAYS[how], 0, checkpoints=out.parent / "left", progress=progress)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
