"""Started by a test: trains again and again in children that are killed, and prints the hashes of what came out.

``python kills.py TRAINER BASE FOLDER KILLS SEED``. Libraries are imported once, and each child is a fork. A child is
killed with SIGKILL after a random time, every third one in the middle of writing a checkpoint or the model; the last
one is let go.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from cai.recipe import LoraSettings, RewardSettings, SFTSettings
from cai.training import TRAINERS, checkpoint
from tests.training.planted import dialogues, preferences, weights_hash

torch.set_num_threads(1)


def train(trainer: str, base: Path, folder: Path, out: Path) -> None:
    small = {"lr": 1e-3, "epochs": 2, "batch_size": 8, "checkpoint_every": 2, "lora": LoraSettings(r=4, dropout=0.1)}
    settings = RewardSettings(**small) if trainer == "reward" else SFTSettings(**small)
    rows = preferences(80) if trainer == "reward" else dialogues(80)
    TRAINERS.load(trainer)(base, rows, out, settings, 0, checkpoints=folder / "checkpoints")


def in_child(*arguments: object, flushes: int = 0) -> int:
    child = os.fork()
    if child == 0:
        try:
            die_while_saving(flushes)
            train(*arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def die_while_saving(flushes: int) -> None:
    """Have this process kill itself before that many files or folders have been flushed to disk."""
    flush, left = checkpoint._flush, [flushes]

    def counted(path: Path) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(path)

    checkpoint._flush = counted


def main(trainer: str, base: Path, folder: Path, kills: int, seed: int) -> None:
    TRAINERS.load(trainer)
    started = time.monotonic()
    _, status = os.waitpid(in_child(trainer, base, folder, folder / "whole"), 0)
    assert status == 0
    span, draws, landed, hashes = time.monotonic() - started, random.Random(seed), 0, {weights_hash(folder / "whole")}
    saving = 0
    while landed < kills:
        in_a_save = landed % 3 == 0
        child = in_child(trainer, base, folder, folder / "cut", flushes=draws.randint(1, 12) * in_a_save)
        if not in_a_save:
            time.sleep(draws.uniform(0.1, span))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        landed += os.WIFSIGNALED(status)
        saving += in_a_save and os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):  # it was done before it was killed: once more from the start
            hashes.add(weights_hash(folder / "cut"))
            shutil.rmtree(folder / "cut")
    _, status = os.waitpid(in_child(trainer, base, folder, folder / "cut"), 0)
    assert status == 0
    hashes.add(weights_hash(folder / "cut"))
    left = sorted(path.name for path in folder.iterdir())
    print(json.dumps({"hashes": sorted(hashes), "saving": saving, "left": left}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
