"""Files of pairs as `cai train reward` and `cai evaluate reward` take them: every shape of ours, and every side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.cli.pair_files import read_pairs
from cai.records import Json, Preference
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

SMALL = ["--set", "lr=3e-3", "--set", "epochs=1", "--set", "batch_size=16", "--set", "max_length=128"]
WHOLE = {"prompt": "What is it?", "chosen": "Paris.", "rejected": "Flour."}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def cai(*arguments: object):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def write(file: Path, rows: list[Json]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def on_the_side(split: str, rows: list[Preference]) -> list[Preference]:
    return [replace(one, prompt=replace(one.prompt, split=split)) for one in rows]


# ------------------------------------------------------------------------------------------- nothing left to train on

ASKED = [{**WHOLE, "prompt": f"What is it? {n}"} for n in range(3)]
SAID = [{**one, "split": "test"} for one in ASKED]
OWN = [one.to_json() for one in on_the_side("test", preferences(3))]


@pytest.mark.parametrize(
    ("rows", "query", "more", "told"),
    [
        (SAID, "", (), "all 3 pairs are held out (split test); the file or its name says so; ?split=train on its name"),
        (ASKED, "?split=test", (), "all 3 pairs are held out (split test); the file or its name says so; ?split=train"),
        (ASKED[:1], "", ("--test-share", 0.999999), "its one pair is held out (split test); --test-share 0 trains on"),
        (OWN, "", (), "all 3 pairs are held out (split test); their prompts say so; name a file that has pairs with"),
    ],
    ids=["rows", "name", "drawn", "run"],
)
def test_pairs_that_are_all_held_out_are_told_before_a_model_is_loaded(tmp_path, rows, query, more, told):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("no model can be loaded from this")
    file = f"{write(tmp_path / 'pairs.jsonl', rows)}{query}"
    out = tmp_path / "rm"
    done = cai("train", "reward", "--preferences", file, "--model", f"hf/{model}", "--out", out, *more)
    assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1, done.output
    assert f"{file}: nothing to train on: {told}" in done.stderr
    assert not done.stdout and not out.exists()


def test_what_is_told_of_held_out_pairs_has_them_trained_on(tmp_path):
    drawn, said = write(tmp_path / "drawn.jsonl", ASKED), write(tmp_path / "said.jsonl", SAID)
    for file, share in ((str(drawn), 0.0), (f"{said}?split=train", 0.2)):
        assert [one.prompt.split for one in read_pairs(file, share)] == ["train"] * 3
    assert {one.prompt.split for one in read_pairs(str(said), 0.0)} == {"test"}
