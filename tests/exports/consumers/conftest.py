"""The sample run in every format, and what a consumer's own code reads in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from cai.exports import ExportOptions
from cai.pipeline.export_run import ExportRequest, export_run
from tests.exports.consumers.environment import folder, python
from tests.exports.consumers.reading import Rows
from tests.exports.consumers.required import require
from tests.exports.sample_run import write_sample_run
from tests.tiny import build_tiny_model

Read = Callable[[str], dict[str, Rows]]
READERS = {"feedback-forensics": "annotated_pairs"}
"""The name of the reader, where it is not the consumer's."""
QUIET = {
    "OMP_NUM_THREADS": "1", "AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1", "DISABLE_VERSION_CHECK": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONWARNINGS": "ignore",
}  # fmt: skip


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """Every format of the sample run, with margins, one folder a format; in `single` what holds no dialogue, of a run
    without any."""
    runs = tmp_path_factory.mktemp("sample")
    request = ExportRequest(("all",), options=ExportOptions(margin=True), single_turn_only=True)
    told = export_run(write_sample_run(runs / "run"), request)
    assert told["refused"] == {}
    out = Path(told["out"])
    export_run(write_sample_run(runs / "single", "single"), ExportRequest(("annotated_pairs",), out / "single"))
    return out


@pytest.fixture(scope="session")
def read(exported, tmp_path_factory) -> Read:
    """A function from a consumer's name to what its reader saw; see `require` for one that is not installed."""
    model = build_tiny_model(tmp_path_factory.mktemp("model"))

    @cache
    def read_by(consumer: str) -> dict[str, Rows]:
        home = folder()
        require(consumer, home)
        work = tmp_path_factory.mktemp(consumer)
        script, out = Path(__file__).with_name(f"read_{READERS.get(consumer, consumer)}.py"), work / "seen.json"
        done = subprocess.run(
            [python(home), script, exported, model, work, out],
            env=os.environ | QUIET | {"HF_HOME": str(work)}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(out.read_text())

    return read_by
