"""Names of their own for what is being written: no link is followed, nothing is shared, kills leave little."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cai.errors import RunError
from cai.pipeline.kept import Kept
from cai.storage import temporary
from cai.storage.run import atomic_write
from cai.storage.temporary import folder_for, sweep
from cai.training.folder import staged_folder

DRAWN = ".rows.jsonl.0123456789abcdef.tmp"


def killed(code: str, path: Path) -> None:
    """Run `code`, which works on the path `path`, in a process that dies of signal 9 where it says ``kill()``."""
    head = (
        "import os, signal, sys; from pathlib import Path; path = Path(sys.argv[1]);"
        "from cai.storage.run import atomic_write; from cai.storage.temporary import folder_for;"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", head + code, str(path)], cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL


def killed_while_writing(path: Path) -> Path:
    """What a process left in the folder of `path` that was killed while it wrote it."""
    before = set(path.parent.iterdir())
    killed("with atomic_write(path) as handle: handle.write('half'); handle.flush(); kill()", path)
    (left,) = set(path.parent.iterdir()) - before
    return left


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, mkdir = [], Path.mkdir

    def then_swept(path: Path, *given: object, **named: object) -> None:
        mkdir(path, *given, **named)  # type: ignore[arg-type]
        if path.parent == tmp_path:
            made.append(path)
            if len(made) == 1:
                sweep(tmp_path / "model")

    monkeypatch.setattr(Path, "mkdir", then_swept)
    with folder_for(tmp_path / "model") as folder:
        assert [one.exists() for one in made] == [False, True] and folder == made[1]


def test_a_link_at_a_name_that_can_be_guessed_is_not_followed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "out", tmp_path / "victim.txt"
    folder.mkdir()
    victim.write_text("mine")
    for name in ("rows.jsonl", "rows.jsonl.tmp", ".rows.jsonl.tmp"):
        (folder / name).symlink_to(victim)
    with atomic_write(folder / "rows.jsonl") as handle:
        handle.write("rows")
    assert victim.read_text() == "mine"
    assert (folder / "rows.jsonl").read_text() == "rows" and not (folder / "rows.jsonl").is_symlink()


def test_a_link_at_the_very_name_that_is_drawn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / DRAWN).symlink_to(victim)
    monkeypatch.setattr(temporary, "_drawn", lambda path: path.with_name(DRAWN))
    with (
        pytest.raises(RunError, match=r"rows\.jsonl: cannot write: File exists"),
        atomic_write(tmp_path / "rows.jsonl"),
    ):
        pass
    assert victim.read_text() == "mine"
    assert (tmp_path / DRAWN).is_symlink(), "it was not ours to remove"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_mode_that_the_umask_gives(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "rows.jsonl"):
            pass
        with folder_for(tmp_path / "model") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "rows.jsonl").stat().st_mode) == mode


def test_two_that_write_one_file_do_not_share_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with atomic_write(path) as first:
        first.write("first " * 1000)
        with atomic_write(path) as second:
            second.write("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first " * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_what_kills_left_is_removed_by_who_writes_the_same_file_next(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    left = killed_while_writing(path)
    assert left.read_text() == "half" and not path.exists()
    other = killed_while_writing(tmp_path / "other.jsonl")
    killed_while_writing(path)
    with atomic_write(path) as handle:
        handle.write("whole")
    assert set(tmp_path.iterdir()) == {path, other}


def test_what_is_still_written_and_what_is_not_ours_is_left(tmp_path: Path) -> None:
    path, victim = tmp_path / "rows.jsonl", tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / DRAWN).symlink_to(victim)
    others = [".rows.jsonl.tmp", "rows.jsonl.0123456789abcdef.tmp", ".rows.jsonl.0123456789abcdeg.tmp", "x.tmp"]
    for name in others:
        (tmp_path / name).write_text("mine")
    with atomic_write(path) as handle:
        handle.write("whole")
        with folder_for(path.with_name("model")) as folder:
            sweep(path)
            sweep(path.with_name("model"))
            assert folder.is_dir()
    assert path.read_text() == "whole"
    assert {one.name for one in tmp_path.iterdir()} == {DRAWN, *others, "rows.jsonl", "victim.txt"}
    assert victim.read_text() == "mine"


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120 + ".jsonl")
    killed_while_writing(path)
    with atomic_write(path) as handle:
        handle.write("whole")
    assert list(tmp_path.iterdir()) == [path]


def test_a_trained_model_takes_its_place_and_kills_leave_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "model"
    killed("with folder_for(path) as folder: (folder / 'weights').write_text('half'); kill()", out)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".model.tmp").symlink_to(tmp_path)
    with staged_folder(out) as folder:
        (folder / "weights").write_text("whole")
    assert {one.name for one in tmp_path.iterdir()} == {"model", ".model.tmp"}
    assert (out / "weights").read_text() == "whole"


def test_progress_that_was_being_written_goes_with_the_next_step(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / ".progress.json")
    with Kept(tmp_path, "respond", {}, lambda done, total: None):
        assert list(tmp_path.iterdir()) == []
