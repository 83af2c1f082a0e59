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
        ("reward", 3),
        pytest.param("reward", 30, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("sft", 8, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_and_continued_training_gives_the_same_weights(tmp_path, trainer, kills):
    base = build_tiny_model(tmp_path / "base")
    (tmp_path / "runs").mkdir()
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(script), trainer, str(base), str(tmp_path / "runs"), str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(result["hashes"]) == 1
    assert result["left"] == ["cut", "whole"]
    assert result["saving"] == -(-kills // 3)
