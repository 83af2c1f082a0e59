"""What an import reads waits on the disk: its memory does not grow with the file, and a full disk is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from cai.imports import find_sources, import_data, read_preferences, read_prompt_rows


def write_pairs(folder: Path, count: int, **more: object) -> str:
    rows = ({"prompt": f"{n} {'x' * 400}", "chosen": "y" * 400, "rejected": "z" * 400, **more} for n in range(count))
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(folder / "pairs.jsonl")


@pytest.mark.parametrize("wanted", ["preferences", "prompts"])
def test_little_of_a_file_is_in_memory_at_once(wanted, tmp_path):
    import_data(find_sources(write_pairs(tmp_path, 100)), tmp_path / "out", wanted=wanted)
    file = write_pairs(tmp_path, 4000)
    tracemalloc.start()
    _, report = import_data(find_sources(file), tmp_path / "out", wanted=wanted, force=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.kept == 4000
    assert peak < 0.1 * Path(file).stat().st_size


def test_what_is_read_is_the_same_when_it_lies_on_the_disk(tmp_path, monkeypatch):
    file = write_pairs(tmp_path, 500)
    held = [read_preferences(find_sources(file))[0], read_prompt_rows(find_sources(file))[0]]
    monkeypatch.setattr("cai.imports.held.CACHE", 8)
    assert held == [read_preferences(find_sources(file))[0], read_prompt_rows(find_sources(file))[0]]
    assert [len(one) for one in held] == [500, 500]


def test_a_full_temporary_folder_is_one_clear_line_and_leaves_nothing(tmp_path):
    file = write_pairs(tmp_path, 2000)
    code = f"""
import resource, signal
from pathlib import Path
from cai.errors import RunError
from cai.imports import find_sources, held, import_data
held.CACHE = 8
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    import_data(find_sources({file!r}), Path({str(tmp_path / "out")!r}))
except RunError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("the temporary folder cannot hold what is read: ")
    assert done.stdout.endswith("; free some space there, or name another with SQLITE_TMPDIR\n")
    assert not (tmp_path / "out").exists()
