from __future__ import annotations

import json

import pytest

from cai.errors import TrainingError
from cai.training.folder import checked_out, finished, staged_folder, write_record


def saved(out, key="a" * 16):
    with staged_folder(out) as folder:
        (folder / "weights").write_text("w")
        write_record(folder, key, {"trainer": "sft"}, {"loss": 0.1}, [0.1])
    return out


@pytest.mark.parametrize("content", [None, "[]", "{}", "not JSON"])
def test_a_folder_of_something_else_is_refused_and_stays(tmp_path, content):
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years")
    if content is not None:
        (tmp_path / "training.json").write_text(content)
    with pytest.raises(TrainingError, match=r"is not empty and holds no model trained by cai; choose another folder"):
        checked_out(tmp_path, tmp_path.with_name("model"))
    assert thesis.read_text() == "years"


def test_a_folder_that_is_new_or_empty_or_ours_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "new", tmp_path / "empty", saved(tmp_path / "ours")):
        assert checked_out(out, tmp_path / "model") == out


def test_the_folder_one_is_in_is_refused(tmp_path, monkeypatch):
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    for out in (".", "..", "", inner):
        with pytest.raises(TrainingError, match="is the folder you are in, or one around it"):
            checked_out(type(tmp_path)(out), tmp_path / "model")
    assert checked_out(type(tmp_path)("../rm"), tmp_path / "model") == tmp_path / "outer" / "rm"


def test_the_model_to_start_from_and_files_are_not_replaced(tmp_path):
    ours = saved(tmp_path / "ours")
    with pytest.raises(TrainingError, match="holds the model to start from"):
        checked_out(ours, ours)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="file is a file; name a folder"):
        checked_out(tmp_path / "file", ours)


def test_finished_means_the_same_key_and_the_same_bytes(tmp_path):
    out = saved(tmp_path / "rm")
    assert finished(out, "a" * 16) == {"loss": 0.1}
    assert finished(out, "b" * 16) is None and finished(tmp_path / "none", "a" * 16) is None
    (out / "mine.txt").touch()
    (tmp_path / ".rm.old").mkdir()
    assert finished(out, "a" * 16) == {"loss": 0.1}
    assert [path.name for path in tmp_path.iterdir()] == ["rm"]
    (out / "weights").write_text("v")
    assert finished(out, "a" * 16) is None
    assert json.loads((out / "training.json").read_text())["report"] == {"loss": 0.1}
