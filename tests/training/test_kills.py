"""kill -9 at any moment of training, then the same call: the same weights, byte for byte, and nothing left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import build_tiny_model


@pytest.mark.parametrize(
    ("trainer", "kills"),
    [
        ("reward", 4),
        pytest.param("reward", 30, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("sft", 8, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_and_continued_training_gives_the_same_weights(tmp_path, trainer, kills):
    base = build_tiny_model(tmp_path / "base")
    (tmp_path / "runs").mkdir()
    result = killed(trainer, base, tmp_path / "runs", kills, 0)
    assert len(result["hashes"]) == 1
    assert result["left"] == ["cut", "whole"]
    assert result["saving"] == -(-kills // 3)


def test_a_kill_at_any_point_of_a_save_leaves_something_whole(tmp_path):
    kills = killed("saves", tmp_path)
    assert kills["save"] >= 18, "of two files of tensors, the state and the marker: each before and half-written"
    assert kills["publish"] >= 6


def killed(*arguments: object) -> dict:
    """What `kills.py` prints."""
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
