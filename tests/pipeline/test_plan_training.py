"""A plan of a run that trains: the policy that is not there yet, the training steps, and that nothing is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from cai.errors import AuditError
from cai.pipeline.make_plan import make_plan
from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe
from cai.records import Json
from cai.storage.run import Run
from tests.pipeline.runs import write_prompts
from tests.pipeline.test_plan import files, planned
from tests.tiny import build_tiny_model

SMALL = {
    "limit": 8,
    "evaluate.prompts": 2,
    "audit.items": 2,
    "critique.rounds": 1,
    "sft.epochs": 1,
    "max_rejected": 1.0,
}


def test_the_policy_to_be_trained_is_counted_and_not_asked(tmp_path: Path) -> None:
    plan = make_plan(load_recipe("demo", SMALL), tmp_path / "out" / "run", probe=0)
    rows = {row["step"]: row for row in plan["steps"]}
    assert plan["untrained_policy"]
    assert (rows["sample"]["calls"], rows["sample"]["calls_exact"]) == (8 * 4, True)
    assert (rows["evaluate"]["calls_exact"], rows["label"]["calls_high"]) == (True, 8 * 3 * 16 * 2)
    assert rows["sft"]["training_steps"] == -(-len(_train_prompts()) // 16)
    assert "sft" in plan["unmeasured"] and "reward" in plan["unmeasured"]
    assert not (tmp_path / "out").exists()


def test_the_ranked_answers_that_are_mixed_in_are_trained_on_too(tmp_path: Path) -> None:
    def steps(**human: Any) -> int:
        settings = {**SMALL, **{f"preferences.{name}": value for name, value in human.items()}}
        plan = make_plan(load_recipe("demo", settings), tmp_path / "out" / "run", probe=0)
        return next(row["training_steps"] for row in plan["steps"] if row["step"] == "reward")

    alone = steps(human=[])
    assert steps(human=["embedded"], human_share=None) - alone == pytest.approx(5 * 288 / 16, abs=5)
    assert alone < steps(human=["embedded"], human_share=0.5) <= 2 * alone + 5


def _train_prompts() -> list[str]:
    from cai.embedded import prompts_path
    from cai.prompts import read_prompts

    return [one.id for one in read_prompts([str(prompts_path())], limit=8).prompts if one.split == "train"]


@pytest.mark.slow
def test_a_plan_of_a_training_run_keeps_no_model_and_is_exact_where_it_says_so(tmp_path: Path) -> None:
    recipe = load_recipe("demo", {**SMALL, "until": "sample"})
    before = set(Path(tempfile.gettempdir()).glob("cai-plan-*"))
    plan = make_plan(recipe, tmp_path / "run", probe=12)
    assert set(Path(tempfile.gettempdir()).glob("cai-plan-*")) == before
    assert {Path(name).name for name in files(tmp_path)} == {"calls.sqlite", "speeds.json"}
    assert plan["unmeasured"] == []
    summary = run_recipe(recipe, tmp_path / "run", until="sample")
    done = {one["step"]: one for one in summary["stages"]}
    for step, (calls, saved) in planned(plan, "calls", "answered").items():
        assert (done[step]["calls_made"], done[step]["calls_saved"]) == (calls, saved), step
    [sft] = [row for row in plan["steps"] if row["step"] == "sft"]
    assert sft["training_steps"] == Run.existing(tmp_path / "run").steps["sft"]["steps"]
    again = make_plan(recipe, tmp_path / "run", probe=12)
    assert again["total"]["calls"] == 0


def test_a_training_is_timed_also_where_no_model_is_to_be_asked(tmp_path: Path) -> None:
    """A few steps on the run's own labels; without a probe, by the rows a second of the last training."""
    overrides: Json = {
        "prompts": [str(write_prompts(tmp_path, 12, 0))], "model": "fake", "train": ["reward"], "audit.items": 0,
        "sample.policy": "base", "reward.init": f"hf/{build_tiny_model(tmp_path / 'tiny')}", "max_rejected": 1.0,
    }  # fmt: skip
    run_recipe(load_recipe("rl-cai", overrides), tmp_path / "run", accept_audit=True)
    longer = load_recipe("rl-cai", {**overrides, "reward.epochs": 6, "reward.batch_size": 4})
    rows = {}
    for probe, timed in ((8, "probe"), (0, "run")):
        with pytest.raises(AuditError, match="the judge has no audit"):
            make_plan(longer, tmp_path / "run", probe=probe)
        plan = make_plan(longer, tmp_path / "run", probe=probe, accept_audit=True)
        [rows[timed]] = [row for row in plan["steps"] if row["training_steps"]]
        assert rows[timed]["timed"] == timed and rows[timed]["seconds"] > 0 and plan["unmeasured"] == []
        assert plan["probe"]["calls"] == 0
    done = Run.existing(tmp_path / "run").steps["reward"]
    a_step = done["seconds"] / (done["steps"] * done["settings"]["batch_size"]) * 4
    assert rows["run"]["seconds"] == pytest.approx(rows["run"]["training_steps"] * a_step, abs=0.06)
