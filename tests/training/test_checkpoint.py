from __future__ import annotations

import json

import pytest
import torch

from cai.training.checkpoint import MARKER, Checkpoint, Checkpoints, claim, publish, rows_fingerprint


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"losses": [0.1, 1 / 3]}, {"weights": {"w": torch.full((3,), float(step))}})


def test_what_is_saved_is_read_back(tmp_path):
    store = Checkpoints(tmp_path, "key")
    assert store.latest() is None
    store.save(checkpoint(5))
    found = Checkpoints(tmp_path, "key").latest()
    assert (found.step, found.state) == (5, {"losses": [0.1, 1 / 3]})
    assert torch.equal(found.tensors["weights"]["w"], torch.full((3,), 5.0))


def test_only_the_newest_is_kept(tmp_path):
    store = Checkpoints(tmp_path, "key")
    for step in (5, 10, 100):
        store.save(checkpoint(step))
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["step-00000100"]


@pytest.mark.parametrize("harm", ["no marker", "cut file", "no file"])
def test_a_checkpoint_that_is_not_whole_is_ignored_and_removed(tmp_path, harm):
    store = Checkpoints(tmp_path, "key", keep=2)
    store.save(checkpoint(5))
    store.save(checkpoint(10))
    newest = tmp_path / "key" / "step-00000010"
    if harm == "no marker":
        (newest / MARKER).unlink()
    elif harm == "cut file":
        weights = newest / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        (newest / "state.json").unlink()
    assert store.latest().step == 5
    assert not newest.exists()


def test_a_checkpoint_holds_no_pickle(tmp_path):
    Checkpoints(tmp_path, "key").save(checkpoint(1))
    names = {path.name for path in (tmp_path / "key" / "step-00000001").iterdir()}
    assert names == {"weights.safetensors", "state.json", MARKER}
    sizes = json.loads((tmp_path / "key" / "step-00000001" / MARKER).read_text())
    assert set(sizes) == names - {MARKER}


def test_another_key_starts_afresh_and_leaves_foreign_folders_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    Checkpoints(tmp_path, "a" * 16).save(checkpoint(5))
    assert Checkpoints(tmp_path, "b" * 16).latest() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b" * 16, "notes"]
    assert claim(tmp_path, "b" * 16).is_dir()


def test_publishing_replaces_the_older_folder_whole(tmp_path):
    out, staged = tmp_path / "out", tmp_path / "staged"
    out.mkdir()
    (out / "old").write_text("old")
    staged.mkdir()
    (staged / "new").write_text("new")
    publish(staged, out)
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_rows_have_the_same_fingerprint_only_if_they_are_the_same():
    assert rows_fingerprint([[1, 2], [3]]) != rows_fingerprint([[1], [2, 3]])
    assert rows_fingerprint([[1, 2], [3.5]]) == rows_fingerprint([(1, 2), (3.5,)])
