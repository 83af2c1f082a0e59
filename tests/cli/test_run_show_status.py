"""The commands as a person uses them: run, show, status, completion."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cai.cli import SECTIONS, main, progress
from cai.cli.vote_lines import vote_table
from cai.records import Preference
from tests.pipeline.runs import write_prompts

DATA = ["--set", "train=[]", "--set", "sample.policy=base", "--set", "critique.rounds=2", "--set", "max_rejected=1.0"]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def run(tmp_path: Path) -> str:
    prompts = write_prompts(tmp_path)
    out = str(tmp_path / "run")
    done = invoke("run", "--model", "fake?reject=0.3", "--prompts", str(prompts), "--out", out, *DATA)
    assert done.exit_code == 0, done.stderr
    assert "next         cai show" in done.stdout
    assert "flip rate" in done.stdout
    return out


def test_show_prints_one_chain_round_by_round(run: str) -> None:
    rows = [json.loads(line) for line in (Path(run) / "revise-2.jsonl").read_text().splitlines()]
    wanted = next(row for row in rows if row["rounds"])
    page = invoke("show", run, "revise", "--id", wanted["prompt"]["id"][:8]).stdout
    first, second = wanted["rounds"]
    parts = [
        wanted["prompt"]["messages"][0]["content"], wanted["response"], f"[{first['principle_id']}]", first["critique"],
        first["revision"], f"[{second['principle_id']}]", second["revision"],
    ]  # fmt: skip
    assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)
    assert invoke("show", run, "revise", "--id", wanted["prompt"]["id"][:8], "--json").stdout.strip() == json.dumps(
        wanted, ensure_ascii=False
    )


def test_a_run_says_which_prompts_it_takes_and_which_it_had(run: str, tmp_path: Path) -> None:
    had, others = tmp_path / "prompts.jsonl", tmp_path / "others.jsonl"
    others.write_text(had.read_text().splitlines()[0] + "\n")
    for prompts, said in (
        (had, f"prompts {had}, into {run}/"),
        (others, f"prompts {others} (this run had {had}), into"),
    ):
        again = invoke("run", "--model", "fake", "--prompts", str(prompts), "--out", run, "--until", "respond", *DATA)
        assert said in again.stderr.splitlines()[0] and again.exit_code == 0


def test_an_early_stop_says_what_the_whole_run_lacks(tmp_path: Path) -> None:
    command = ["--model", "fake", "--prompts", str(write_prompts(tmp_path)), "--out", str(tmp_path / "run")]
    done = invoke("run", *command, "--until", "respond")
    note = "note: the whole run would be refused: fake: its weights are not here to be trained;"
    assert done.exit_code == 0 and [line for line in done.stderr.splitlines() if line.startswith(note)]
    planned = invoke("plan", *command, "--until", "critique-1", "--probe", "0")
    assert planned.exit_code == 0 and "would be refused: fake: its weights are not here" in planned.stdout
    assert invoke("run", *command, "--quiet").exit_code == 2


def test_a_pair_is_found_by_the_id_that_exports_write(run: str) -> None:
    lines = (Path(run) / "preferences.jsonl").read_text().splitlines()
    pairs = [Preference.from_json(json.loads(line)) for line in lines]
    shown = invoke("show", run, "preferences", "--id", pairs[-1].id, "--json").stdout.splitlines()
    assert [Preference.from_json(json.loads(line)) for line in shown] == [pairs[-1]]


def test_show_prints_rejects_with_reasons_and_votes_with_log_probabilities(run: str) -> None:
    assert "cut off at max_tokens" in invoke("show", run, "respond", "--rejected").stdout
    page = invoke("show", run, "label", "-n", "1").stdout
    [row, *_] = [json.loads(line) for line in (Path(run) / "label.jsonl").read_text().splitlines()]
    for vote in row["votes"]:
        a, b = vote["logprob_a"], vote["logprob_b"]
        cells = [vote["order"], f"{a:.3f}", f"{b:.3f}", f"{math.exp(a) / (math.exp(a) + math.exp(b)):.3f}", "0.950"]
        assert [*cells, f"[{vote['principle_id']}]"] in [line.split() for line in page.splitlines()]
    assert "p(a better)" in invoke("show", run, "preferences", "-n", "1").stdout
    assert invoke("show", run).stdout.splitlines()[:2] == ["prompts", "respond"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["revize"], "did you mean 'revise"),
        (["revise", "--id", "zzz"], "'zzz'"),
        (["revise", "--kind", "lookalike"], "revise-2.jsonl: no row of kind lookalike"),
    ],
)
def test_show_says_what_is_not_there(run: str, arguments: list[str], message: str) -> None:
    done = invoke("show", run, *arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prompts"], "prompts: nothing was rejected"),
        (["respond", "--kind", "lookalike"], "respond: nothing of kind lookalike was rejected"),
        (["respond", "--id", "zzz"], "respond: nothing with an id that begins with 'zzz' was rejected"),
    ],
)
def test_that_nothing_was_rejected_is_no_error(run: str, arguments: list[str], told: str) -> None:
    done = invoke("show", run, *arguments, "--rejected")
    assert (done.exit_code, done.stdout, done.stderr) == (0, told + "\n", "")
    done = invoke("show", run, *arguments, "--rejected", "--json")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", told + "\n")


def test_votes_are_averaged_an_order_and_one_that_was_not_read_has_no_figures() -> None:
    votes = [
        {"order": order, "sample": 0, "principle_id": name, "logprob_a": a, "logprob_b": b, "mass": mass}
        for name, mass, a, b in (("kind", 0.9, -0.1, -2.0), ("brief", 0.7, -0.3, -3.0), ("true", 0.0, -1.0, -1.0))
        for order in ("ab", "ba")
    ]
    votes[1] |= {"counts": [3, 1]}
    lines = vote_table(votes).splitlines()
    assert lines[2].split() == ["ba", "-0.100", "-2.000", "0.870", "0.900", "[kind]", "(3", "×", "a,", "1", "×", "b)"]
    assert lines[5].endswith("[true] no verdict could be read") and "-1.000" not in lines[5]
    shares = (1 / (1 + math.exp(-1.9)) + 1 / (1 + math.exp(-2.7))) / 2
    assert lines[7].split() == ["ab", "-0.200", "-2.500", f"{shares:.3f}", "0.800", "plain", "mean", "of", "2", "votes"]


def test_status_is_a_table_and_json(run: str) -> None:
    rows = json.loads(invoke("status", run, "--json").stdout)
    assert [row["step"] for row in rows][:3] == ["prompts", "respond", "critique-1"]
    assert not any(row["stale"] for row in rows)
    assert invoke("status", run).stdout.count("up to date") == len(rows)


def test_the_summary_as_json_is_the_file(tmp_path: Path, run: str) -> None:
    done = invoke(
        "run", "--model", "fake?reject=0.3", "--prompts", str(tmp_path / "prompts.jsonl"), "--out", run, "--json", *DATA
    )
    assert json.loads(done.stdout) == json.loads((Path(run) / "metrics" / "summary.json").read_text())


def test_help_lists_every_command_under_its_job() -> None:
    text = invoke("--help").stdout
    for section, commands in SECTIONS.items():
        assert section in text
        assert all(name in text for name in commands)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_CAI_COMPLETE" in invoke("completion", shell).stdout


def test_options_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = write_prompts(tmp_path)
    monkeypatch.setenv("CAI_RUN_MODEL", "fake")
    monkeypatch.setenv("CAI_RUN_UNTIL", "respond")
    done = invoke("run", "--prompts", str(prompts), "--out", str(tmp_path / "run"), "--json", *DATA)
    assert [one["step"] for one in json.loads(done.stdout)["stages"]] == ["prompts", "respond"]


def test_a_long_step_tells_where_it_is_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "TELL_EVERY", 0.0)
    with progress.Bars() as bars:
        bars.start("label", "")
        bars.progress(1_200, 5_000)
        bars.progress(7, 9, 0.25)
    with progress.Bars(quiet=True) as bars:
        bars.start("label", "")
        bars.progress(1, 2)
    assert capsys.readouterr().err.splitlines() == [
        "label           1,200 of 5,000",
        "label               7 of 9   loss 0.250",
    ]


def test_rows_that_are_merged_or_left_out_are_told(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    again = tmp_path / "again.jsonl"
    again.write_text("".join(prompts.read_text().splitlines(keepends=True)[:2]))
    human = tmp_path / "human.jsonl"
    pair = {"prompt": "How do I bake?", "chosen": "Mix flour.", "rejected": "No."}
    rows = [pair, pair, {**pair, "chosen": "No.", "rejected": "Mix flour."}, {**pair, "chosen": "No."}]
    human.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = invoke(
        "run", "--model", "fake", "--prompts", str(prompts), "--prompts", str(again), "--out", str(tmp_path / "run"),
        "--set", f'preferences.human=["{human}"]', "--until", "preferences", *DATA,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "2 rows repeat a prompt and are merged with it" in done.stderr
    assert f"{human}: 2 rows repeat a pair, 1 of them the other way round, so that its label is the mean" in done.stderr
    assert f"1 pair left out: both answers are the same text ({human}:4)" in done.stderr


def test_human_rows_that_are_left_out_lie_in_the_run_with_place_and_reason(tmp_path: Path) -> None:
    prompts, human, out = write_prompts(tmp_path), tmp_path / "human.jsonl", tmp_path / "run"
    pair = {"prompt": "How do I bake?", "chosen": "Mix flour.", "rejected": "No."}
    scored = [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": None}, {"response": "c"}]
    rows = [
        pair, {**pair, "chosen": "No.", "id": "x1"}, {"instruction": "q", "output_1": "a", "output_2": "b"},
        {"prompt": "Why?", "completions": scored},
    ]  # fmt: skip
    human.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = (
        "run", "--model", "fake", "--prompts", str(prompts), "--out", str(out),
        "--set", f'preferences.human=["{human}"]', "--until", "preferences", *DATA,
    )  # fmt: skip
    done = invoke(*command)
    assert done.exit_code == 0, done.stderr
    file = out / "human.rejected.jsonl"
    assert f"left out: 3 human rows, each with its reason in {file}" in done.stdout
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"place": f"{human}:2", "reason": "both answers are the same text", "row": rows[1]},
        {"place": f"{human}:3", "reason": "no verdict (preference is null)", "row": rows[2]},
        {"place": f"{human}:4", "reason": "a completion has no overall_score", "row": rows[3]},
    ]
    shown = invoke("show", str(out), "human", "--rejected")
    assert shown.exit_code == 0 and f"── {human}:3\n" in shown.stdout and "no verdict (preference is" in shown.stdout
    [row] = invoke("show", str(out), "human", "--rejected", "--id", "x", "--json").stdout.splitlines()
    assert json.loads(row)["row"] == rows[1]
    assert str(file) in invoke("show", str(out), "preferences", "--rejected").stderr
    human.write_text(json.dumps(pair) + "\n")
    again = invoke(*command)
    assert again.exit_code == 0 and "human row" not in again.stdout and not file.exists()
    assert "human: nothing was rejected" in invoke("show", str(out), "human", "--rejected").output
