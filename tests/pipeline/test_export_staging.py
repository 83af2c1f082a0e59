"""What a killed export leaves, and what the next one into the same folder makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cai.pipeline import export_staging
from cai.pipeline.export_run import ExportRequest, export_run
from cai.pipeline.export_staging import staging, take_place, tidy
from tests.exports.sample_run import write_sample_run

KILLED = """
import os, signal, sys
from pathlib import Path
from cai.pipeline.export_run import ExportRequest, export_run

rename, left = Path.rename, [int(sys.argv[3])]
def dies(path, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return rename(path, target)
Path.rename = dies
export_run(Path(sys.argv[1]), ExportRequest(tuple(sys.argv[4:]), out=Path(sys.argv[2])))
"""


def killed(run: Path, out: Path, renames: int, *formats: str) -> Path:
    """Export again, killed after that many renames; gives the staging folder that is left."""
    words = [sys.executable, "-c", KILLED, str(run), str(out), str(renames), *formats]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, check=False)
    assert done.returncode == -9
    (left,) = out.glob(".new.*.tmp")
    return left


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def old(path: Path) -> Path:
    """As it was two hours ago."""
    for one in (path, *path.rglob("*")):
        os.utime(one, (time.time() - 7200,) * 2, follow_symlinks=False)
    return path


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_loses_no_format_and_the_next_export_tidies_up(renames: int, tmp_path: Path) -> None:
    run, out = write_sample_run(tmp_path / "run"), tmp_path / "out"
    export_run(run, ExportRequest(("sft", "preference"), out=out))
    before = files(out)
    killed(run, out, renames, "sft", "preference")
    assert (out / "sft").exists() == (renames != 1)
    export_run(run, ExportRequest(("prompts",), out=out))
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "constitution.yaml", "preference", "prompts", "sft",
    ]  # fmt: skip
    for name in ("sft", "preference"):
        assert {file for file in files(out) if file.startswith(f"{name}/")} == {
            file for file in before if file.startswith(f"{name}/")
        }
        assert (out / name / "train.jsonl").read_bytes() == before[f"{name}/train.jsonl"]


def test_a_folder_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out = write_sample_run(tmp_path / "run"), tmp_path / "out"
    export_run(run, ExportRequest(("sft",), out=out))
    before, rename = files(out), Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "sft" and target == out / "sft":
            raise OSError("no space")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no space"):
        export_run(run, ExportRequest(("sft",), out=out, single_turn_only=True))
    assert files(out) == before


def test_a_format_that_was_deleted_after_it_was_replaced_stays_deleted(tmp_path: Path) -> None:
    work = tmp_path / ".new.abcdefgh.tmp"
    (work / "sft.old").mkdir(parents=True)
    (work / ".lock").touch()
    tidy(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_an_export_still_works_in_is_left_alone(tmp_path: Path) -> None:
    with staging(tmp_path) as one:
        (one / "sft").mkdir()
        old(one)
        with staging(tmp_path) as other:
            assert one != other and (one / "sft").is_dir()
        assert (one / "sft").is_dir()
        take_place(one / "sft", tmp_path / "sft")
    assert [path.name for path in tmp_path.iterdir()] == ["sft"]


def test_without_a_lock_an_hour_must_have_gone_by_since_anything_was_written(tmp_path: Path) -> None:
    gone, fresh, busy = (tmp_path / f".new.{name * 8}.tmp" for name in "abc")
    for one in (gone, fresh, busy):
        (one / "sft").mkdir(parents=True)
        (one / "sft" / "train.jsonl").write_text("{}")
    old(gone)
    old(busy)
    (busy / "sft" / "train.jsonl").write_text("{}{}")
    tidy(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, busy]


def test_only_real_folders_with_the_names_of_staging_are_removed(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    out.mkdir()
    for name in (".new.mine.tmp", ".new.ABCDEFGH.tmp", "x.new.abcdefgh.tmp", ".new.abcdefgh.tmp.d"):
        (out / name).mkdir()
        (out / name / ".lock").touch()
    (out / ".new.aaaaaaaa.tmp").write_text("a file")
    (out / ".new.bbbbbbbb.tmp").symlink_to(elsewhere)
    (out / ".new.cccccccc.tmp").mkdir()
    (out / ".new.cccccccc.tmp" / ".lock").symlink_to(elsewhere / ".lock")
    old(out)
    before = sorted(out.rglob("*"))
    tidy(out)
    assert sorted(out.rglob("*")) == before and (elsewhere / ".lock").exists()


def test_what_cannot_be_put_back_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / ".new.abcdefgh.tmp"
    for name in ("sft", "sft.old"):
        (work / name).mkdir(parents=True)
    (work / ".lock").touch()

    def fails(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", fails)
    tidy(tmp_path)
    assert (work / "sft.old").is_dir()


def test_a_staging_folder_that_was_taken_away_before_its_lock_was_held_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = export_staging.fcntl.flock, []

    def flock(lock: int, how: int) -> None:
        if not taken:
            taken.extend(tmp_path.glob(".new.*.tmp"))
            tidy(tmp_path)
        real(lock, how)

    monkeypatch.setattr(export_staging.fcntl, "flock", flock)
    with staging(tmp_path) as work:
        assert len(taken) == 1 and not taken[0].exists() and work.is_dir()
