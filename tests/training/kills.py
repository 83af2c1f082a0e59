"""Started by a test: trains again and again in children that are killed, and prints the hashes of what came out.

``python kills.py TRAINER BASE FOLDER KILLS SEED``. Libraries are imported once, and each child is a fork. A child is
killed with SIGKILL after a random time, every third one in the middle of writing a checkpoint or while the model takes
the place of an older one; the last one is let go.

``python kills.py saves FOLDER`` kills a child at every write, flush, move and removal of a checkpoint that is saved and
of a folder that is published, and prints how many kills it took; it fails where one leaves something that is not whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

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


def in_child(act: Callable[[], object], prepare: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            prepare()
            act()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(event: int) -> None:
    """Have this process kill itself at that one of what `cai.training.checkpoint` does to the disk; 0 is never.

    A file that is written is two events: before there is any of it, and when half of it is there.
    """
    left = [event]

    def due() -> bool:
        left[0] -= 1
        return left[0] == 0

    def before(act: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            if due():
                die()
            return act(*given, **named)

        return counted

    def torn(act: Callable[..., Any], number: int) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            done = before(act)(*given, **named)
            if due():
                os.truncate(given[number], given[number].stat().st_size // 2)
                die()
            return done

        return counted

    def torn_text(act: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def counted(path: Path) -> Iterator[Any]:
            with before(act)(path) as handle:
                yield handle
                handle.flush()
                if due():
                    os.truncate(handle.name, os.fstat(handle.fileno()).st_size // 2)
                    die()

        return counted

    checkpoint.replacing = torn_text(checkpoint.replacing)
    checkpoint.save_file = torn(checkpoint.save_file, 1)
    checkpoint._flush = before(checkpoint._flush)
    shutil.rmtree = before(shutil.rmtree)
    Path.write_text = torn(Path.write_text, 0)
    Path.replace, Path.unlink = before(Path.replace), before(Path.unlink)


def die_while_moving(out: Path) -> None:
    """Have this process kill itself when the older `out` has been moved away and the new one is not in its place."""
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        if target == out:
            die()
        return replace(path, target)

    Path.replace = watched


def place_older(whole: Path, out: Path) -> None:
    """An earlier model in `out`, of another training."""
    if not out.exists():
        shutil.copytree(whole, out)
        record = json.loads((out / "training.json").read_text())
        (out / "training.json").write_text(json.dumps({**record, "key": "of another training"}))


def main(trainer: str, base: Path, folder: Path, kills: int, seed: int) -> None:
    TRAINERS.load(trainer)
    whole, cut = folder / "whole", folder / "cut"
    started = time.monotonic()
    _, status = os.waitpid(in_child(partial(train, trainer, base, folder, whole), partial(die_at, 0)), 0)
    assert status == 0
    span, draws, landed, hashes = time.monotonic() - started, random.Random(seed), 0, {weights_hash(whole)}
    saving = 0
    while landed < kills:
        in_a_save, in_a_move = landed % 3 == 0, landed % 6 == 3
        prepare = partial(die_at, draws.randint(1, 40) * in_a_save)
        if in_a_move:
            place_older(whole, cut)
            prepare = partial(die_while_moving, cut)
        child = in_child(partial(train, trainer, base, folder, cut), prepare)
        if not in_a_save:
            time.sleep(draws.uniform(0.1, span))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0
        landed += os.WIFSIGNALED(status)
        saving += in_a_save and os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):  # it was done before it was killed: once more from the start
            hashes.add(weights_hash(cut))
            shutil.rmtree(cut)
    _, status = os.waitpid(in_child(partial(train, trainer, base, folder, cut), partial(die_at, 0)), 0)
    assert status == 0
    hashes.add(weights_hash(cut))
    left = sorted(path.name for path in folder.iterdir())
    print(json.dumps({"hashes": sorted(hashes), "saving": saving, "left": left}))


# ------------------------------------------------------------------------------------------------ every point of a save


def kill_at_every_event(start: Callable[[], None], act: Callable[[], None], check: Callable[[], None]) -> int:
    """From `start` on, `act` in a child that dies at its first, second, … event, until it lives; `check` after each."""
    for event in range(1, 1000):
        start()
        _, status = os.waitpid(in_child(act, partial(die_at, event)), 0)
        check()
        if status == 0:
            return event - 1
        assert os.WIFSIGNALED(status), event
    raise AssertionError("it never lived")


def saves(folder: Path) -> None:
    def at(step: int) -> checkpoint.Checkpoint:
        tensors = {name: {"w": torch.full((9,), float(step))} for name in ("weights", "optimizer")}
        return checkpoint.Checkpoint(step, {"losses": [0.5] * step}, tensors)

    def start() -> None:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        checkpoint.Checkpoints(folder / "checkpoints", "key").save(at(5))

    def save() -> None:
        checkpoint.Checkpoints(folder / "checkpoints", "key").save(at(10))

    def check() -> None:
        found = checkpoint.Checkpoints(folder / "checkpoints", "key").latest()
        assert found is not None and found.step in (5, 10) and found.state == at(found.step).state
        assert found.tensors.keys() == {"weights", "optimizer"}
        assert all(torch.equal(group["w"], at(found.step).tensors["weights"]["w"]) for group in found.tensors.values())

    def start_publishing() -> None:
        for name in ("out", ".out.old", "staged"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("out", "staged"):
            (folder / name).mkdir()
            for part in ("a", "b"):
                (folder / name / part).write_text(name)

    def check_published() -> None:
        held = {
            path.name: {(path / part).read_text() for part in ("a", "b")}
            for path in (folder / "out", folder / ".out.old", folder / "staged")
            if len(list(path.glob("*"))) == 2
        }
        older = held.get("out") == {"out"} and held["staged"] == {"staged"}
        newer = held.get("out") == {"staged"}
        between = not (folder / "out").exists() and held == {".out.old": {"out"}, "staged": {"staged"}}
        assert older or newer or between, held
        if not newer:
            checkpoint.publish(folder / "staged", folder / "out")
            assert {path.read_text() for path in (folder / "out").iterdir()} == {"staged"}
            assert not (folder / ".out.old").exists()

    publish = partial(checkpoint.publish, folder / "staged", folder / "out")
    print(json.dumps({
        "save": kill_at_every_event(start, save, check),
        "publish": kill_at_every_event(start_publishing, publish, check_published),
    }))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "saves":
        saves(Path(sys.argv[2]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
