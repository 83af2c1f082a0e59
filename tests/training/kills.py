"""Started by a test: trains again and again in children that are killed, and prints the hashes of what came out.

``python kills.py TRAINER BASE FOLDER KILLS SEED``. Libraries are imported once, and each child is a fork. A child is
killed with SIGKILL after a random time, every third one in the middle of writing a checkpoint or the model; the last
one is let go.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from cai.recipe import LoraSettings, RewardSettings, SFTSettings
from cai.training import TRAINERS
from tests.training.planted import dialogues, preferences, weights_hash

torch.set_num_threads(1)


def train(trainer: str, base: Path, folder: Path, out: Path) -> None:
    small = {"lr": 1e-3, "epochs": 2, "batch_size": 8, "checkpoint_every": 2, "lora": LoraSettings(r=4, dropout=0.1)}
    settings = RewardSettings(**small) if trainer == "reward" else SFTSettings(**small)
    rows = preferences(80) if trainer == "reward" else dialogues(80)
    TRAINERS.load(trainer)(base, rows, out, settings, 0, checkpoints=folder / "checkpoints")


def in_child(*arguments: object) -> int:
    child = os.fork()
    if child == 0:
        try:
            train(*arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def is_saving(folder: Path) -> bool:
    """Whether a checkpoint lies there that is not whole yet, or a model that is not in its place."""
    steps = (folder / "checkpoints").glob("*/*/")
    return (folder / ".cut.tmp").exists() or any(not (step / "complete.json").exists() for step in steps)


def wait_for_save(folder: Path, seconds: float, skip: int) -> bool:
    """Wait until the `skip`-th save from now is on its way, at most so long; says whether one is."""
    until, before = time.monotonic() + seconds, True
    while time.monotonic() < until:
        now = is_saving(folder)
        if now and not before:
            if not skip:
                return True
            skip -= 1
        before = now
    return False


def main(trainer: str, base: Path, folder: Path, kills: int, seed: int) -> None:
    TRAINERS.load(trainer)
    started = time.monotonic()
    _, status = os.waitpid(in_child(trainer, base, folder, folder / "whole"), 0)
    assert status == 0
    span, draws, landed, saving = time.monotonic() - started, random.Random(seed), 0, 0
    while landed < kills:
        child = in_child(trainer, base, folder, folder / "cut")
        if landed % 3 == 0:
            wait_for_save(folder, span, draws.randrange(4))
        else:
            time.sleep(draws.uniform(0.1, span))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        landed += os.WIFSIGNALED(status)
        saving += os.WIFSIGNALED(status) and is_saving(folder)
    _, status = os.waitpid(in_child(trainer, base, folder, folder / "cut"), 0)
    assert status == 0
    hashes = [weights_hash(folder / name) for name in ("whole", "cut")]
    print(json.dumps({"hashes": hashes, "saving": saving, "left": sorted(path.name for path in folder.iterdir())}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
