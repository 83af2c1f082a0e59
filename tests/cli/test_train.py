from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.cli.progress import _reward_lines
from cai.constitution import load_constitution
from cai.errors import AuditError
from cai.models import ENGINES
from cai.pipeline.audit_standing import audit_of
from cai.records import Draft
from cai.storage.run import read_rows
from cai.training.backbone import load_backbone
from tests.audit import judges
from tests.pipeline.runs import fake_run, write_prompts
from tests.tiny import build_tiny_model, build_tiny_tokenizer
from tests.training.planted import dialogues, preferences, with_a_drawn_head

SMALL = ["--set", "lr=3e-3", "--set", "epochs=2", "--set", "batch_size=16", "--set", "reward.max_length=128"]
LONGER = ["--set", "lr=3e-3", "--set", "epochs=1", "--set", "max_length=400"]
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
    assert result["training"]["layout"] == "packed"
    assert 5 < held_out["pairs"] < 30
    measured = cai("evaluate", "reward", "--model", out, "--preferences", pairs, "--json")
    assert json.loads(measured.stdout)["held_out"] == held_out
    told = cai("evaluate", "reward", "--model", out, "--preferences", pairs, "--split", "all")
    assert told.stdout.startswith("pairs          80 ") and "always longer" in told.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["rm"]


def test_a_runs_own_preferences_keep_their_soft_labels_and_split(base, tmp_path):
    file = tmp_path / "preferences.jsonl"
    file.write_text("".join(json.dumps(one.to_json()) + "\n" for one in preferences(20, p=0.7)))
    command = "train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm", *SMALL
    done = cai(*command, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["training"]["rows_given"] == 20 and result["held_out"] is None
    assert "holds a trained model" not in done.stderr
    again = cai(*command, "--seed", 1)
    assert again.exit_code == 0 and f"{tmp_path}/rm/ holds a trained model" in again.stderr
    assert "held-out pairs 0, so nothing was measured" in again.stdout


@pytest.mark.parametrize("kind", ["reward", "sft"])
def test_files_that_are_not_the_models_own_are_not_deleted_with_it(base, pairs, tmp_path, kind):
    data = tmp_path / "data.jsonl"
    rows = [{"messages": [message.to_json() for message in one]} for one in dialogues(8)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, option = tmp_path / "model", ("--data", data) if kind == "sft" else ("--preferences", pairs)
    command = "train", kind, *option, "--model", f"hf/{base}", "--out", out, *(LONGER if kind == "sft" else SMALL)
    assert cai(*command).exit_code == 0
    modes = {path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert len(modes) == 1 and modes == {pairs.stat().st_mode & 0o777}
    (out / "notes.txt").write_text("mine")
    assert cai(*command).exit_code == 0, "the same training finds its model"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = cai(*command, "--seed", 1)
    assert other.exit_code != 0 and "notes.txt would be deleted with the model there" in other.output
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "notes.txt").unlink()
    assert cai(*command, "--seed", 1).exit_code == 0


def test_a_folder_without_its_engine_is_told_so(base, pairs, tmp_path):
    done = cai("train", "reward", "--preferences", pairs, "--model", base, "--out", tmp_path / "rm")
    assert done.exit_code == 2 and f"for the model in that folder: hf/{base}" in done.output


def labelled_run(folder: Path, monkeypatch, items: int = 24) -> Path:
    """A run of a judge that is right, up to its audit (none with 0 `items`)."""
    monkeypatch.setitem(ENGINES._entries, "planted", "tests.audit.judges:PlantedJudge")
    monkeypatch.setattr(judges, "TRUTH", {})
    settings = {"constitution": "minimal", "audit__items": items}
    prompts = folder / "prompts.jsonl" if (folder / "prompts.jsonl").exists() else write_prompts(folder)
    fake_run(folder / "run", prompts, "planted/perfect", until="revise", **settings)
    for row in read_rows(folder / "run" / "revise-2.jsonl"):
        draft = Draft.from_json(row)
        judges.TRUTH[draft.prompt.messages[-1].content] = draft.latest
    for test in load_constitution("minimal").tests:
        judges.TRUTH[test.messages[-1].content] = test.better
    fake_run(folder / "run", prompts, "planted/perfect", **settings)
    return folder / "run"


def relabelled(run: Path) -> None:
    fake_run(
        run, run.parent / "prompts.jsonl", "planted/perfect", until="preferences", judge="planted/first",
        constitution="minimal", audit__items=24,
    )  # fmt: skip


def rebounded(run: Path) -> None:
    fake_run(
        run, run.parent / "prompts.jsonl", "planted/perfect", until="preferences", constitution="minimal",
        audit__items=24, audit__place=0.01,
    )  # fmt: skip


def edited_by_hand(run: Path) -> None:
    file = run / "preferences.jsonl"
    file.write_text(re.sub(r'"p_a":[0-9.]+', '"p_a":0.75', file.read_text(), count=1))


def without_audit(run: Path) -> None:
    (run / "metrics" / "audit.json").unlink()


def of_an_earlier_version(run: Path) -> None:
    file = run / "metrics" / "audit.json"
    figures = json.loads(file.read_text())
    figures.pop("audited")
    file.write_text(json.dumps(figures))


def failed(run: Path) -> None:
    file = run / "metrics" / "audit.json"
    figures = json.loads(file.read_text())
    place = next(one for one in figures["gates"] if one["gate"] == "place")
    place |= {"value": 0.45, "bound": 0.25, "passed": False}
    file.write_text(json.dumps(figures))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (relabelled, "the audit is not of these labels (another judge gave the votes; "),
        (rebounded, "the audit is not of these labels (place: 0.3 -> 0.01; "),
        (edited_by_hand, "the audit is not of these labels (preferences.jsonl has changed since; "),
        (of_an_earlier_version, "the audit is not of these labels (it does not say of which"),
        (without_audit, "the judge of these labels was not audited (no "),
        (failed, "failed its audit (place is 0.45, at most 0.25 wanted; "),
    ],
)
def test_labels_without_a_passed_audit_of_them_are_refused_unless_accepted(
    base, tmp_path, monkeypatch, change, problem
):
    run = labelled_run(tmp_path, monkeypatch)
    file, out = run / "preferences.jsonl", tmp_path / "rm"
    command = ("train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", out, *LONGER)
    assert audit_of(file, False).startswith("passed 8 of 11; not measured: ")
    exported = run / "datasets" / "preference" / "train.jsonl"
    assert audit_of(exported, False) == audit_of(file, False)
    assert audit_of(Path(os.path.relpath(exported)), False) == audit_of(file, False)
    done = cai("export", run, "--format", "native", "--out", run / "theirs")
    assert done.exit_code == 0, done.output
    folder = run / "theirs" / "native"
    assert audit_of(folder / "train.jsonl", False) == audit_of(folder, False) == audit_of(file, False)
    change(run)
    done = cai(*command)
    assert done.exit_code == 1 and done.stderr.count("\n") == 1 and not out.exists(), done.output
    assert problem in done.stderr and "--accept-audit" in done.stderr
    assert str(run / "metrics" / "audit.json") in done.stderr
    assert "accepted_audits" not in json.loads((run / "manifest.json").read_text())
    done = cai(*command, "--accept-audit", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["audit"]
    assert said.startswith("accepted: ")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["accepted_audits"] == {str(out): {"labels": "preferences.jsonl", "audit": said}}
    assert json.loads((out / "training.json").read_text())["audit"] == said
    elsewhere = tmp_path / "preferences.jsonl"
    elsewhere.write_text(file.read_text())
    assert audit_of(elsewhere, False) == ""


def test_an_export_of_other_labels_than_were_audited_is_refused(base, tmp_path, monkeypatch):
    run = labelled_run(tmp_path, monkeypatch)
    exported = run / "datasets" / "preference" / "train.jsonl"
    settings = {"constitution": "minimal", "audit__items": 24, "judge": "planted/longer"}
    fake_run(run, tmp_path / "prompts.jsonl", "planted/perfect", until="audit", **settings)
    with pytest.raises(AuditError, match="failed its audit"):
        audit_of(run / "preferences.jsonl", False)
    with pytest.raises(AuditError, match="it was exported from other labels"):
        audit_of(exported, False)


def test_a_manifest_of_something_else_is_no_run(pairs, tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "my web page"}')
    file = tmp_path / "pairs.jsonl"
    file.write_text(pairs.read_text())
    assert audit_of(file, False) == ""


def test_a_passed_audit_is_told_with_the_model(base, tmp_path, monkeypatch):
    run = labelled_run(tmp_path, monkeypatch)
    done = cai(
        "train", "reward", "--preferences", run / "preferences.jsonl", "--model", f"hf/{base}", "--out",
        tmp_path / "rm", *LONGER,
    )  # fmt: skip
    assert done.exit_code == 0 and "audit          passed 8 of 11; not measured: " in done.stdout, done.output
    assert json.loads((tmp_path / "rm" / "training.json").read_text())["audit"].startswith("passed 8 of 11; ")
    assert "accepted_audits" not in json.loads((run / "manifest.json").read_text())


def test_sft_is_trained_on_a_file_of_messages(base, tmp_path):
    file = tmp_path / "data.jsonl"
    rows = [{"messages": [message.to_json() for message in one]} for one in dialogues(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cai("train", "sft", "--data", file, "--model", f"hf/{base}", "--out", tmp_path / "sft", "--set", "lr=1e-3")
    assert done.exit_code == 0, done.output
    assert "20 to learn from, 20 used" in done.stdout and (tmp_path / "sft/model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("--set", "epoch=2"), "did you mean 'epochs'"),
        (("--set", "lr=fast"), "lr"),
        (("--model", "openai/x@http://localhost"), "hf/PATH"),
        (("--model", "hf/nowhere"), "nowhere is not a model folder: there is no such folder"),
        (("--model", "hf/~/nowhere"), f"{Path.home()}/nowhere is not a model folder"),
        (("--out", "."), "is the folder you are in, or one around it"),
        (("--out", "/"), "/ holds the model to start from"),
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


@pytest.mark.parametrize("command", ["train reward", "train sft", "evaluate reward"])
def test_a_model_that_is_not_there_is_told_before_anything_is_read(tmp_path, command):
    trains, learns = command.startswith("train"), command.endswith("sft")
    options = ["--data" if learns else "--preferences", "nowhere.jsonl", "--model", f"hf/{tmp_path}/none"]
    done = cai(*command.split(), *options, *(["--out", tmp_path / "rm"] if trains else []))
    assert done.exit_code == 2 and f"{tmp_path}/none is not a model folder" in done.stderr, done.output


def test_a_home_folder_is_found(base, pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(base.parent))
    done = cai(
        "train", "reward", "--preferences", pairs, "--model", f"hf/~/{base.name}", "--out", tmp_path / "rm", *SMALL,
        "--set", "epochs=0.2", "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output


def test_a_quiet_training_tells_what_it_left_out_and_what_it_cut(base, tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is it? {n}", "chosen": "Paris.", "rejected": "Flour."} for n in range(8)]
    rows += [{**rows[0], "prompt": "please " * 400}, {**rows[0], "prompt": "Why?", "chosen": "Paris. " * 400}]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    options = ["--preferences", file, "--model", f"hf/{base}", "--test-share", 0, "--set", "max_length=128", "--quiet"]
    done = cai("train", "reward", *options, "--out", tmp_path / "rm")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "1 row left out: too long for 128 tokens, for a cut would leave nothing of the last question "
        "(the prompt 'Why?')",
        "1 of the 9 rows to train on lost the left of the prompt, to fit 128 tokens",
    ]


def test_a_folder_of_something_else_is_not_replaced(base, pairs, tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    done = cai("train", "reward", "--preferences", pairs, "--model", f"hf/{base}", "--out", tmp_path)
    assert done.exit_code == 2 and "is not empty and holds no model trained by cai" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{}", "not a preference of a run: it has no 'prompt'"),
        ("[]", "a value is of the wrong type"),
        ('{"prompt": ', "JSON that ends half-way"),
        ({"p_a": 2}, "p_a must lie in 0 … 1"),
        ({"p_a": "0.5"}, "a value is of the wrong type"),
        ({"response_a": 7}, "all answers be text"),
    ],
)
def test_a_broken_line_of_a_runs_preferences_has_its_place(base, tmp_path, line, problem):
    file = tmp_path / "preferences.jsonl"
    good = preferences(1)[0].to_json()
    file.write_text(json.dumps(good) + "\n" + (line if isinstance(line, str) else json.dumps({**good, **line})) + "\n")
    done = cai("evaluate", "reward", "--model", base, "--preferences", file)
    assert done.exit_code == 2 and f"{file}:2" in done.stderr and problem in done.stderr, done.output


@pytest.mark.parametrize("command", ["train reward", "evaluate reward", "embedded evaluate"])
def test_weights_that_are_cut_off_are_one_line(base, pairs, tmp_path, command):
    folder = tmp_path / "cut"
    shutil.copytree(base, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    options = ["--model", f"hf/{folder}" if command == "train reward" else folder]
    options += [] if command.startswith("embedded") else ["--preferences", pairs]
    done = cai(*command.split(), *options, *(["--out", tmp_path / "rm"] if command == "train reward" else []))
    assert done.exit_code == 2 and str(folder) in done.stderr, done.output
    assert "its weights are broken: " in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("labels", [(0.5, 0.5), (0.5, 1.0)])
def test_figures_that_do_not_exist_are_null_and_dashes(base, tmp_path, labels):
    made = with_a_drawn_head(load_backbone(base, 0))
    made.model.save_pretrained(tmp_path / "rm")
    made.tokenizer.save_pretrained(tmp_path / "rm")
    file = tmp_path / "preferences.jsonl"
    rows = [replace(one, p_a=p) for one, p in zip(preferences(2), labels, strict=True)]
    file.write_text("".join(json.dumps(one.to_json()) + "\n" for one in rows))
    options = ("--model", tmp_path / "rm", "--preferences", file, "--split", "all")
    done = cai("evaluate", "reward", *options, "--json")
    assert done.exit_code == 0, done.output
    held_out = json.loads(done.stdout, parse_constant=pytest.fail)["held_out"]
    assert held_out["lift_over_longer"]["low"] is None and (held_out["accuracy"]["value"] is None) == (labels[1] == 0.5)
    told = cai("evaluate", "reward", *options).stdout
    assert not re.search(r"\b(nan|inf|none)\b", told.lower()), told
    assert ("accuracy       -  no pair tells" in told) == (labels[1] == 0.5)
    assert ("%" in _reward_lines(held_out)[0]) == (labels[1] == 1.0)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"rejected": None}, ":9: 'rejected' holds nothing"),
        ({"rejected": "Paris."}, "1 pair left out: both answers are the same text"),
        ({"p_chosen": 1.2}, ":9: p_chosen is 1.2, expected a number from 0 to 1"),
        ({"p_chosen": -0.1}, ":9: p_chosen is -0.1, expected a number from 0 to 1"),
        ({"p_chosen": "0,9"}, ":9: p_chosen is '0,9', expected a number from 0 to 1"),
        ({"p_chosen": "1.9"}, ":9: p_chosen is '1.9', expected a number from 0 to 1"),
        ({"p_chosen": "0.9"}, "9 to learn from, 9 used"),
        ({"prompt": "please " * 400}, "9 to learn from, 9 used, 1 truncated"),
        ({"chosen": "Paris. " * 400}, "9 to learn from, 8 used, 1 too long"),
        ({"prompt": "What?", "rejected": "a"}, "packed, "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_nothing_is_lost(base, tmp_path, row, told):
    whole = {"prompt": "What is it?", "chosen": "Paris.", "rejected": "Flour."}
    rows = [{**whole, "prompt": f"What is it? {n}"} for n in range(8)] + [{**whole, **row}]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    done = cai(
        "train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm",
        "--test-share", 0, "--set", "max_length=128",
    )  # fmt: skip
    assert told in done.output and done.exit_code == (2 if ":9:" in told else 0), done.output
    if done.exit_code == 0:
        training = json.loads((tmp_path / "rm/training.json").read_text())["report"]
        left_out = sum(training[f"rows_{name}"] for name in ("used", "too_long", "not_rendered", "same_answer"))
        assert left_out == training["rows_given"] == 9 - ("left out" in told)


def test_a_pad_that_was_the_eos_is_said_aloud(base, pairs, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(base, model)
    tokenizer = build_tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(model)
    out = tmp_path / "rm"
    done = cai(
        "train", "reward", "--preferences", pairs, "--model", f"hf/{model}", "--out", out, *SMALL, "--set", "epochs=0.2"
    )
    assert done.exit_code == 0, done.output
    assert "note           the tokenizer had pad = EOS (<|eos|>); <|pad|> (id 0) was added as pad" in done.stdout
    config = json.loads((out / "config.json").read_text())
    assert config["pad_token_id"] == 0 != config["eos_token_id"]


@pytest.mark.parametrize(("most", "code"), [("0.2", 2), ("0.3", 0)])
def test_prompts_that_are_too_long_are_rejected_as_asked_up_to_a_threshold(base, tmp_path, most, code):
    rows = [
        {"prompt": f"What is it? {n} " + "please " * (200 if n < 2 else 1), "chosen": "Paris.", "rejected": "Flour."}
        for n in range(8)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cai(
        "train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm", *SMALL,
        "--test-share", 0, "--set", "too_long=reject", "--set", f"max_rejected={most}",
    )  # fmt: skip
    assert done.exit_code == code, done.output
    if code:
        assert "2 of 8 rows cannot be trained on: 2 too long for 128 tokens" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "rm").exists()
    else:
        assert "8 to learn from, 6 used, 2 too long" in done.stdout


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
        "--set", "epochs=1", "--set", "max_rejected=1", "--set", "max_truncated=1", *SMALL[4:],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    training = json.loads(done.stdout)["training"]
    assert training["rows_given"] == training["rows_used"] + training["rows_too_long"]
    assert training["rows_truncated"] > 0


def test_labels_of_the_judge_and_of_people_are_told_apart():
    from cai.evaluation.figures import reward_figures
    from cai.records import Preference, Prompt, user

    rows = [
        Preference(Prompt.make((user(f"q{at}"),)), "yes", "no", 1.0, source="human" if at < 2 else "ai")
        for at in range(6)
    ]
    figures = reward_figures(rows, [1.0] * 5 + [0.0], [0.5] * 6, lambda messages, text: False)
    assert _reward_lines(figures)[1].strip() == "75.0% of 4 ai; 100.0% of 2 human"
    assert len(_reward_lines(reward_figures(rows[2:], [1.0] * 4, [0.5] * 4, lambda messages, text: False))) == 1


@pytest.mark.parametrize(("command", "option"), [("reward", "--preferences"), ("sft", "--data")])
def test_a_second_file_is_not_read_in_place_of_the_first(tmp_path, command, option):
    done = cai("train", command, option, "a.jsonl", option, "b.jsonl", "--model", "embedded", "--out", tmp_path / "rm")
    assert done.exit_code == 2 and "given 2 times; one file is read, so put a.jsonl and b.jsonl into one" in done.stderr
