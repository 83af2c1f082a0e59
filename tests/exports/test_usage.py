"""What a trainer is told to read a format: it names files and columns that are there, and a user can find it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasets import load_dataset

from cai.cli import main
from cai.exports import EXPORTS, load_export
from cai.pipeline.export_run import ExportRequest, export_run
from tests.exports.sample_run import write_sample_run


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return write_sample_run(tmp_path_factory.mktemp("sample") / "run", "single")


@pytest.fixture(scope="module")
def exported(sample) -> Path:
    return Path(export_run(sample, ExportRequest(("all",)))["out"])


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPORTS)
def test_every_format_says_how_it_is_read_with_files_and_columns_that_it_has(name, exported):
    export = load_export(name)
    assert export.usage
    for file in re.findall(r"FOLDER/([\w.]+)", export.usage):
        assert (exported / name / file).is_file()
    columns = re.findall(r"\w+_key[ =](\w+)", export.usage)
    assert set(columns) <= export.columns.keys()
    assert bool(columns) == name.startswith(("openrlhf", "verl"))
    for entry in re.findall(r"dataset: (\w+)", export.usage):
        assert entry in json.loads((exported / name / "dataset_info.json").read_text())


def test_ultrafeedbacks_splits_are_said_and_read_by_their_names(exported, tmp_path):
    [named] = re.findall(r"dataset_splits: \[(.+?)\]", load_export("ultrafeedback").usage)
    for split in named.split(", "):
        assert load_dataset(str(exported / "ultrafeedback"), split=split, cache_dir=str(tmp_path)).num_rows


def test_the_list_shows_it_within_120_columns():
    done = CliRunner().invoke(main, ["export", "--list"])
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 120
    assert {name: [line.split(None, 1)[1] for line in lines if line.split()[:1] == [name]][-1] for name in EXPORTS} == {
        name: load_export(name).usage for name in EXPORTS
    }


def test_the_card_shows_it_of_the_formats_that_are_there(exported, sample, tmp_path):
    card = card_of(exported)
    for name in EXPORTS:
        assert f"\n- `{name}`: `{load_export(name).usage}`\n" in card
    export_run(sample, ExportRequest(("openrlhf_preference",), tmp_path / "one", files=("parquet",)))
    card = card_of(tmp_path / "one")
    assert "- `openrlhf_preference`: `--data.dataset FOLDER/train.parquet --data.apply_chat_template" in card
    assert "train.jsonl" not in card
    assert "`axolotl_kto`" not in card
