"""Two processes on gloo, started as a user starts them, end where one ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import MistralConfig, MistralForCausalLM

from cai.models.reward import score_responses
from cai.training.parallel import Team
from tests.tiny import build_tiny_model, build_tiny_tokenizer
from tests.training.launched import train
from tests.training.planted import preferences, weights_hash
from tests.training.test_backbones import encoder

pytestmark = pytest.mark.timeout(1800)
ACCELERATE = str(Path(sys.executable).parent / "accelerate")
WAYS = {"data_parallel": ["--multi_gpu"], "sharded": ["--use_fsdp", "--fsdp_version", "2"]}


def launch(
    way: str, base: Path, out: Path, last: int = 0, how: str = "whole", script: str = "launched.py"
) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    plain = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    file = Path(__file__).with_name(script)
    return subprocess.run(
        [ACCELERATE, "launch", *WAYS[way], *plain, "--main_process_port", port, file, base, out, str(last), how],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def losses(out: Path) -> list[float]:
    return json.loads((out / "training.json").read_text())["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["whole", "adapters", "frozen", "listwise"])
def test_two_processes_learn_what_one_learns(tmp_path, way, how):
    base = build_tiny_model(tmp_path / "base")
    train(base, tmp_path / "one", how=how)
    done = launch(way, base, tmp_path / "two", how=how)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    asked = [(one.prompt.messages, one.response_a) for one in preferences(9, seed=1)]
    assert score_responses(tmp_path / "two", asked) == pytest.approx(score_responses(tmp_path / "one", asked), abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "one", "two"]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_go_on_where_they_were_stopped(tmp_path, way):
    base = build_tiny_model(tmp_path / "base")
    assert launch(way, base, tmp_path / "whole").returncode == 0
    assert launch(way, base, tmp_path / "cut", last=5).returncode != 0
    assert (tmp_path / "left").is_dir()
    assert launch(way, base, tmp_path / "cut").returncode == 0
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def windowed(folder: Path) -> Path:
    """A Mistral that reads a shorter window than a row is, at which a trial of packed rows breaks off."""
    tokenizer = build_tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = MistralConfig(vocab_size=len(tokenizer), **shape, num_key_value_heads=2, sliding_window=24, **ids)
    MistralForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "how", "why"),
    [
        (windowed, "whole", "cannot read packed rows: its attention has a window of 24 tokens"),
        (encoder, "adapters", "does not score the last token"),
    ],
)
def test_shards_that_cannot_be_packed_learn_what_one_process_learns(tmp_path, build, how, why):
    base = build(tmp_path / "base")
    train(base, tmp_path / "one", how=how)
    done = launch("sharded", base, tmp_path / "two", how=how)
    assert done.returncode == 0, done.stderr
    assert any(why in note for note in json.loads((tmp_path / "two/training.json").read_text())["report"]["notes"])
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    asked = [(one.prompt.messages, one.response_a) for one in preferences(9, seed=1)]
    assert score_responses(tmp_path / "two", asked) == pytest.approx(score_responses(tmp_path / "one", asked), abs=1e-3)


@pytest.mark.slow
def test_no_process_holds_more_of_a_sharded_model_than_it_must(tmp_path):
    base = build_tiny_model(tmp_path / "base")
    (tmp_path / "held").mkdir()
    done = launch("sharded", base, tmp_path / "held", script="held.py")
    assert done.returncode == 0, done.stderr
    leader, other = (json.loads((tmp_path / f"held/{number}.json").read_text()) for number in (0, 1))
    largest, whole = max(leader["sizes"]), sum(leader["sizes"])
    for one in (leader, other):
        assert one["parted"] and all(one["parted"]), "before the first pass, which is a trial"
        assert len(one["saving"]) == 3 * len(one["sizes"]) == 3 * len(one["ending"]), "weights, and two moments of each"
    assert leader["saving"][-1] >= 3 * whole > whole > 8 * largest
    assert max(other["saving"]) <= 2 * largest and max(other["ending"]) <= 2 * largest


def test_one_process_is_a_team_that_leads():
    team = Team.gathered()
    assert (team.size, team.number, team.leads, team.shards) == (1, 0, True, False)
    assert team.first(lambda: 3) == 3 and team.told({"a": 1}) == {"a": 1} and team.summed(2.5) == 2.5
