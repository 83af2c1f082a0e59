from __future__ import annotations

import pytest

from cai.embedded.train import TrainSettings, block_of_batches, learning_rate, train
from cai.errors import TrainingError

SMALL = TrainSettings(
    steps=16, rows=2, hidden=32, inner=48, layers=2, heads=2, warmup=4, tokenizer_groups=60, checkpoint_every=8
)


def test_the_rate_rises_stays_and_falls():
    rates = [learning_rate(SMALL, step) for step in range(SMALL.steps)]
    assert rates[0] == 0.25 and max(rates) == 1.0 and 0 < rates[-1] < 0.2
    assert rates[3:9] == [1.0] * 6


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    train(tmp_path / "whole", SMALL)
    train(tmp_path / "halved", SMALL, stop_at=8)
    assert not (tmp_path / "halved" / "model").exists()
    rows = []
    train(tmp_path / "halved", SMALL, rows.append)
    assert [row["step"] for row in rows] == list(range(8, 16))
    name = "model/model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halved" / name).read_bytes()


def test_a_folder_with_other_settings_is_refused(tmp_path):
    train(tmp_path, SMALL, stop_at=8)
    with pytest.raises(TrainingError, match="other settings"):
        train(tmp_path, TrainSettings(steps=16, rows=2))


def test_batches_are_a_function_of_seed_and_block():
    from cai.embedded import weights_path
    from cai.embedded.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(weights_path())
    first, again, other = (block_of_batches(SMALL, tokenizer, block) for block in (0, 0, 1))
    assert all((a[0].ids == b[0].ids).all() for a, b in zip(first, again, strict=True))
    assert not (first[0][0].ids == other[0][0].ids).all()
