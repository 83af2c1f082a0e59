"""What `cai train reward` says of labels and weights that are not as they should be."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.records import Preference
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

SMALL = ["--set", "lr=3e-3", "--set", "epochs=1", "--set", "batch_size=16", "--set", "reward.max_length=128"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def train(base: Path, file: Path, *more: str):
    out = file.with_name("rm")
    command = ["train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", out, *SMALL, *more]
    return CliRunner().invoke(main, [str(one) for one in command])


def written(file: Path, rows: list[Preference], **changed: object) -> Path:
    """A run's own preferences, the second with other cells."""
    cells = [one.to_json() for one in rows]
    cells[1] |= changed
    file.write_text("".join(json.dumps(one) + "\n" for one in cells))
    return file


@pytest.mark.parametrize("own", [True, False], ids=["preferences.jsonl", "trl"])
def test_labels_of_a_judge_that_left_their_run_are_said_to_have_no_audit(base, tmp_path, own):
    file, rows = tmp_path / "copied.jsonl", preferences(20)
    if own:
        written(file, rows)
    else:
        pairs = [
            {"prompt": one.prompt.messages[0].content, "chosen": one.chosen, "rejected": one.rejected, "source": "ai"}
            for one in rows
        ]
        file.write_text("".join(json.dumps(one) + "\n" for one in pairs))
    done = train(base, file, "--json")
    assert done.exit_code == 0, done.output
    said = "no audit of these labels is known"
    assert done.stderr == f"{file}: {said}: an AI judge gave 20, and the file lies in no run\n"
    assert json.loads(done.stdout)["audit"] == said
    assert json.loads((tmp_path / "rm" / "training.json").read_text())["audit"] == said


def test_of_labels_that_people_gave_no_audit_is_asked(base, tmp_path):
    file = written(tmp_path / "people.jsonl", [replace(one, source="human") for one in preferences(20)])
    done = train(base, file, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "audit" not in json.loads(done.stdout)
    assert "audit" not in json.loads((tmp_path / "rm" / "training.json").read_text())


@pytest.mark.parametrize("weight", [math.inf, -math.inf, math.nan])
def test_a_weight_that_is_not_finite_is_refused_at_its_line(base, tmp_path, weight):
    file = written(tmp_path / "preferences.jsonl", preferences(4), weight=weight)
    done = train(base, file)
    assert done.exit_code != 0 and done.stderr.count("\n") == 1
    assert f"{file}:2: " in done.stderr and f"weight {weight}" in done.stderr
    assert not (tmp_path / "rm").exists()


def test_rows_that_all_weigh_nothing_are_refused_by_that_name(base, tmp_path):
    rows = [replace(one, weight=0.0, source="human") for one in preferences(12)]
    done = train(base, written(tmp_path / "preferences.jsonl", rows))
    assert done.exit_code != 0 and done.stderr.count("\n") == 1
    assert "nothing can be trained on: all 12 rows have weight 0" in done.stderr


def test_a_prompt_with_too_many_answers_for_a_list_is_refused_before_training(base, tmp_path):
    [one] = preferences(1)
    rows = [replace(one, response_b=f"{number}.", source="human") for number in range(11)]
    done = train(base, written(tmp_path / "preferences.jsonl", rows), "--set", "loss=listwise")
    assert done.exit_code != 0 and done.stderr.count("\n") == 1
    assert "reward.loss: listwise takes at most 10 answers a prompt" in done.stderr
    assert "What is the capital?" in done.stderr and not (tmp_path / "rm").exists()
