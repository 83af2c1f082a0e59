from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file

from cai.embedded import curriculum
from cai.embedded.batches import block_of_batches, blocks
from cai.embedded.train import TrainSettings, learning_rate, train
from cai.errors import EngineError, TrainingError

SMALL = TrainSettings(
    steps=16, rows=2, hidden=32, inner=48, layers=2, heads=2, warmup=4, tokenizer_groups=60, checkpoint_every=8
)

KEPT = ("state.json", "weights.safetensors", "averaged.safetensors", "before.safetensors", "optimizer.safetensors")
TAUGHT = {
    0: "a8c4be4e", 272: "7dafac7c", 1064: "bd6b28fb", 1864: "d065e8ea", 2664: "2cbca591", 5056: "93fd5b45",
    6648: "511d094f", 7048: "5f9272f9", 7400: "a97b573a", 7800: "0eea8a37", 8200: "0ff4e977", 9000: "3c9abef2",
    9600: "ea79784f",
}  # fmt: skip
"""What the shipped weights were taught in the eight steps from the beginning of each phase on."""


@pytest.mark.parametrize("step", TAUGHT)
def test_the_recipe_teaches_what_the_shipped_weights_were_taught(step):
    from cai.embedded import weights_path
    from cai.embedded.tokenizer import load_tokenizer

    told = hashlib.blake2b(digest_size=4)
    for parts in block_of_batches(TrainSettings(), load_tokenizer(weights_path()), step // 8, 2):
        for part in parts:
            told.update(part.ids.numpy().tobytes())
            told.update(part.weights.numpy().tobytes())
    assert told.hexdigest() == TAUGHT[step]
    first, *later = TrainSettings().falls[:-1]
    begun = [*(int(share * first) for share in curriculum.CURRICULUM), first, *later]
    assert [-(-one // 8) * 8 for one in begun] == list(TAUGHT)


@pytest.mark.parametrize("steps", [100, TrainSettings().steps])
def test_the_rate_rises_stays_and_falls_again_and_again_whatever_the_number_of_steps(steps):
    settings = TrainSettings(steps=steps, warmup=4)
    rates, (first, *_, end) = [learning_rate(settings, step) for step in range(steps)], settings.falls
    shares = [round(share * steps) for share, _ in curriculum.LATER]
    assert [until - begun for begun, until in pairwise(settings.falls)] == shares
    assert rates[:3] == [0.25, 0.5, 0.75] and set(rates[3 : first // 2]) == {1.0} and end == steps
    assert {rates[begun] for begun in settings.falls[:-1]} == {settings.finish_lr} and rates[first - 1] < 0.2
    for begun, until in ((first // 2 + 1, first), *pairwise(settings.falls)):
        assert all(before > after > 0 for before, after in pairwise(rates[begun:until]))


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    train(tmp_path / "whole", SMALL)
    train(tmp_path / "halved", SMALL, stop_at=8)
    assert not (tmp_path / "halved" / "model").exists()
    rows = []
    train(tmp_path / "halved", SMALL, rows.append)
    assert [row["step"] for row in rows] == list(range(8, 16))
    name = "model/model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halved" / name).read_bytes()


def test_what_is_saved_lies_halfway_between_the_ends_of_the_last_two_falls(tmp_path):
    settings = replace(SMALL, steps=50, checkpoint_every=8)
    begun = settings.falls[-2]
    train(tmp_path / "cut", settings, stop_at=begun)
    at_the_fall = load_file(tmp_path / "cut" / "checkpoint" / "averaged.safetensors")
    assert json.loads((tmp_path / "cut" / "checkpoint" / "state.json").read_text())["step"] == begun
    train(tmp_path / "cut", settings)
    last = {name: load_file(tmp_path / "cut" / "checkpoint" / f"{name}.safetensors") for name in ("before", "averaged")}
    saved = load_file(tmp_path / "cut" / "model" / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    assert all(torch.equal(last["before"][one], value) for one, value in at_the_fall.items())
    middle = (last["before"][name] + last["averaged"][name]) / 2
    assert torch.equal(saved[name], middle.half()) and not torch.equal(last["before"][name], last["averaged"][name])
    train(tmp_path / "whole", settings)
    model = "model/model.safetensors"
    assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()


def test_a_training_takes_as_many_steps_as_it_is_told_and_keeps_their_losses(tmp_path):
    rows = []
    train(tmp_path, replace(SMALL, steps=11), rows.append)
    assert [row["step"] for row in rows] == list(range(11))
    log = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(11))
    assert all(learning_rate(replace(SMALL, steps=11), step) > 0 for step in range(11))


def test_a_device_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(EngineError, match=r"device cuda:99 is not there: .*; cpu is"):
        train(tmp_path / "out", SMALL, device="cuda:99")
    assert not (tmp_path / "out").exists()


def test_a_device_of_no_known_kind_is_refused_and_so_is_a_file_for_a_folder(tmp_path):
    with pytest.raises(EngineError, match=r"device banana is not known .expected cpu, cuda, cuda:1, mps"):
        train(tmp_path / "out", SMALL, device="banana")
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="file is a file; a folder is wanted"):
        train(tmp_path / "file", SMALL)


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_are_dealt_to_the_shards_evenly(rows):
    with pytest.raises(ValueError, match="a multiple of 2 is wanted"):
        replace(SMALL, rows=rows)


@pytest.mark.parametrize("tokenizer", [None, "garbage"])
def test_a_training_without_its_tokenizer_is_one_clear_line(tmp_path, tokenizer):
    train(tmp_path, SMALL, stop_at=8)
    path = tmp_path / "tokenizer" / "tokenizer.json"
    path.write_text(tokenizer, encoding="utf-8") if tokenizer else shutil.rmtree(path.parent)
    with pytest.raises(TrainingError, match="the tokenizer of this training is missing or broken; remove"):
        train(tmp_path, SMALL)


def test_a_folder_with_other_settings_is_refused(tmp_path):
    train(tmp_path, SMALL, stop_at=8)
    with pytest.raises(TrainingError, match="other settings"):
        train(tmp_path, TrainSettings(steps=16, rows=2))


@pytest.mark.parametrize("broken", [*(f"checkpoint/{name}" for name in KEPT), "log.jsonl"])
def test_a_broken_file_of_a_training_is_one_clear_line(tmp_path, broken):
    train(tmp_path, SMALL, stop_at=8)
    (tmp_path / broken).write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match=f"{broken.split('/')[0]}.*is broken .*; remove it"):
        train(tmp_path, SMALL)


def test_every_phase_of_four_hundred_steps_is_met(monkeypatch):
    from cai.embedded import corpus, weights_path
    from cai.embedded.tokenizer import load_tokenizer

    met = []
    kept = corpus.groups
    monkeypatch.setattr(corpus, "groups", lambda seed, phase: met.append(phase) or kept(seed, phase))
    settings, tokenizer = replace(SMALL, steps=400), load_tokenizer(weights_path())
    for block in range(settings.steps // 8):
        block_of_batches(settings, tokenizer, block, 2)
    assert list(dict.fromkeys(met)) == list(curriculum.PHASES)


def test_a_checkpoint_without_what_its_last_fall_began_with_is_broken(tmp_path):
    settings = replace(SMALL, steps=50, checkpoint_every=8)
    train(tmp_path, settings, stop_at=settings.falls[-2])
    save_file({}, tmp_path / "checkpoint" / "before.safetensors")
    with pytest.raises(TrainingError, match=r"before\.safetensors.*; remove it to begin anew"):
        train(tmp_path, settings)


def test_batches_are_a_function_of_seed_and_block():
    from cai.embedded import weights_path
    from cai.embedded.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(weights_path())
    first, again, other = (block_of_batches(SMALL, tokenizer, block, 2) for block in (0, 0, 1))
    assert all((a[0].ids == b[0].ids).all() for a, b in zip(first, again, strict=True))
    assert not (first[0][0].ids == other[0][0].ids).all()


@pytest.mark.parametrize("in_processes", [False, True])
def test_blocks_drawn_ahead_are_those_of_their_numbers_whole_or_in_parts(in_processes):
    from cai.embedded import weights_path
    from cai.embedded.tokenizer import load_tokenizer

    tokenizer, shards = load_tokenizer(weights_path()), 1 if in_processes else 2
    drawn = blocks(SMALL, tokenizer, 3, shards, in_processes)
    for number, block in zip(range(3, 7), drawn, strict=False):
        parts = block_of_batches(SMALL, tokenizer, number, 2)
        assert len(block) == len(parts) and {len(one) for one in block} == {shards}
        for one, two in zip(block, parts, strict=True):
            for name in ("ids", "mask", "targets", "weights"):
                whole = torch.cat([getattr(part, name) for part in one])
                assert whole.equal(torch.cat([getattr(part, name) for part in two]))
    drawn.close()
