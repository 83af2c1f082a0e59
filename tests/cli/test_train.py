from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from tests.tiny import build_tiny_model
from tests.training.planted import dialogues, preferences

SMALL = ["--set", "lr=3e-3", "--set", "epochs=2", "--set", "batch_size=16", "--set", "reward.max_length=128"]
HARMLESS = Path(__file__).resolve().parents[2] / "../shared/data/preference_pairs/hh_harmless_dev.jsonl"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": one.prompt.messages[0].content, "chosen": one.chosen, "rejected": one.rejected}
        for one in preferences(80)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def cai(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_reward_is_trained_and_measured_alike_by_both_commands(base, pairs, tmp_path):
    out = tmp_path / "rm"
    done = cai("train", "reward", "--preferences", pairs, "--model", f"hf/{base}", "--out", out, "--json", *SMALL)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    held_out = result["held_out"]
    assert held_out["accuracy"]["value"] > 0.9
    assert held_out["pairs"] + result["training"]["rows_given"] == 80
    assert 5 < held_out["pairs"] < 30
    measured = cai("evaluate", "reward", "--model", out, "--preferences", pairs, "--json")
    assert json.loads(measured.stdout)["held_out"] == held_out
    told = cai("evaluate", "reward", "--model", out, "--preferences", pairs, "--split", "all")
    assert "held-out pairs 80" in told.stdout and "always longer" in told.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["rm"]


def test_a_runs_own_preferences_keep_their_soft_labels_and_split(base, tmp_path):
    file = tmp_path / "preferences.jsonl"
    file.write_text("".join(json.dumps(one.to_json()) + "\n" for one in preferences(20, p=0.7)))
    done = cai(
        "train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm", "--json", *SMALL
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["training"]["rows_given"] == 20 and result["held_out"] is None


def test_sft_is_trained_on_a_file_of_messages(base, tmp_path):
    file = tmp_path / "data.jsonl"
    rows = [{"messages": [message.to_json() for message in one]} for one in dialogues(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cai("train", "sft", "--data", file, "--model", f"hf/{base}", "--out", tmp_path / "sft", "--set", "lr=1e-3")
    assert done.exit_code == 0, done.output
    assert "20 given, 20 used" in done.stdout and (tmp_path / "sft/model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("--set", "epoch=2"), "did you mean 'epochs'"),
        (("--set", "lr=fast"), "lr"),
        (("--model", "openai/x@http://localhost"), "hf/PATH"),
        (("--model", "hf/nowhere"), "nowhere is not a model folder"),
        (("--preferences", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(base, pairs, tmp_path, change, problem):
    options = {"--preferences": str(pairs), "--model": f"hf/{base}", "--out": str(tmp_path / "rm")}
    options |= {change[0]: change[1]}
    done = cai("train", "reward", *[part for pair in options.items() for part in pair])
    assert done.exit_code == 2
    error = done.stderr.strip()
    assert problem in error and len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*rm*"))


def test_a_dialogue_that_ends_with_the_user_has_its_line(base, tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "q"}]}\n')
    done = cai("train", "sft", "--data", file, "--model", f"hf/{base}", "--out", tmp_path / "sft")
    assert done.exit_code == 2 and f"{file}:1" in done.stderr and "must end with an assistant turn" in done.stderr


@pytest.mark.skipif(not HARMLESS.is_file(), reason="no real pairs here")
def test_real_pairs_from_a_random_model(base, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join(HARMLESS.read_text(encoding="utf-8").splitlines(keepends=True)[:60]), encoding="utf-8")
    done = cai(
        "train", "reward", "--preferences", few, "--model", f"hf/{base}", "--out", tmp_path / "rm", "--json",
        "--set", "epochs=1", "--set", "max_rejected=1", *SMALL[4:],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    training = json.loads(done.stdout)["training"]
    assert training["rows_given"] == training["rows_used"] + training["rows_too_long"]
    assert training["rows_truncated"] > 0
