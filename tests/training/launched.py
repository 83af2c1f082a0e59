"""What each process of a launched training runs: ``launched.py BASE OUT LAST``; stops after step LAST if not 0."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cai.recipe import RewardSettings
from cai.training.reward import train_reward
from tests.training.planted import preferences

SETTINGS = RewardSettings(lr=3e-3, epochs=2, batch_size=7, max_length=128, checkpoint_every=2, batch_tokens=200)


def train(base: Path, out: Path, last: int = 0) -> None:
    def progress(step: int, total: int, loss: float) -> None:
        if step == last:
            raise SystemExit(3)

    train_reward(base, preferences(29, 0.8), out, SETTINGS, 0, checkpoints=out.parent / "left", progress=progress)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
