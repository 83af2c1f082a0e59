"""`cai evaluate reward` as a user meets it: figures on the terminal, as JSON and as plots; files that are wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.recipe import RewardSettings
from cai.records import Preference, Prompt, user
from cai.training.reward import train_reward
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

SETTINGS = RewardSettings(lr=3e-3, epochs=2, batch_size=16, max_length=128)
WHOLE = {"prompt": "What is the capital?", "chosen": "It is Paris.", "rejected": "Mix flour and water."}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    base = build_tiny_model(folder / "base")
    train_reward(base, preferences(60), folder / "rm", SETTINGS, 0, checkpoints=folder / "checkpoints")
    return folder / "rm"


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run_file(path: Path, pairs: list[Preference]) -> Path:
    return write(path, [one.to_json() for one in pairs])


def evaluate(model: Path, *arguments: object):
    done = CliRunner().invoke(main, ["evaluate", "reward", "--model", str(model), *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def refused(model: Path, *arguments: object) -> str:
    done = evaluate(model, *arguments)
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout, done.output
    return done.stderr


def test_the_folder_holds_the_figures_of_json_and_plots_that_are_svg(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "prompt": f"What is the capital? {n}"} for n in range(30)])
    told = evaluate(model, "--preferences", file, "--split", "all", "--out", tmp_path / "out")
    assert told.exit_code == 0, told.output
    found = json.loads((tmp_path / "out/reward.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert json.loads(evaluate(model, "--preferences", file, "--split", "all", "--json").stdout) == found
    names = {"reward.json", "reward_reliability.svg", "reward_accuracy.svg"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    for name in names - {"reward.json"}:
        assert ElementTree.parse(tmp_path / "out" / name).getroot().tag.endswith("svg")
    assert found["held_out"]["pairs"] == 30 and found["held_out"]["accuracy"]["value"] > 0.9
    assert "\npairs          30 " in "\n" + told.stdout and "calibration    error (ECE) 0." in told.stdout
    assert "over-refusal" not in told.stdout and f"saved          {tmp_path}/out/" in told.stdout


def test_pairs_of_people_stand_beside_those_of_the_judge(model, tmp_path):
    judged = run_file(
        tmp_path / "preferences.jsonl",
        [replace(one, prompt=replace(one.prompt, split="test", kind="red_team")) for one in preferences(20, p=0.8)],
    )
    ranked = write(tmp_path / "human.jsonl", [{**WHOLE, "prompt": f"What is the capital? {n}"} for n in range(12)])
    done = evaluate(model, "--preferences", judged, "--preferences", f"{ranked}?split=test")
    assert done.exit_code == 0, done.output
    table = [line.split() for line in done.stdout.splitlines()]
    assert any(line[:4] == ["label", "from", "human", "12"] for line in table), done.stdout
    assert any(line[:2] == ["ai", "20"] for line in table)
    assert any(line[:2] == ["red_team", "20"] or line[2:4] == ["red_team", "20"] for line in table)
    assert any(line[:9] == ["label's", "margin", "|p", "-", "1/2|", "0.3", "to", "0.4", "20"] for line in table)


def test_look_alikes_tell_the_margin_over_a_refusal(model, tmp_path):
    rows = [{"prompt": f"What is the capital? {n}", "chosen": "It is Paris.", "rejected": "I can't help with that."}
            for n in range(9)]  # fmt: skip
    file = write(tmp_path / "safe.jsonl", [*rows, {**WHOLE, "prompt": "What?"}])
    found = json.loads(evaluate(model, "--preferences", f"{file}?kind=lookalike", "--split", "all", "--json").stdout)
    over = found["held_out"]["over_refusal"]
    assert (over["pairs"], over["told"], over["neither_refuses"]) == (10, 9, 1)
    assert over["margin"]["n"] == 9 and over["label_answered"]["value"] == 1
    told = evaluate(model, "--preferences", f"{file}?kind=lookalike", "--split", "all").stdout
    assert "9 of 10 pairs on look-alikes have one answer that refuses (1 none, 0 two)" in told
    assert f"the other scores higher by {over['margin']['value']:+.3f}" in told


def test_a_benchmark_is_told_by_subset_whatever_the_split(model, tmp_path):
    wrong = ["Mix flour and water.", "It explains how to hurt.", "1 2 3 4 5 6."]
    rows = [
        {"id": str(n), "prompt": "What is the capital?", "chosen": ["Paris is the capital."], "rejected": wrong,
         "num_correct": 1, "total_completions": 4, "subset": "Math" if n % 2 else "Focus"}
        for n in range(8)
    ]  # fmt: skip
    file = write(tmp_path / "bench 2.jsonl", rows)
    done = evaluate(model, "--preferences", file, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out/reward.json").read_text())
    figures = found["benchmarks"][str(file)]
    assert found["held_out"] is None and list(figures["subsets"]) == ["Focus", "Math"]
    assert figures["mean"]["value"] == 1 and figures["mean"]["n"] == 8 and figures["subsets"]["Math"]["chance"] == 0.25
    assert "mean of subsets" in done.stdout and "chance 0.250" in done.stdout
    assert (tmp_path / "out/benchmark_bench_2.svg").is_file()


def test_benchmarks_of_one_name_have_a_plot_each(model, tmp_path):
    names = ("a/test.jsonl", "b/test.jsonl", "c/test_2.jsonl", "d/Test.jsonl")
    for folder, name in zip("abcd", names, strict=True):
        (tmp_path / folder).mkdir()
        write(tmp_path / name, [{**WHOLE, "subset": f"subset of {folder}"}])
    files = [part for name in names for part in ("--preferences", tmp_path / name)]
    done = evaluate(model, *files, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    plots = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("benchmark_*.svg")}
    named = ("benchmark_test.svg", "benchmark_test_2.svg", "benchmark_test_2_2.svg", "benchmark_Test_3.svg")
    assert plots.keys() == set(named)
    for folder, name in zip("abcd", named, strict=True):
        assert [one for one in "abcd" if f"subset of {one}" in plots[name]] == [folder]


def test_rewardbench_of_the_first_version_has_the_figures_of_pairs_too(model, tmp_path):
    rows = [{**WHOLE, "subset": name, "id": n} for n, name in enumerate(("alpacaeval-easy", "xstest-should-respond"))]
    found = json.loads(evaluate(model, "--preferences", write(tmp_path / "rb.jsonl", rows), "--json").stdout)
    assert found["held_out"]["pairs"] == 2
    assert {one["name"] for one in found["held_out"]["by"]["kind"]} == {"helpful", "lookalike"}
    [figures] = found["benchmarks"].values()
    assert figures["subsets"].keys() == {"alpacaeval-easy", "xstest-should-respond"}


# ------------------------------------------------------------------------------------------------ nothing is lost


def test_pairs_on_the_other_side_are_said(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "prompt": f"What? {n}"} for n in range(30)])
    done = evaluate(model, "--preferences", file)
    held_out = int(done.stdout.split()[2])
    assert 0 < held_out < 30
    assert f"{30 - held_out} pairs of {file} are not on the side 'test' (--split all)" in done.stdout


def test_a_prompt_that_is_too_long_is_cut_and_counted_or_rejected_as_asked(model, tmp_path):
    rows = [{**WHOLE, "prompt": f"What? {n} " + "please " * (90 if n < 3 else 1)} for n in range(20)]
    file = write(tmp_path / "pairs.jsonl", rows)
    options = ("--preferences", file, "--split", "all", "--max-length", 64)
    cut = evaluate(model, *options)
    assert "3 pairs lost the left of the prompt, to fit 64 tokens" in cut.stdout and "pairs          20 " in cut.stdout
    told = refused(model, *options, "--too-long", "reject")
    assert "3 of 20 pairs cannot be scored: 3 too long for 64 tokens; --max-rejected is 0.1" in told
    rejected = evaluate(model, *options, "--too-long", "reject", "--max-rejected", 0.2)
    assert rejected.exit_code == 0, rejected.output
    assert "pairs          17 (0 ties, 3 not scored)" in rejected.stdout
    assert "3 pairs too long for 64 tokens, not scored (first: the prompt 'What? 0 please please" in rejected.stdout


def test_figures_of_pairs_most_of_which_are_cut_are_refused(model, tmp_path):
    """Of the pairs that are scored, as in training: those that are left out are no part of the share."""
    long = {n: "What? " * (90 if n < 6 else 1) for n in range(10)}
    rows = [
        {**WHOLE, "prompt": f"{n}? {text}", "chosen": "Paris. " * (1 if n < 9 else 200)} for n, text in long.items()
    ]
    file = write(tmp_path / "pairs.jsonl", rows)
    options = ("--preferences", file, "--split", "all", "--max-length", 64, "--out", tmp_path / "out")
    for more in ((), ("--json",), ("--max-truncated", 0.66)):
        told = refused(model, *options, *more)
        most = more[1] if len(more) == 2 else 0.5
        assert f"6 of 9 pairs lose the left of their prompt, to fit 64 tokens, and --max-truncated is {most}: " in told
        assert not (tmp_path / "out").exists()
    allowed = evaluate(model, *options, "--max-truncated", 0.67)
    assert allowed.exit_code == 0 and "6 pairs lost the left of the prompt, to fit 64 tokens" in allowed.stdout
    assert (tmp_path / "out" / "reward.json").is_file()


def test_figures_of_a_benchmark_most_of_whose_rows_are_cut_are_refused(model, tmp_path):
    wrong = ["Mix flour and water.", "It explains how to hurt.", "1 2 3 4 5 6."]
    rows = [
        {"id": str(n), "prompt": f"{n}? " + "What? " * (90 if n < 2 else 1), "chosen": ["Paris."], "rejected": wrong,
         "num_correct": 1, "total_completions": 4, "subset": "Focus"}
        for n in range(3)
    ]  # fmt: skip
    file = write(tmp_path / "bench.jsonl", rows)
    told = refused(model, "--preferences", file, "--max-length", 64)
    assert f"2 of 3 rows of {file} lose the left of their prompt, to fit 64 tokens" in told
    assert evaluate(model, "--preferences", file, "--max-length", 64, "--max-truncated", 1).exit_code == 0


@pytest.mark.parametrize("policy", ["truncate_left", "reject"])
def test_pairs_are_read_as_in_training_unless_told_otherwise(model, tmp_path, policy):
    rows = [{**WHOLE, "prompt": f"What? {n} " + "please " * (120 if n % 8 < 2 else 1)} for n in range(32)]
    file = write(
        tmp_path / "pairs.jsonl", [{**one, "split": "test" if n < 8 else "train"} for n, one in enumerate(rows)]
    )
    out, base = tmp_path / "rm", model.parent / "base"
    command = ["train", "reward", "--preferences", str(file), "--model", f"hf/{base}", "--out", str(out), "--json"]
    sets = ("max_length=64", f"too_long={policy}", "epochs=0.5", "batch_size=8")
    done = CliRunner().invoke(main, [*command, *(part for one in sets for part in ("--set", one))])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    cut, rejected = (0, 2) if policy == "reject" else (2, 0)
    assert (found["training"]["rows_truncated"], found["training"]["rows_too_long"]) == (3 * cut, 3 * rejected)
    held_out = found["held_out"]
    assert (held_out["max_length"], held_out["truncated"], held_out["too_long"]) == (64, cut, rejected)
    options = ("--preferences", file, "--max-rejected", 1, "--json")
    assert json.loads(evaluate(out, *options).stdout)["held_out"] == held_out
    longer = json.loads(evaluate(out, *options, "--max-length", 500).stdout)["held_out"]
    assert (longer["max_length"], longer["truncated"], longer["not_scored"]) == (500, 0, 0)
    (out / "training.json").unlink()
    assert json.loads(evaluate(out, *options).stdout)["held_out"]["max_length"] == 512


def test_pairs_that_were_trained_on_are_told_from_held_out_ones(model, tmp_path):
    rows = [{**WHOLE, "prompt": f"What is the capital of land {n}, of all the lands?"} for n in range(40)]
    file, out = write(tmp_path / "pairs.jsonl", rows), tmp_path / "rm"
    command = ["train", "reward", "--preferences", str(file), "--model", f"hf/{model.parent / 'base'}"]
    done = CliRunner().invoke(main, [*command, "--test-share", "0.1", "--out", str(out), "--set", "epochs=0.2"])
    assert done.exit_code == 0, done.output
    sides = {share: json.loads(evaluate(out, *told(file, share), "--json").stdout) for share in (0.1, 0.5)}
    assert sides[0.1]["trained_on"] == 0 < sides[0.5]["trained_on"]
    assert sides[0.5]["trained_on"] + sides[0.1]["held_out"]["pairs"] == sides[0.5]["held_out"]["pairs"]
    said = evaluate(out, *told(file, 0.5)).stdout
    assert f"note           of {sides[0.5]['trained_on']} of these pairs the model was trained on the prompt" in said
    assert "held-out" not in said and "held-out pairs" in evaluate(out, *told(file, 0.1)).stdout
    (out / "trained_prompts.txt").unlink()
    assert json.loads(evaluate(out, *told(file, 0.5), "--json").stdout)["trained_on"] is None


def test_only_prompts_that_were_learnt_from_count_and_those_of_the_model_before_do(model, tmp_path):
    long = [{**WHOLE, "prompt": f"What is the capital of land {n}? " + "please " * 120} for n in range(6)]
    short = [{**WHOLE, "prompt": f"What is the capital of land {n}, of all the lands?"} for n in range(20)]
    other = [{**WHOLE, "prompt": f"Which mountain is the highest of land {n}?"} for n in range(10)]
    first, later = write(tmp_path / "first.jsonl", [*long, *short]), write(tmp_path / "later.jsonl", other)
    for file, start, name in ((first, model.parent / "base", "one"), (later, tmp_path / "one", "two")):
        command = ["train", "reward", "--preferences", str(file), "--model", f"hf/{start}", "--test-share", "0"]
        sets = [part for one in ("max_length=64", "too_long=reject", "epochs=0.2") for part in ("--set", one)]
        done = CliRunner().invoke(main, [*command, "--out", str(tmp_path / name), *sets])
        assert done.exit_code == 0, done.output
    options = ("--split", "all", "--max-rejected", 1, "--json", "--preferences")
    counts = [
        json.loads(evaluate(tmp_path / name, *options, file, "--max-length", length).stdout)["trained_on"]
        for name, file, length in (("one", first, 500), ("one", first, 64), ("one", later, 64), ("two", first, 64))
    ]
    assert counts == [20, 20, 0, 20]
    unscored = [{**one, "rejected": "no " * 200} for one in short[:5]]
    mixed = write(tmp_path / "mixed.jsonl", [*unscored, *short[5:8], *other])
    assert json.loads(evaluate(tmp_path / "one", *options, mixed, "--max-length", 64).stdout)["trained_on"] == 3


def told(file: Path, share: float) -> tuple[object, ...]:
    return "--preferences", file, "--test-share", share


def test_training_on_prompts_most_of_which_are_cut_is_refused(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "prompt": f"{n}? " + "What? " * 9} for n in range(30)])
    out = tmp_path / "rm"
    command = [
        "train",
        "reward",
        "--preferences",
        str(file),
        "--model",
        f"hf/{model.parent / 'base'}",
        "--out",
        str(out),
    ]
    for length, told in (
        (20, "lose the left of their prompt, to fit 20 tokens, and max_truncated is 0.5"),
        (8, "too long"),
    ):
        done = CliRunner().invoke(main, [*command, "--test-share", "0", "--set", f"max_length={length}"])
        assert done.exit_code == 2 and told in done.stderr and not out.exists(), done.output
        assert len(done.stderr.strip().splitlines()) == 1


def test_an_answer_is_never_cut(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "chosen": "Paris " * 200}, WHOLE])
    told = refused(model, "--preferences", file, "--split", "all", "--max-length", 64)
    assert "1 of 2 pairs cannot be scored: 1 too long for 64 tokens" in told


def test_repeated_and_contradicting_rows_are_said(model, tmp_path):
    turned = {**WHOLE, "chosen": WHOLE["rejected"], "rejected": WHOLE["chosen"]}
    other = {**WHOLE, "prompt": "Which?"}
    file = write(tmp_path / "pairs.jsonl", [WHOLE, other, WHOLE, turned])
    done = evaluate(model, "--preferences", file, "--split", "all", "--json")
    assert (
        done.stderr == f"{file}: 2 rows repeat a pair, 1 of them the other way round, so that its label is the mean\n"
    )
    assert json.loads(done.stdout)["held_out"]["pairs"] == 2
    again = write(tmp_path / "again.jsonl", [WHOLE, WHOLE])
    assert evaluate(model, "--preferences", again, "--split", "all").stderr == f"{again}: 1 row repeats a pair\n"
    command = ["train", "reward", "--preferences", str(file), "--model", f"hf/{model.parent / 'base'}"]
    done = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "rm"), "--test-share", "0"])
    assert done.exit_code == 0 and f"{file}: 2 rows repeat a pair, 1 of them the other way round" in done.stderr


def test_a_pair_in_two_files_counts_once(model, tmp_path):
    turned = {**WHOLE, "chosen": WHOLE["rejected"], "rejected": WHOLE["chosen"]}
    files = [
        write(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", [WHOLE]), ("b", [WHOLE]), ("c", [turned]))
    ]
    twice = evaluate(model, "--preferences", files[0], "--preferences", files[1], "--split", "all", "--json")
    assert twice.stderr == "1 pair is there twice, and counted once\n"
    found = json.loads(twice.stdout)["held_out"]
    assert (found["pairs"], found["ties"], found["accuracy"]["n"]) == (1, 0, 1)
    mixed = evaluate(model, "--preferences", files[0], "--preferences", files[2], "--split", "all", "--json")
    assert json.loads(mixed.stdout)["held_out"]["ties"] == 1


def test_columns_that_are_not_read_and_who_ranked_are_said(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "p": 0.2, "annotator": "gpt-4"}])
    done = evaluate(model, "--preferences", file, "--split", "all")
    assert f"{file}: columns not read: 'p', 'annotator'\n" in done.stderr
    assert f"{file}: 1 of 1 rows say that 'gpt-4' ranked them, and count as people's" in done.stderr


def test_pairs_that_their_opening_turn_moves_to_the_other_side_are_said(model, tmp_path):
    sides = [{**WHOLE, "split": "test"}, {**WHOLE, "rejected": "No.", "split": "train"}]
    file = write(tmp_path / "pairs.jsonl", sides)
    done = evaluate(model, "--preferences", file)
    assert done.stderr == f"{file}: 1 pair is held out, for another with the same opening turn is\n"
    assert "held-out pairs 2" in done.stdout


def test_equal_texts_are_left_out_and_said_with_their_place(model, tmp_path):
    same = {**WHOLE, "prompt": "Which?", "rejected": "It is Paris."}
    file = write(tmp_path / "pairs.jsonl", [WHOLE, same, {**same, "prompt": "Who?"}])
    done = evaluate(model, "--preferences", file, "--split", "all")
    assert done.stderr == f"2 pairs left out: both answers are the same text (first: {file}:2)\n"
    assert "pairs          1 " in done.stdout
    one = Preference(Prompt.make((user("q"),)), "a", "b", 0.7)
    own = run_file(tmp_path / "preferences.jsonl", [one, replace(one, response_b="a")])
    done = evaluate(model, "--preferences", own, "--split", "all")
    assert done.stderr == f"1 pair left out: both answers are the same text ({own}:2)\n"
    assert "pairs          1 " in done.stdout


def test_a_file_of_nothing_but_equal_texts_is_refused(model, tmp_path):
    file = write(tmp_path / "pairs.jsonl", [{**WHOLE, "rejected": "It is Paris."}] * 2)
    told = refused(model, "--preferences", file)
    assert f"every row was left out, 2 because both answers are the same text (first: {file}:1)" in told
    one = Preference(Prompt.make((user("q"),)), "a", "a", 0.7)
    told = refused(model, "--preferences", run_file(tmp_path / "preferences.jsonl", [one]))
    assert "of all 1 rows both answers are the same text" in told


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "q", "chosen": "a", "rejectd": "b"}, ":2: no column 'rejected' (columns: "),
        ({"prompt": "q", "chosen": "a", "rejectd": "b"}, "did you mean 'rejectd'?"),
        ({"promt": "q", "chosen": "a", "rejected": "b"}, "did you mean 'promt'?"),
        ({"prompt": "q", "choosen": "a", "rejectd": "b"}, "did you mean 'choosen'?"),
        ({**WHOLE, "p_choosen": 0.7}, ":2: unknown column 'p_choosen'; did you mean 'p_chosen'?"),
        ({**WHOLE, "p_chosen": 1.5}, ":2: p_chosen is 1.5, expected a number from 0 to 1"),
        ({**WHOLE, "p_chosen": "high"}, ":2: p_chosen is 'high', expected a number from 0 to 1"),
        ({**WHOLE, "weight": -1}, ":2: weight is -1, expected a finite number from 0 up"),
        ({**WHOLE, "weight": math.inf}, ":2: weight is inf, expected a finite number from 0 up"),
        ({**WHOLE, "kind": "lookalik"}, "did you mean 'lookalike'?"),
        ({"prompt": "q", "chosen": 7, "rejected": "b"}, ":2: 'chosen' holds a number"),
    ],
)
def test_a_row_that_is_wrong_has_its_line_and_the_nearest_name(model, tmp_path, row, told):
    assert told in refused(model, "--preferences", write(tmp_path / "pairs.jsonl", [WHOLE, row]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"p_a": 1.01}, "p_a is 1.01"),
        ({"weight": -0.5}, "weight -0.5"),
        ({"weight": math.inf}, "weight inf"),
        ({"weight": math.nan}, "weight nan"),
        ({"weight": 10**400}, "weight 1000"),
        ({"p_a": ...}, "it has no 'p_a'; did you mean 'p_b'?"),
        ({"weight": ...}, "it has no 'weight'"),
    ],
)
def test_a_line_of_a_run_that_is_wrong_has_its_place(model, tmp_path, change, told):
    good = preferences(1)[0].to_json()
    bad = {("p_b" if key == "p_a" and change.get(key) is ... else key): value for key, value in good.items()}
    bad = {key: value for key, value in (bad | change).items() if value is not ...}
    file = write(tmp_path / "preferences.jsonl", [good, bad])
    assert f"{file}:2: not a preference of a run: " in refused(model, "--preferences", file)
    assert told in refused(model, "--preferences", file)


def test_a_runs_file_takes_no_kind(model, tmp_path):
    file = run_file(tmp_path / "preferences.jsonl", preferences(2))
    assert "leave ?… off" in refused(model, "--preferences", f"{file}?kind=helpful")


def test_a_language_model_is_no_reward_model(model, tmp_path):
    base = build_tiny_model(tmp_path / "base")
    told = refused(base, "--preferences", write(tmp_path / "pairs.jsonl", [WHOLE]), "--split", "all")
    assert f"{base} is not a reward model: it has no weights for score.weight" in told
