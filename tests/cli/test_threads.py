"""What the command line says to libraries that start threads."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from cai.cli import main


@pytest.mark.parametrize(("own", "left"), [(None, "1000"), ("7", "7")])
def test_threads_spin_briefly_unless_the_user_says_otherwise(monkeypatch, tmp_path, own, left):
    monkeypatch.setenv("GOMP_SPINCOUNT", own or "")
    if own is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    CliRunner().invoke(main, ["status", str(tmp_path)])
    assert os.environ["GOMP_SPINCOUNT"] == left
