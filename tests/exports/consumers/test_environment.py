from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exports.consumers import environment
from tests.exports.consumers.required import require


@pytest.mark.parametrize("asked", [None, "", "0", "1"])
def test_a_consumer_that_is_missing_skips_its_tests_or_fails_them_if_asked(asked, tmp_path, monkeypatch):
    monkeypatch.delenv("CAI_REQUIRE_CONSUMERS", raising=False)
    if asked is not None:
        monkeypatch.setenv("CAI_REQUIRE_CONSUMERS", asked)
    expected = pytest.fail.Exception if asked == "1" else pytest.skip.Exception
    with pytest.raises(expected, match=r"verl is not in .*: `make consumers` installs it"):
        require("verl", tmp_path)
    found = environment.packages(tmp_path) / "verl-1.0.dist-info"
    found.mkdir(parents=True)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: verl\nVersion: 1.0\n")
    require("verl", tmp_path)


@pytest.mark.slow
def test_without_the_index_the_set_up_says_so_in_its_last_line_and_can_be_tried_again(tmp_path):
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, environment.__file__],
            env=os.environ | {"CAI_CONSUMERS": str(tmp_path / "home"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].endswith("will be skipped")
        assert environment.versions(tmp_path / "home") == {}


def test_every_package_is_pinned_and_none_of_them_is_torch():
    text = Path(environment.__file__).with_name("requirements.txt").read_text()
    pins = [line.split("==") for line in text.splitlines() if line[0] != "#"]
    assert all(len(pin) == 2 for pin in pins)
    assert {name for name, _ in pins} >= set(environment.CONSUMERS)
    assert not [name for name, _ in pins if name.startswith(("torch", "nvidia"))]
