"""`cai audit` as a person uses it: the page, pairs that people ranked, another model's answers, the exit status."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cai.audit import Forecast, calibration, gates, objections
from cai.cli import main
from cai.cli.audit_advice import advice
from cai.constitution import load_constitution
from cai.errors import AuditError
from cai.models import ENGINES
from cai.models.fake import FakeEngine
from cai.pipeline.audit_standing import audit_of
from cai.pipeline.audit_work import NO_GATES
from cai.recipe import AuditSettings
from cai.records import Completion, Draft, GenerateRequest, Json
from cai.storage.run import read_rows
from tests.audit import judges
from tests.golden_files import check_golden
from tests.pipeline.runs import fake_run, write_prompts

NONE: Json = {"value": None, "low": None, "high": None, "n": 0}
SETTINGS: dict[str, Any] = {"constitution": "minimal", "audit__items": 24, "label__principles_per_pair": "all"}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose answers and verdicts are those of ``planted/perfect``; the truth is each last revision."""
    monkeypatch.setitem(ENGINES._entries, "planted", "tests.audit.judges:PlantedJudge")
    monkeypatch.setattr(judges, "TRUTH", {})
    monkeypatch.chdir(tmp_path)
    prompts = write_prompts(tmp_path)
    fake_run(Path("run"), prompts, "planted/perfect", until="revise", **SETTINGS)
    for row in read_rows(Path("run") / "revise-2.jsonl"):
        draft = Draft.from_json(row)
        judges.TRUTH[draft.prompt.messages[-1].content] = draft.latest
    fake_run(Path("run"), prompts, "planted/perfect", until="preferences", **SETTINGS)
    return Path("run")


def test_the_page_shows_every_figure(run: Path, tmp_path: Path) -> None:
    fake_run(run, tmp_path / "prompts.jsonl", "planted/perfect", until="preferences", judge="fake", **SETTINGS)
    done = invoke("audit", str(run), "--quiet")
    figures = json.loads((run / "metrics" / "audit.json").read_text(encoding="utf-8"))
    assert done.exit_code == 1 and figures["failed"]
    assert all((run / name).read_text(encoding="utf-8").startswith("<svg ") for name in figures["plots"])
    check_golden("audit_page.txt", done.stdout)


@pytest.mark.parametrize(("more", "status"), [((), 1), (("--accept-audit",), 0)])
def test_a_run_until_its_audit_says_by_its_exit_status_whether_it_was_passed(run: Path, more, status) -> None:
    words = "run --prompts prompts.jsonl --model fake --constitution minimal --until audit --out other --quiet"
    data_only = "--set audit.items=4 --set train=[] --set sample.policy=base"
    done = invoke(*words.split(), *data_only.split(), *more)
    assert done.exit_code == status, done.output
    told = done.stderr.splitlines()
    assert (Path("other") / "metrics" / "audit.json").is_file()
    found = [line for line in told if line.startswith("Error: ")]
    if more:
        assert not found
    else:
        assert found[0].startswith("Error: the judge failed its audit (")
        assert found[0].endswith(
            "; read `cai audit other` and mend the judge or the constitution, or run again with --accept-audit"
        )


def test_a_run_until_an_audit_that_is_passed_exits_with_0(run: Path) -> None:
    for test in load_constitution("minimal").tests:
        judges.TRUTH[test.messages[-1].content] = test.better
    words = "run --prompts prompts.jsonl --model planted/perfect --constitution minimal --until audit --out run --quiet"
    sets = ("train=[]", "sample.policy=base", "critique.rounds=2", "label.principles_per_pair=all", "audit.items=24")
    done = invoke(*words.split(), *(word for one in sets for word in ("--set", one)))
    assert done.exit_code == 0 and "Error" not in done.stderr, done.output
    figures = json.loads((run / "metrics" / "audit.json").read_text(encoding="utf-8"))
    assert objections(figures["gates"]) == "" and any(one["passed"] for one in figures["gates"])


def test_show_lists_what_the_judge_said_of_the_items(run: Path) -> None:
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)
    rows = list(read_rows(run / "audit" / "votes.jsonl"))
    shown = invoke("show", str(run), "audit", "-n", "1000", "--json").stdout.splitlines()
    assert [json.loads(line) for line in shown] == rows and len(rows) > 24


def test_votes_of_another_constitution_are_not_audited(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_at = tmp_path / "run"
    mine = tmp_path / "mine.yaml"
    mine.write_text((run / "constitution.yaml").read_text())
    settings = {**SETTINGS, "constitution": str(mine)}
    fake_run(run, tmp_path / "prompts.jsonl", "planted/perfect", until="preferences", **settings)
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)
    before = files_of(run)
    principle = load_constitution(str(mine)).principles[0].comparison
    edited = mine.read_text().replace(principle.split()[-1], "today " + principle.split()[-1])
    assert edited != mine.read_text()
    mine.write_text(edited)
    done = CliRunner().invoke(main, ["audit", str(run), "--quiet"])
    assert done.exit_code == 2 and "is stale (principle '" in done.output and files_of(run) == before
    command = done.stderr.partition("not those to audit; `")[2].partition("` makes them, and `cai audit run` then ")[0]
    monkeypatch.chdir(tmp_path / "run")
    moved = CliRunner().invoke(main, ["audit", "../run", "--quiet"]).stderr
    assert f"; `cd {tmp_path} && {command.replace(' --out run', f' --out {run_at}')}` makes them" in moved
    monkeypatch.chdir(tmp_path)
    assert invoke(*shlex.split(command)[1:], "--until", "preferences", "--quiet").exit_code == 0
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)


def test_a_stale_run_that_no_command_made_says_what_makes_its_votes(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["command"]["recipe"]
    (run / "label.jsonl").unlink()
    (run / "manifest.json").write_text(json.dumps(manifest))
    done = CliRunner().invoke(main, ["audit", str(run), "--quiet"])
    assert done.exit_code == 2 and done.stderr == (
        "Error: run: step 'label' is stale (label.jsonl is gone), so its votes are not those to audit; running its "
        "recipe into it again makes them, and `cai audit run` then audits them\n"
    )


def test_every_gate_that_did_not_pass_says_what_to_do() -> None:
    bounds = {name: value for name, value in asdict(AuditSettings()).items() if name not in NO_GATES}
    for gate in gates({"kinds": {}, "clear_flip_rate": NONE, "p_first": NONE}, {}, None, bounds):
        row = gate.to_json()
        assert row["passed"] is None and advice(row)
        assert advice({**row, "value": 0.5, "passed": False}) not in ("", advice(row))
        assert advice({**row, "value": 0.5, "passed": True}) == ""
        assert f"cai run ... --set audit.{gate.name}=" in advice({**row, "value": 0.5, "bound": None})


@pytest.mark.parametrize(
    ("said", "advised"),
    [({0.7: 15, 0.3: 0}, "less sure than right: a lower temperature, `cai run ... --set preferences.temperature=0.7`"),
     ({0.95: 9, 0.05: 6}, "surer than right: a higher temperature, `cai run ... --set preferences.temperature=1.5`"),
     ({0.95: 9, 0.6: 15}, "too sure of some pairs and too unsure of others")],
)  # fmt: skip
def test_a_failed_calibration_names_the_side_that_the_labels_err_to(said: dict[float, int], advised: str) -> None:
    """Of fifteen pairs at each P(a), in how many a is the better."""
    forecasts = [Forecast(p, n < better, 0, f"{p} {n}") for p, better in said.items() for n in range(15)]
    truth = calibration(forecasts)
    row = {"gate": "ece", "value": truth["ece"], "bound": 0.2, "passed": False}
    assert truth["ece"] > 0.2 and advised in advice(row, truth)


def test_an_open_gate_says_whether_it_would_keep_to_the_default() -> None:
    row = {"gate": "noise", "sense": "at least", "bound": None, "passed": None, "value": 0.9, "low": 0.7, "high": 0.95}
    assert advice(row).startswith("by default at least 0.8, which it would keep, within chance; ")
    assert advice({**row, "value": 0.4, "low": 0.2, "high": 0.6}).startswith(
        "by default at least 0.8, which it would not keep;"
    )


def test_pairs_that_people_ranked_are_put_to_the_judge(run: Path, tmp_path: Path) -> None:
    pairs = [
        {"prompt": f"Which bread is number {n}?", "chosen": f"Bread {n} is.", "rejected": "Ask somebody else."}
        for n in range(12)
    ]
    for n, pair in enumerate(pairs):
        judges.TRUTH[pair["prompt"]] = pair["chosen" if n < 9 else "rejected"]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    found = json.loads(invoke("audit", str(run), "--truth", "people.jsonl", "--json").stdout)["truth"]
    assert found["accuracy"]["n"] == 12 and found["accuracy"]["value"] == pytest.approx(9 / 12)
    assert found["source"] == "people.jsonl" and found["unanswered"] == 0 and found["prompts"] == 12
    assert found["brier"]["value"] == pytest.approx((9 * 0.1**2 + 3 * 0.9**2) / 12, abs=1e-4)
    assert (run / "metrics" / "reliability.svg").exists()


RANKED = [{"prompt": f"Which is {n}?", "chosen": f"Bread {n}.", "rejected": "No."} for n in range(12)]


def write_rows(path: Path, rows: list[Json]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def files_of(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("rows", "said"),
    [([{"prompt": "Who?", "response_a": "I.", "response_b": "You.", "p_a": 1.2}], "bad.jsonl:1: p_a is 1.2"),
     ([{"prompt": "Who?", "answer": "I."}], "bad.jsonl:1: "), ([], "bad.jsonl: holds no pairs")],
)  # fmt: skip
def test_a_truth_that_is_refused_leaves_the_run_as_it_was(run: Path, rows: list[Json], said: str) -> None:
    write_rows(Path("good.jsonl"), RANKED)
    write_rows(Path("bad.jsonl"), rows)
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)
    before = files_of(run)
    done = invoke("audit", str(run), "--truth", "good.jsonl", "--truth", "bad.jsonl", "--quiet")
    assert done.exit_code == 2 and done.stderr.startswith(f"Error: {said}"), done.stderr
    assert files_of(run) == before and run / "audit" / "votes.jsonl" in before
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)


def test_answers_to_hold_the_judges_own_against_are_read_before_the_run_is_touched(run: Path, tmp_path: Path) -> None:
    fake_run(Path("other"), tmp_path / "prompts.jsonl", "fake", until="respond", **SETTINGS)
    answers = Path("other") / "respond.jsonl"
    answers.write_text(answers.read_text() + '{"prompt": 1}\n')
    assert invoke("audit", str(run), "--quiet").exit_code in (0, 1)
    before = files_of(run)
    done = invoke("audit", str(run), "--against", "other", "--quiet")
    assert done.exit_code == 2 and done.stderr.startswith("Error: other/respond.jsonl:29: a row without 'rounds'")
    assert files_of(run) == before


def test_a_truth_stays_in_the_recipe_until_it_is_taken_out(run: Path, tmp_path: Path) -> None:
    def had() -> tuple[Any, Any]:
        settings = yaml.safe_load((run / "recipe.yaml").read_text())["audit"]
        return settings["truth"], settings["against"]

    write_rows(Path("good.jsonl"), RANKED)
    fake_run(Path("other"), tmp_path / "prompts.jsonl", "fake", until="respond", **SETTINGS)
    invoke("audit", str(run), "--truth", "good.jsonl", "--against", "other", "--quiet")
    assert "good.jsonl, 12 pairs that people ranked" in invoke("audit", str(run), "--quiet").stdout
    assert had() == (["good.jsonl"], "other")
    (tmp_path / "good.jsonl").unlink()
    assert invoke("audit", str(run), "--quiet").exit_code == 2
    done = invoke("audit", str(run), "--truth", "none", "--against", "none", "--quiet")
    assert done.exit_code in (0, 1) and "\ntruth             none at hand" in done.stdout and had() == ([], None)
    assert invoke("audit", str(run), "--quiet").stdout == done.stdout
    beside = invoke("audit", str(run), "--truth", "none", "--truth", "good.jsonl")
    assert beside.exit_code == 2 and "--truth none takes all files out: give it alone" in beside.stderr


def test_a_judge_that_takes_its_own_models_answers_for_better_shows_it(run: Path, tmp_path: Path) -> None:
    fake_run(Path("other"), tmp_path / "prompts.jsonl", "fake", until="respond", **SETTINGS)
    for row in read_rows(run / "respond.jsonl"):
        draft = Draft.from_json(row)
        judges.TRUTH[draft.prompt.messages[-1].content] = draft.response
    done = invoke("audit", str(run), "--against", "other", "--quiet")
    figures = json.loads((run / "metrics" / "audit.json").read_text(encoding="utf-8"))
    assert figures["self_preference"]["preferred"]["value"] == 1 and figures["self_preference"]["preferred"]["n"] == 28
    assert "for the answers of its own model" in done.stdout


def test_a_run_of_the_same_model_shows_no_self_preference(run: Path, tmp_path: Path) -> None:
    fake_run(Path("other"), tmp_path / "prompts.jsonl", "planted/perfect", until="respond", **SETTINGS)
    done = CliRunner().invoke(main, ["audit", str(run), "--against", "other"])
    assert done.exit_code == 2 and "both runs' answers are of the judge's own model" in done.stderr


def test_an_audit_that_measured_too_little_says_so_and_exits_1(run: Path, tmp_path: Path) -> None:
    opened = {f"audit__{name}": None for name in ("tests", "noise", "swapped", "null_answer", "length", "attacks")}
    settings = {**SETTINGS, **opened, "audit__items": 4}
    fake_run(run, tmp_path / "prompts.jsonl", "planted/perfect", until="preferences", **settings)
    done = invoke("audit", str(run), "--quiet")
    figures = json.loads((run / "metrics" / "audit.json").read_text(encoding="utf-8"))
    assert figures["failed"] == [] and done.exit_code == 1
    assert f"\nnot passed        measured too little to tell: {figures['too_little']};\n" in done.stdout
    assert "more prompts or `cai run ... --set audit.items=50`; training needs --accept-audit\n" in done.stdout


def test_too_few_tests_in_the_constitution_are_told_wherever_the_audit_is(run: Path, tmp_path: Path) -> None:
    for test in load_constitution("minimal").tests:
        judges.TRUTH[test.messages[-1].content] = test.better
    settings = {**SETTINGS, "audit__noise": None, "audit__swapped": None}
    fake_run(run, tmp_path / "prompts.jsonl", "planted/perfect", until="preferences", **settings)
    done = invoke("audit", str(run), "--quiet")
    figures = json.loads((run / "metrics" / "audit.json").read_text(encoding="utf-8"))
    few = "fewer than 10 pairs of the constitution's tests (3 tests were asked, 7 more would be enough)"
    todo = "write 7 more tests into the constitution, or give audit.noise a bound"
    assert (done.exit_code, figures["too_little"], figures["unheld"]) == (1, few, "")
    assert f"\nnot passed        measured too little to tell: {few};\n" in done.stdout
    assert f"\n                  {todo}; training needs --accept-audit\n" in done.stdout
    with pytest.raises(AuditError, match=f"measured too little to tell: {re.escape(few)} .*; {todo}, or say --accept"):
        audit_of(run / "preferences.jsonl", False)


def test_accuracy_stands_beside_judges_that_read_nothing(run: Path, tmp_path: Path) -> None:
    """Twelve pairs of which the better is the longer, and a judge that is right about ten of them."""
    pairs = [{"prompt": f"Which is {n}?", "chosen": f"This one is bread {n}.", "rejected": "No."} for n in range(12)]
    for n, pair in enumerate(pairs):
        judges.TRUTH[pair["prompt"]] = pair["chosen" if n < 10 else "rejected"]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    lines = invoke("audit", str(run), "--truth", "people.jsonl", "--quiet").stdout.splitlines()
    [accuracy] = [line for line in lines if line[13:].startswith("accuracy ")]
    assert "always-longer 1.000); no better than always-longer" in accuracy and accuracy.startswith("passed")
    [ece] = [line for line in lines if "  ECE 0." in line]
    assert re.search(r"ECE 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\), Brier", ece)


def test_a_truth_of_few_prompts_is_shown_and_holds_no_gate(run: Path, tmp_path: Path) -> None:
    """Nine prompts, one of them with four answers, all of which the judge gets wrong."""
    pairs = [{"prompt": f"Which is {min(n, 8)}?", "chosen": f"Bread {n}.", "rejected": "No."} for n in range(12)]
    for pair in pairs:
        judges.TRUTH[pair["prompt"]] = pair["rejected"]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    lines = invoke("audit", str(run), "--truth", "people.jsonl", "--quiet").stdout.splitlines()
    for name in ("accuracy", "ece"):
        [gate] = [line for line in lines if line[13:].startswith(f"{name} ")]
        assert gate.startswith("not measured") and "  12  " in gate and gate.endswith("of 10 prompts or more")
    assert any("12 pairs that people ranked, on 9 prompts" in line for line in lines)


def test_a_run_without_labels_is_one_clear_line(tmp_path: Path) -> None:
    fake_run(tmp_path / "run", write_prompts(tmp_path), until="respond")
    done = CliRunner().invoke(main, ["audit", str(tmp_path / "run")])
    assert done.exit_code == 2 and "has no labels yet" in done.stderr and done.stderr.count("\n") == 1


def test_votes_without_preferences_are_audited_all_the_same(tmp_path: Path) -> None:
    fake_run(tmp_path / "run", write_prompts(tmp_path), until="label", audit__items=4)
    done = CliRunner().invoke(main, ["audit", str(tmp_path / "run"), "--quiet"])
    assert done.exit_code in (0, 1) and "flip" in done.stdout and (tmp_path / "run/metrics/audit.json").is_file()


def test_a_constitutions_own_tests_are_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENGINES._entries, "planted", "tests.audit.judges:PlantedJudge")
    monkeypatch.setattr(judges, "TRUTH", {})
    done = invoke("constitution", "test", "minimal", "--judge", "planted/perfect")
    assert done.exit_code == 1 and done.stdout.count("FAILED") == done.stdout.count("\n") - 3
    assert done.stdout.startswith('asked with label.template="principle_last" label.examples=true ')
    assert "0 of" in done.stdout and "0 saved" in done.stdout


@pytest.mark.parametrize(
    ("judge", "more", "said"),
    [("fake", "preferences.mass_floor=0.96", "mass 0.95, under 0.96"),
     ("fake?fail=0.4", "preferences.mass_floor=0.5", "this request fails, as told"),
     ("fake?scores=0", "label.fallback_samples=1", "no verdict could be read in both orders"),
     ("fake?fail=0.2", "label.reasoning_samples=1", "this request fails, as told")],
)  # fmt: skip
def test_a_test_without_a_verdict_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str, more: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FakeEngine, "_completion", _unread) if "fallback" in more else None
    asked = ("constitution", "test", "minimal", "--judge", judge, "--set", more)
    lines = [line for line in invoke(*asked).stdout.splitlines() if line.startswith("FAILED    -    ")]
    assert lines and all(line.endswith(f"  (no verdict: {said})") for line in lines)
    rows = json.loads(invoke(*asked, "--json").stdout)["tests"]
    assert [row["why"] for row in rows if row["p_better"] is None] == [said] * len(lines)
    assert all(row["why"] is None for row in rows if row["p_better"] is not None)


def _unread(engine: FakeEngine, request: GenerateRequest) -> Completion:
    return Completion("Neither of them.", "stop", 4, 4)


def own_constitution(folder: Path, **second: Any) -> str:
    principles = [
        {"id": "a", "comparison": "Which is better?", "critique": "What is bad?", "revision": "Mend it."},
        {"id": "b", "critique": "What else is bad?", "revision": "Mend that.", **second},
    ]
    tests = [
        {"principle": name, "prompt": f"Which {name}?", "better": "This one.", "worse": "None."}
        for name in ("a", "b", "b")
    ]
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "principles": principles, "tests": tests}, sort_keys=False))
    return str(path)


def test_tests_that_cannot_be_asked_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENGINES._entries, "planted", "tests.audit.judges:PlantedJudge")
    monkeypatch.setattr(judges, "TRUTH", {"Which a?": "This one."})
    asked = ("constitution", "test", own_constitution(tmp_path, only_for="revision"), "--judge", "planted/perfect")
    done = invoke(*asked)
    assert done.exit_code == 0 and "\n1 of 1 passed (" in done.stdout
    assert done.stdout.endswith("\n2 tests were not asked: principle 'b' has no 'comparison'\n")
    assert (
        json.loads(invoke(*asked, "--json").stdout)["not_asked"]
        == [{"principle": "b", "prompt": "Which b?", "why": "principle 'b' has no 'comparison'"}] * 2
    )
    settings = {**SETTINGS, "constitution": own_constitution(tmp_path, only_for="revision")}
    summary = fake_run(Path("run"), write_prompts(tmp_path), until="audit", **settings)
    assert "2 tests were not asked: principle 'b' has no 'comparison'" in summary["audit"]["notes"]


def test_a_constitution_that_check_rejects_is_not_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = own_constitution(tmp_path)
    [found] = [line for line in invoke("constitution", "check", name).stdout.splitlines() if "error: " in line]
    done = CliRunner().invoke(main, ["constitution", "test", name, "--judge", "fake"])
    assert done.exit_code == 2 and done.stderr == f"Error: {found.replace('error: ', '')}\n"
    assert "has no 'comparison'" in found and found.endswith("[missing-form]")
