from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cai.cli.embedded import embedded
from cai.embedded import people_path, prompts_path
from cai.embedded.evaluate import BARS
from cai.errors import InputError


def _run(*args: str):
    result = CliRunner().invoke(embedded, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_preferences_are_the_shipped_file(tmp_path):
    _run("preferences", "--out", tmp_path / "p.jsonl")
    assert (tmp_path / "p.jsonl").read_bytes() == people_path().read_bytes()
    assert _run("preferences").stdout == people_path().read_text(encoding="utf-8")
    assert _run("preferences", "--seed", "1").stdout != people_path().read_text(encoding="utf-8")


def test_prompts_are_the_shipped_file(tmp_path):
    _run("prompts", "--out", tmp_path / "p.jsonl")
    assert (tmp_path / "p.jsonl").read_bytes() == prompts_path().read_bytes()
    assert _run("prompts").stdout == prompts_path().read_text(encoding="utf-8")


def test_evaluate_prints_every_key(tmp_path):
    figures = json.loads(_run("evaluate", "--count", "10", "--json").stdout)
    assert set(figures) == set(BARS)
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 and one["n"] > 0 for one in figures.values())


def test_evaluate_says_where_no_model_is(tmp_path):
    with pytest.raises(InputError, match="no model here"):
        CliRunner().invoke(embedded, ["evaluate", "--model", str(tmp_path)], catch_exceptions=False)


@pytest.mark.slow
def test_train_writes_a_model_that_can_be_measured(tmp_path):
    _run("train", "--out", tmp_path, "--steps", "2", "--quiet")
    output = _run("evaluate", "--model", tmp_path / "model", "--count", "10", "--json").stdout
    assert set(json.loads(output)) == set(BARS)
