"""What is asked, what is saved, what is stale, and that nothing is lost."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cai.cli import main
from cai.constitution import load_constitution
from cai.errors import CAIError, ConfigError, EngineError, InputError, RunError
from cai.human_preferences import read_human_preferences
from cai.pipeline import job
from cai.pipeline.staleness import why_stale
from cai.pipeline.status import run_status
from cai.records import Draft, Judgement
from cai.storage.run import Run, read_rows
from tests.pipeline.runs import all_files, calls, fake_run, write_prompts
from tests.tiny import build_tiny_model


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path)


def constitution_file(folder: Path, name: str = "my.yaml") -> Path:
    source = load_constitution("minimal").path
    assert source is not None
    path = folder / name
    path.write_bytes(source.read_bytes())
    return path


def edited(path: Path, form: str, principle: int = 0, text: str = "Which answer is calmer?") -> None:
    value = yaml.safe_load(path.read_text())
    value["principles"][principle][form] = text
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def test_every_row_is_in_the_output_or_among_the_rejects(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts, "fake?reject=0.2&fail=0.1")
    steps = {one["step"]: one for one in summary["stages"]}
    before = steps["prompts"]["rows"]
    assert before == 28
    for step in ("respond", "critique-1", "revise-1", "critique-2", "revise-2"):
        assert steps[step]["rows"] + steps[step]["rejected"] == before
        assert sum(steps[step]["reasons"].values()) == steps[step]["rejected"]
        before = steps[step]["rows"]
        rejected = tmp_path / "run" / f"{step}.rejected.jsonl"
        rows = list(read_rows(rejected)) if rejected.exists() else []
        assert Counter(row["reason"] for row in rows) == steps[step]["reasons"]
        assert all(row["answers"] and row["record"] for row in rows)
    assert steps["respond"]["rejected"] > 0


def test_chains_hold_two_rounds_for_red_team_and_none_for_helpful(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    drafts = [Draft.from_json(row) for row in read_rows(tmp_path / "run" / "revise-2.jsonl")]
    assert Counter((draft.prompt.kind, len(draft.rounds)) for draft in drafts) == {
        ("red_team", 2): 20,
        ("helpful", 0): 8,
    }
    known = {one.id for one in load_constitution("harmlessness").principles}
    assert all(one.principle_id in known and one.revision for draft in drafts for one in draft.rounds)


def test_a_second_run_asks_nothing_and_writes_nothing(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.jsonl")}
    log = tmp_path / "log"
    fake_run(tmp_path / "run", prompts, f"fake?log={log}")
    assert not log.exists() or log.read_text() == ""
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.jsonl")}


def test_another_run_of_the_same_asks_nothing_and_gives_equal_bytes(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "one", prompts)
    summary = fake_run(tmp_path / "two", prompts)
    assert calls(summary) == {}
    assert all_files(tmp_path / "one") == all_files(tmp_path / "two")


def test_editing_one_of_k_principles_asks_one_kth_of_the_label_calls(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    settings: dict[str, Any] = {"constitution": str(mine), "label__principles_per_pair": "all"}
    first = calls(fake_run(tmp_path / "run", prompts, **settings))
    edited(mine, "comparison")
    second = calls(fake_run(tmp_path / "run", prompts, **settings))
    assert len(load_constitution(str(mine)).principles) == 3
    assert first["label"] == 20 * 3 * 2
    assert second == {"label": first["label"] // 3}


def test_removing_a_principle_moves_only_the_rows_that_had_drawn_it(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, red_team=300, helpful=0)
    mine = constitution_file(tmp_path)
    fake_run(tmp_path / "run", prompts, until="critique-1", constitution=str(mine))
    drafts = [Draft.from_json(row) for row in read_rows(tmp_path / "run" / "critique-1.jsonl")]
    value = yaml.safe_load(mine.read_text())
    gone = value["principles"].pop(1)["id"]
    value.pop("tests", None)
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    summary = fake_run(tmp_path / "run", prompts, until="critique-1", constitution=str(mine))
    had = sum(draft.rounds[0].principle_id == gone for draft in drafts)
    assert calls(summary) == {"critique-1": had}
    assert abs(had - 100) < 4 * math.sqrt(300 * 2 / 9)


def test_changing_what_is_made_of_votes_asks_nothing(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    raw = (tmp_path / "run" / "preferences.jsonl").read_text()
    summary = fake_run(tmp_path / "run", prompts, preferences__clamp=[0.4, 0.6])
    assert calls(summary) == {}
    assert [one["step"] for one in summary["stages"] if one["ran"]] == ["preferences", "export"]
    clamped = [row["p_a"] for row in read_rows(tmp_path / "run" / "preferences.jsonl")]
    assert all(0.4 <= p <= 0.6 for p in clamped)
    assert {0.4, 0.6} & set(clamped)
    assert raw != (tmp_path / "run" / "preferences.jsonl").read_text()


def test_status_says_which_principle_was_edited_and_what_follows(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    fake_run(tmp_path / "run", prompts, constitution=str(mine))
    assert [row["step"] for row in run_status(tmp_path / "run") if row["stale"]] == []
    edited(mine, "revision", 0, "Rewrite it calmly.")
    first = load_constitution(str(mine)).principles[0].id
    why = {row["step"]: row["why"] for row in run_status(tmp_path / "run") if row["stale"]}
    assert why["revise-1"] == f"principle '{first}' was edited"
    assert why["critique-2"] == "revise-1 is to be done again"
    assert {"respond", "critique-1", "sample", "label", "preferences"}.isdisjoint(why)


def test_status_names_all_causes_and_no_more_than_a_handful(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    fake_run(tmp_path / "run", prompts, constitution=str(mine), label__examples=True, export__formats=["sft"])
    example = {"prompt": "p", "comparison": "q", "response_a": "x", "response_b": "y", "better": "a"}
    value = yaml.safe_load(mine.read_text()) | {"examples": {"comparison": [example]}}
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    for number in range(2):
        edited(mine, "comparison", number, f"Which answer is the kinder one, by test {number}?")
    ids = [one.id for one in load_constitution(str(mine)).principles]
    why = {row["step"]: row["why"] for row in run_status(tmp_path / "run") if row["stale"]}
    causes = why["label"].split("; ")
    assert sorted(causes[-2:]) == [f"principle '{one}' was edited" for one in sorted(ids[:2])]
    assert any(one.startswith("examples") for one in causes) and len(causes) == 3
    assert why["preferences"] == "label is to be done again"


def test_of_more_causes_than_a_handful_the_rest_is_counted() -> None:
    run, settings = Run(Path("nowhere")), dict.fromkeys("abcdef", 1)
    run.steps["x"] = {"inputs": {}, "settings": settings, "files": {}}
    planned = {"reads": [], "settings": dict.fromkeys("abcdef", 2)}
    assert why_stale(run, "x", planned, {}) == "a: 1 -> 2; b: 1 -> 2; c: 1 -> 2; d: 1 -> 2; and 2 more"


def test_a_deleted_file_is_made_again_from_the_store_and_an_edited_one_is_an_error(
    tmp_path: Path, prompts: Path
) -> None:
    fake_run(tmp_path / "run", prompts)
    whole = all_files(tmp_path / "run")
    (tmp_path / "run" / "revise-1.jsonl").unlink()
    fake_run(tmp_path / "run", prompts)
    assert all_files(tmp_path / "run") == whole
    with (tmp_path / "run" / "revise-1.jsonl").open("a") as handle:
        handle.write("{}\n")
    with pytest.raises(RunError, match=r"revise-1\.jsonl: not the file that step 'revise-1' wrote"):
        fake_run(tmp_path / "run", prompts)


def test_too_many_rejects_stop_the_run_and_can_be_read(tmp_path: Path, prompts: Path) -> None:
    with pytest.raises(RunError, match=r"respond: \d+ of 28 records were rejected .* cut off at max_tokens"):
        fake_run(tmp_path / "run", prompts, "fake?reject=0.6", max_rejected=0.1)
    assert (tmp_path / "run" / "respond.rejected.jsonl").exists()
    assert not (tmp_path / "run" / "respond.jsonl").exists()


def test_an_engine_that_dies_keeps_what_it_answered(tmp_path: Path, prompts: Path) -> None:
    with pytest.raises(EngineError, match="stopped after 11 answers"):
        fake_run(tmp_path / "run", prompts, "fake?crash=11")
    summary = fake_run(tmp_path / "run", prompts, "fake")
    respond = next(one for one in summary["stages"] if one["step"] == "respond")
    assert (respond["calls_made"], respond["calls_saved"]) == (28 - 11, 11)


def test_both_orders_are_always_asked(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, label__principles_per_pair=2, sample__num_samples=3, label__pairs="all")
    for row in read_rows(tmp_path / "run" / "label.jsonl"):
        judged = Judgement.from_json(row)
        assert Counter(vote.order for vote in judged.votes) == {"ab": 2, "ba": 2}
        assert judged.response_a != judged.response_b


def test_a_judge_that_only_prefers_the_first_place_gives_labels_without_it(tmp_path: Path, prompts: Path) -> None:
    plain = fake_run(tmp_path / "plain", prompts)
    biased = fake_run(tmp_path / "biased", prompts, judge="fake?bias=3")
    assert biased["label"]["position_bias"] - plain["label"]["position_bias"] == pytest.approx(3.0, abs=1e-6)
    one, two = (
        [row["p_a"] for row in read_rows(tmp_path / name / "preferences.jsonl")] for name in ("plain", "biased")
    )
    assert one == pytest.approx(two, abs=1e-6)


def test_a_judge_without_log_probabilities_votes_by_samples_and_the_run_says_so(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, "fake?scores=0", label__fallback_samples=3, preferences__mass_floor=0.0)
    settings = Run.existing(tmp_path / "run").steps["label"]["settings"]
    assert settings["verdicts"] == "3 samples an order"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": "fkae"}, ConfigError, "no engine is named 'fkae'; did you mean 'fake'"),
        ({"model": "./nowhere"}, ConfigError, "a model in a folder is hf/PATH, and there is none at ./nowhere"),
        ({"model": "hf/./not-there"}, EngineError, "not-there"),
        ({"constitution": "harmlesness"}, CAIError, "did you mean 'harmlessness'"),
        ({"train": ["sft"], "sample.policy": "sft"}, ConfigError, "its weights are not here to be trained"),
        ({"sample.policy": "sft"}, ConfigError, "train does not name sft"),
        ({"export.formats": ["stf"]}, ConfigError, "did you mean 'sft'"),
        ({"export.formats": []}, ConfigError, "name at least one"),
        ({"preferences.clamp": [0.6, 0.4]}, ConfigError, "around 0.5"),
        ({"preferences.temperature": 0.0}, ConfigError, "preferences.temperature"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    tmp_path: Path, prompts: Path, settings: dict[str, Any], error: type[CAIError], message: str
) -> None:
    named = {key.replace(".", "__"): value for key, value in settings.items() if key != "model"}
    with pytest.raises(error, match=message) as told:
        fake_run(tmp_path / "run", Path(prompts), settings.get("model", "fake"), **named)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_principle_without_the_form_that_a_stage_needs(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    value = yaml.safe_load(mine.read_text())
    del value["principles"][1]["comparison"]
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    fake_run(tmp_path / "sl", prompts, until="revise", constitution=str(mine))
    with pytest.raises(InputError, match=r"my\.yaml:\d+:\d+: principle '.*' has no 'comparison', which this run needs"):
        fake_run(tmp_path / "run", prompts, constitution=str(mine))
    assert not (tmp_path / "run").exists()


LATER = [
    ({"train": ["sft", "reward"], "sample.policy": "sft"}, "respond", "its weights are not here to be trained"),
    ({"train": ["sft"], "sft.init": "hf/nowhere"}, "revise", "hf/nowhere: its weights are not here"),
    ({"sample.policy": "sft"}, "revise", "train does not name sft; set sample.policy=base"),
    ({"train": ["reward"], "reward.init": "sft"}, "audit", "reward.init is sft, but train does not name sft"),
    ({"export.files": []}, "preferences", "export.formats and export.files: name at least one"),
    ({"preferences.weights": {"nobody": 2}}, "label", "has no principle 'nobody'"),
]


@pytest.mark.parametrize(("settings", "until", "message"), LATER)
def test_what_only_later_steps_need_is_noted_and_refuses_no_early_stop(
    tmp_path: Path, prompts: Path, settings: dict[str, Any], until: str, message: str
) -> None:
    named = {key.replace(".", "__"): value for key, value in settings.items()}
    summary = fake_run(tmp_path / "run", prompts, until=until, **{"audit__items": 4, **named})
    assert [one["step"] for one in summary["stages"]][-1].startswith(until)
    [note] = summary["notes"]
    assert note.startswith("the whole run would be refused: ") and message in note
    with pytest.raises(ConfigError, match=re.escape(message)):
        fake_run(tmp_path / "run", prompts, **{"audit__items": 4, **named})


PRINCIPLES = """name: few
principles:
  - {id: a, critique: c, revision: r, comparison: which?, rubric: good?}
  - {id: b, critique: c, revision: r, comparison: which one?, applies_to: {kinds: [red_team]}}
  - {id: c, critique: c, revision: r, comparison: which is it?, applies_to: {kinds: [helpful]}}
  - {id: d, critique: c, revision: r, only_for: revision}
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label.principles_per_pair": 17}, "label.principles_per_pair is 17, but no prompt is in the scope of more "
         "than 2 principles with a comparison, so all are used"),
        ({"rubric.principles_per_answer": 2}, "rubric.principles_per_answer is 2, but only 1 principle has a rubric, "
         "so all are used"),
        ({"label.principles_per_pair": 9, "constitution": "minimal"}, "label.principles_per_pair is 9, but only 3 "
         "principles have a comparison, so all are used"),
        ({"label.principles_per_pair": 2, "rubric.principles_per_answer": 1}, None),
        ({"label.principles_per_pair": "all"}, None),
    ],
)  # fmt: skip
def test_more_principles_than_there_are_is_noted_by_run_and_plan(
    tmp_path: Path, prompts: Path, settings: dict[str, Any], said: str | None
) -> None:
    (tmp_path / "few.yaml").write_text(PRINCIPLES, encoding="utf-8")
    settings = {"constitution": str(tmp_path / "few.yaml"), **settings}
    named = {key.replace(".", "__"): value for key, value in settings.items()}
    summary = fake_run(tmp_path / "run", prompts, until="respond", **named)
    assert summary["notes"] == ([said] if said else [])
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    plan = invoke(
        "plan", "--model", "fake", "--prompts", str(prompts), "--probe", "0", "--out", str(tmp_path / "new"),
        "--until", "respond", "--set", "train=[]", "--set", "sample.policy=base", *words, "--json",
    )  # fmt: skip
    assert [note for note in json.loads(plan.stdout)["notes"] if "are used" in note] == ([said] if said else [])


def test_files_of_people_that_an_early_stop_never_reads_need_not_be_there(tmp_path: Path, prompts: Path) -> None:
    human = {"preferences__human": ["nobody.jsonl"]}
    audit = {"audit__truth": ["nothing.jsonl"], "audit__against": "nowhere"}
    summary = fake_run(tmp_path / "run", prompts, until="label", **human, **audit, audit__items=4)
    assert summary["notes"] == [
        "the whole run would be refused: nobody.jsonl: no such file or folder",
        "the whole run would be refused: nothing.jsonl: no such file or folder",
        "the whole run would be refused: audit.against: nowhere is not there",
    ]
    for people, said in ((human, r"^nobody\.jsonl: no such file"), (audit, r"^nothing\.jsonl: no such file")):
        with pytest.raises(InputError, match=said):
            fake_run(tmp_path / "whole", prompts, **people, audit__items=4)
    with pytest.raises(RunError, match=r"^nowhere: no run is there"):
        fake_run(tmp_path / "whole", prompts, audit__against="nowhere", audit__items=4)
    assert not (tmp_path / "whole").exists()
    for until in ("label", None):
        assert fake_run(tmp_path / "run", prompts, until=until, **audit, audit__items=0)["notes"] == []


def test_bad_rows_of_people_are_told_before_anything_is_asked(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of `audit.truth` too, and only where the audit is reached; each file is read once."""
    bad, good = tmp_path / "bad.jsonl", tmp_path / "good.jsonl"
    bad.write_text(json.dumps({"prompt": "Who?", "response_a": "I.", "response_b": "You.", "p_a": 1.2}) + "\n")
    good.write_text(json.dumps({"prompt": "Who?", "chosen": "I.", "rejected": "You."}) + "\n")
    read = Counter[str]()
    monkeypatch.setattr(
        job, "read_human_preferences", lambda file, **how: read.update([file]) or read_human_preferences(file, **how)
    )
    people = {"audit__items": 4, "preferences__human": [str(good)], "audit__truth": [str(good), str(bad)]}
    with pytest.raises(InputError, match=r"bad\.jsonl:1: p_a is 1\.2, expected"):
        fake_run(tmp_path / "run", prompts, until="audit", **people)
    assert not (tmp_path / "run").exists() and not (tmp_path / "store").exists()
    assert read == {str(good): 1, str(bad): 1}
    sets = (f'audit.truth=["{bad}"]', "train=[]", "sample.policy=base", "until=audit")
    named = ("--model", "fake", "--prompts", str(prompts), "--out", str(tmp_path / "run"))
    planned = invoke("plan", *named, *(word for one in sets for word in ("--set", one)))
    assert planned.exit_code == 2 and "bad.jsonl:1: p_a is 1.2" in planned.stderr
    assert not (tmp_path / "store").exists()
    fake_run(tmp_path / "run", prompts, until="preferences", **people)
    read.clear()
    fake_run(tmp_path / "run", prompts, until="audit", **{**people, "audit__truth": [str(good)]})
    assert read == {str(good): 1}


def test_an_unknown_export_format_is_told_whatever_is_reached(tmp_path: Path, prompts: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'sft'"):
        fake_run(tmp_path / "run", prompts, until="respond", export__formats=["stf"])


def test_until_stops_and_the_next_run_goes_on(tmp_path: Path, prompts: Path) -> None:
    short = fake_run(tmp_path / "run", prompts, until="respond")
    assert [one["step"] for one in short["stages"]] == ["prompts", "respond"]
    summary = fake_run(tmp_path / "run", prompts)
    assert "respond" in {one["step"] for one in summary["stages"]}
    with pytest.raises(ConfigError, match="did you mean 'revise"):
        fake_run(tmp_path / "run", prompts, until="revize")


def test_the_summary_file_says_what_the_run_said(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts)
    kept = json.loads((tmp_path / "run" / "metrics" / "summary.json").read_text())
    assert kept == summary
    assert 0 <= kept["label"]["flip_rate"] <= 1


def test_weights_count_once_in_the_draw_or_in_the_mean(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    value = yaml.safe_load(mine.read_text())
    value["principles"][0]["weight"] = 5.0
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    fake_run(tmp_path / "drawn", prompts, constitution=str(mine), label__principles_per_pair=2)
    fake_run(tmp_path / "all", prompts, constitution=str(mine), label__principles_per_pair="all")
    held = {
        name: Run.existing(tmp_path / name).steps["preferences"]["settings"]["weights"] for name in ("drawn", "all")
    }
    assert held["drawn"] is None
    assert max(held["all"].values()) == 5.0


def test_a_step_whose_input_came_out_as_it_was_is_not_done_again(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, max_rejected=0.9)
    again = tmp_path / "twice" / "prompts.jsonl"
    again.parent.mkdir()
    again.write_bytes(prompts.read_bytes() + prompts.read_bytes())
    for path, settings in ((prompts, {"max_rejected": 0.7}), (prompts, {"limit": 500}), (again, {})):
        summary = fake_run(tmp_path / "run", path, **{"max_rejected": 0.9, **settings})
        assert [one["step"] for one in summary["stages"] if one["ran"]] in ([], ["prompts"])


def test_steps_beyond_until_are_said_to_be_stale(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts)
    summary = fake_run(tmp_path / "run", prompts, until="critique-1", respond__max_tokens=200)
    stale = {one["step"]: one["stale"] for one in summary["stages"] if one["stale"]}
    assert stale["revise-1"] == "critique-1 has changed"
    assert {"critique-2", "revise-2", "export"} <= stale.keys()
    assert "respond" not in stale
    assert {row["step"] for row in run_status(tmp_path / "run") if row["stale"]} == stale.keys()


def test_rounds_that_are_no_longer_asked_for_are_not_shown(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, critique__rounds=2)
    fake_run(tmp_path / "run", prompts, critique__rounds=1)
    assert "revise-2" not in {row["step"] for row in run_status(tmp_path / "run")}
    assert "revise-2" not in invoke("show", str(tmp_path / "run")).stdout.split()
    assert "revision 2" not in invoke("show", str(tmp_path / "run"), "revise", "--kind", "red_team").stdout


def test_answers_that_are_not_among_the_candidates_are_counted(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts, "fake?reject=0.3", sample__num_samples=4)
    sample = next(one for one in summary["stages"] if one["step"] == "sample")
    kept = sum(len(row["responses"]) for row in read_rows(tmp_path / "run" / "sample.jsonl"))
    assert kept + sum(sample["left_out"].values()) == 4 * sample["rows"]
    assert sample["left_out"]["cut off at max_tokens"] > 0


def test_a_recipe_that_is_edited_makes_the_run_stale_from_any_folder(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "mine.yaml"
    text = (
        "extends: rl-cai\nmodel: fake\ntrain: []\nprompts: [prompts.jsonl]\n"
        "sample: {policy: base, num_samples: NUMBER}\n"
    )
    recipe.write_text(text.replace("NUMBER", "3"))
    monkeypatch.chdir(tmp_path)
    assert invoke("run", "--recipe", "mine.yaml", "--out", "run", "--quiet").exit_code == 0
    recipe.write_text(text.replace("NUMBER", "4"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    why = {row["step"]: row["why"] for row in run_status(Path("../run")) if row["stale"]}
    assert why["sample"] == "num_samples: 3 -> 4"


def test_lost_metrics_and_rejects_are_made_again(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, "fake?reject=0.2")
    for name in ("metrics/label.json", "sample.rejected.jsonl"):
        before = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).unlink()
        fake_run(tmp_path / "run", prompts, "fake?reject=0.2")
        assert (tmp_path / "run" / name).read_bytes() == before


def test_the_next_command_can_be_typed(tmp_path: Path, prompts: Path) -> None:
    for until in ("respond", "label", None):
        summary = fake_run(tmp_path / "run", prompts, until=until)
        assert invoke(*shlex.split(summary["next"])[1:]).exit_code == 0


def test_the_next_command_after_an_audit_shows_it(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "my run", prompts, until="audit", audit__items=4)
    assert shlex.split(summary["next"]) == ["cai", "audit", str(tmp_path / "my run")]
    assert "\ngates             passed " in invoke(*shlex.split(summary["next"])[1:]).stdout


def test_no_text_can_drive_the_terminal(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"x{n}\u001b]0;pwn\u0007", "kind": "red_team"} for n in range(3)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fake_run(tmp_path / "run", prompts, "fake?echo=1", until="respond")
    shown = invoke("show", str(tmp_path / "run"), "respond").stdout
    assert "\x1b]" not in shown
    assert "\\x1b]0;pwn\\x07" in shown


def test_all_principles_asked_for_by_number_are_weighted_as_all(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    value = yaml.safe_load(mine.read_text())
    value["principles"][0]["weight"] = 9.0
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    for name, principles in (("three", 3), ("all", "all")):
        fake_run(tmp_path / name, prompts, constitution=str(mine), label__principles_per_pair=principles)
    one, other = ([row["p_a"] for row in read_rows(tmp_path / name / "preferences.jsonl")] for name in ("three", "all"))
    assert one == pytest.approx(other)


def test_a_no_op_rerun_loads_no_library_of_models(tmp_path: Path, prompts: Path) -> None:
    """The bar is 3 s beyond start-up; transformers alone takes longer to import."""
    model = build_tiny_model(tmp_path / "model")
    command = ["run", "--model", f"hf/{model}", "--prompts", str(prompts), "--out", str(tmp_path / "run"), "--quiet"]
    command += ["--limit", "2", "--until", "respond", "--set", "respond.max_tokens=4", "--set", "max_rejected=1.0"]
    invoke(*command, "--set", "train=[]", "--set", "sample.policy=base", "--until", "prompts")
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom cai.cli import main\n"
        "done = CliRunner().invoke(main, sys.argv[1:])\nassert done.exit_code == 0, done.output\n"
        "assert 'transformers' not in sys.modules and 'torch' not in sys.modules"
    )
    again = [*command, "--set", "train=[]", "--set", "sample.policy=base", "--until", "prompts"]
    done = subprocess.run([sys.executable, "-c", code, *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
