"""Run folders: files that are whole or not there, a manifest that is believed, a lock that holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cai.errors import InputError, RunError
from cai.storage.run import Run, atomic_write, file_sha256, read_rows, signature, untouched, write_json
from tests.storage.test_temporary import killed_while_writing


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as handle:
        handle.write("half")
        _ = 1 / 0
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as handle:
        handle.write("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "rows.jsonl") as handle:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, handle.fileno())
            os.close(full)
            handle.write("x" * 100_000)

    with pytest.raises(RunError, match=r"rows\.jsonl: cannot write: the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_kill_before_the_first_manifest_leaves_a_folder_for_a_run(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "manifest.json")
    run = Run(tmp_path)
    run.save()
    assert [one.name for one in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a manifest"),
        ("{}", "not a manifest"),
        ('{"format": 9}', "made by another version"),
        ("[]", "not a m"),
    ],
)
def test_a_strange_manifest_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=reason):
        Run(tmp_path)


def test_a_folder_with_other_things_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not a run folder"):
        Run(tmp_path)
    with pytest.raises(RunError, match="no run is there"):
        Run.existing(tmp_path)


def test_two_processes_cannot_work_on_one_run_and_death_frees_it(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom cai.storage.run import Run\n"
        "with Run(Path(sys.argv[1])).locked():\n print('held', flush=True)\n time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunError, match="another process"), Run(tmp_path).locked():
            pass
        other.kill()
    with Run(tmp_path).locked():
        pass


def test_signatures_notice_an_edit_and_forgive_a_touch(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n')
    known = signature(path)
    path.touch()
    assert untouched(path, known)
    path.write_text('{"a": 2}\n')
    assert not untouched(path, known)
    path.unlink()
    assert not untouched(path, known)


def test_a_folders_hash_depends_on_names_and_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "m" / "a.json", 1)
    before = file_sha256(tmp_path / "m")
    (tmp_path / "m" / "a.json").rename(tmp_path / "m" / "b.json")
    assert file_sha256(tmp_path / "m") != before


def test_a_half_line_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": ')
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not a JSON object"):
        list(read_rows(path))
