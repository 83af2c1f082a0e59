from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.human_preferences import read_human_preferences
from cai.imports.formats import HEAD
from cai.pipeline.export_run import ExportRequest, export_run
from cai.prompts import read_prompts
from cai.records import Preference, user
from tests.exports.sample_run import write_sample_run
from tests.prompts.writing import TWO, write, write_rows

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")
PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def run(*arguments: object):
    done = CliRunner().invoke(main, ["import", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_name_of_a_source_is_not_taken_for_who_ranked_the_pairs(tmp_path):
    done = run(f"{write_rows(tmp_path, PAIR)}?source=ai", "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1) and "`cai import FILE --source ai`" in done.stderr
    assert not (tmp_path / "out").exists()
    prompts = run(f"{write_rows(tmp_path, PAIR)}?source=ai", "--out", tmp_path / "out", "--as", "prompts")
    assert prompts.exit_code == 0, prompts.stderr


def test_pairs_become_preferences_that_the_rest_reads(tmp_path):
    rows = [PAIR, {**PAIR, "prompt": "r", "rejected": "a"}, {**PAIR, "prompt": "s", "p_chosen": 0.5}, PAIR]
    done = run(write_rows(tmp_path, *rows), "--out", tmp_path / "out", "--source", "ai", "--kind", "helpful")
    assert done.exit_code == 0, done.stderr
    assert "read       4 rows, format preference_text" in done.output
    assert "           columns not read: none" in done.output
    assert "kept       2 preferences: " in done.output and ", 1 tie" in done.output
    assert "source     ai (2)" in done.output and "kind       helpful, as given" in done.output
    assert "repeated   1 merged with the first; the label is their mean" in done.output
    assert f"1 × both answers are the same text (first: {tmp_path}/p.jsonl:2)" in done.output
    out = tmp_path / "out/preferences.jsonl"
    read = [Preference.from_json(json.loads(line)) for line in out.read_text().splitlines()]
    assert read_human_preferences(str(out)).preferences == read
    refused = json.loads((tmp_path / "out/preferences.rejected.jsonl").read_text())
    assert refused == {"place": f"{tmp_path}/p.jsonl:2", "reason": "both answers are the same text", "row": rows[1]}


def test_pairs_that_a_model_ranked_are_not_taken_for_people_s_unsaid(tmp_path):
    annotated = {"output_1": "a", "output_2": "b", "preference": 2, "annotator": "gpt-4"}
    rows = [{"instruction": f"q{n}", **annotated} for n in range(3)] + [{**PAIR, "source": "ai", "annotator": "mine"}]
    done = run(write_rows(tmp_path, *rows), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "           3 pairs say that 'gpt-4' ranked them; --source ai keeps a model's apart\n" in done.output
    assert "mine" not in done.output
    assert "gpt-4" not in run(write_rows(tmp_path, *rows), "--out", tmp_path / "ai", "--source", "ai").output


def test_a_rejected_row_with_a_number_that_json_has_not_is_json_and_whole(tmp_path):
    lines = ['{"prompt": "q", "chosen": "a", "rejected": "b"}', '{"prompt": "r", "chosen": "é", "weight": 1e999}']
    lines.append('{"prompt": "s", "chosen": "a", "rejected": "b", "weight": {"x": [NaN, -Infinity]}}')
    file = write(tmp_path, "p.jsonl", "\n".join(lines))
    assert run(file, "--out", tmp_path / "out").exit_code == 0

    def not_json(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "out/preferences.rejected.jsonl").read_text()
    refused = [json.loads(line, parse_constant=not_json) for line in text.splitlines()]
    assert [one["place"] for one in refused] == [f"{tmp_path}/p.jsonl:{line}" for line in (2, 3)]
    assert [repr(json.loads(one["row_text"])) for one in refused] == [repr(json.loads(line)) for line in lines[1:]]
    assert not any("row" in one for one in refused)


def test_columns_not_read_are_named(tmp_path):
    rows = [{**PAIR, "by": "x"}, {**PAIR, "prompt": "r", "by": 1, "n": 2}]
    done = run(write_rows(tmp_path, *rows), "--out", tmp_path / "out")
    assert "           columns not read: 'by', 'n' (1)\n" in done.output


@pytest.mark.parametrize("name", ["sft", "openrlhf_sft", "verl_sft", "axolotl_sft", "llamafactory_sft"])
def test_the_answers_of_training_examples_are_named_where_prompts_are_taken(name, tmp_path):
    sample, exported, out = write_sample_run(tmp_path / "run"), tmp_path / "exported", tmp_path / "out"
    told = export_run(sample, ExportRequest((name,), out=exported, single_turn_only=True))["formats"][name]
    done = run(exported / name, "--out", out, "--format", name)
    assert done.exit_code == 0, done.stderr
    named = f"the answer that ends {'input' if name == 'openrlhf_sft' else 'messages'}"
    (line,) = [line for line in done.output.splitlines() if "columns not read" in line]
    assert line.endswith(f"'{named}'")
    report = json.loads(run(exported / name, "--out", out, "--format", name, "--force", "--json").output)
    assert report["columns_not_read"][named] == report["rows"] == sum(told["rows"].values())


def test_rows_without_an_answer_at_their_end_count_for_none(tmp_path):
    rows = [{"messages": [*TWO, {"role": "assistant", "content": "d"}]}, {"messages": TWO}]
    done = run(write_rows(tmp_path, *rows), "--out", tmp_path / "prompts.jsonl")
    assert "           columns not read: 'the answer that ends messages' (1)\n" in done.output


def test_answers_of_no_format_are_one_clear_line(tmp_path):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "winner": "a"}
    done = run(write_rows(tmp_path, row), "--out", tmp_path / "out")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
    assert (
        "'response_a', 'response_b'; formats with answers are native (prompt, response_a, response_b, p_a),"
        in done.stderr
    )


def test_dialogues_become_prompts_that_a_run_reads(tmp_path):
    rows = [{"messages": [*TWO, {"role": "assistant", "content": "d"}]}, {"messages": TWO[:1]}]
    done = run(write_rows(tmp_path, *rows), "--out", tmp_path / "prompts.jsonl", "--json")
    assert json.loads(done.output)["formats"] == {"sft": 2}
    read = read_prompts([str(tmp_path / "prompts.jsonl")]).prompts
    assert [one.messages[-1] for one in read] == [user("c"), user("a")]
    assert not (tmp_path / "prompts.rejected.jsonl").exists()


def test_nothing_is_overwritten_unasked_and_a_stale_reject_goes(tmp_path):
    file, out = write_rows(tmp_path, PAIR, {**PAIR, "chosen": "b"}), tmp_path / "out.jsonl"
    assert run(file, "--out", out).exit_code == 0
    before = out.read_bytes()
    done = run(file, "--out", out)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "already there, and never overwritten unless --force says so" in done.stderr
    assert "would replace the file that is read" in run(file, "--out", file, "--force").stderr
    write_rows(tmp_path, PAIR)
    assert run(file, "--out", out, "--force").exit_code == 0
    assert out.read_bytes() == before and not (tmp_path / "out.rejected.jsonl").exists()


def test_where_nothing_can_be_carried_no_output_is_left(tmp_path):
    done = run(write_rows(tmp_path, {**PAIR, "chosen": "b"}), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "holds no preferences that can be carried (1 × both answers are the same text)" in done.stderr
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["preferences.rejected.jsonl"]
    assert "holds no rows" in run(write_rows(tmp_path), "--out", tmp_path / "new").stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**PAIR, "chosen": 3}, "'chosen' holds a number, expected a text or a list of messages"),
        ({**PAIR, "prompt": 3}, "'prompt' holds a number, expected a text"),
        ({**PAIR, "rejected": True}, "'rejected' holds a boolean, expected a text or a list of messages"),
        ({"chosen": TWO, "rejected": 3}, "'rejected' holds a number, expected a text or a list of messages"),
        ({"prompt": 3, "response_a": "a", "response_b": "b", "p_a": 1}, "'prompt' holds a number, expected a text or"),
    ],
)
def test_a_cell_of_the_wrong_type_is_told_with_what_is_allowed(row, told, tmp_path):
    file = write_rows(tmp_path, {"chosen": TWO, "rejected": TWO} if "prompt" not in row else PAIR, row)
    run(file, "--out", tmp_path / "out")
    refused = (tmp_path / "out/preferences.rejected.jsonl").read_text()
    assert told in json.loads(refused.splitlines()[-1])["reason"]


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
@pytest.mark.parametrize("more", [["--format", "preference"], ["--as", "prompts"], ["--format", "sft"], []])
def test_a_file_without_rows_is_said_to_be_one(more, name, tmp_path):
    file = write(tmp_path, name, "prompt,chosen,rejected\n" if name == "p.csv" else "\n")
    done = run(file, *more, "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (2, f"Error: {file}: holds no rows\n")
    assert not list(tmp_path.glob("out/*"))


def test_a_file_that_breaks_half_way_leaves_nothing(tmp_path):
    Path(tmp_path / "p.jsonl").write_text(
        json.dumps({**PAIR, "chosen": "b"}) + "\n" + (json.dumps(PAIR) + "\n") * HEAD + "{", "utf-8"
    )
    done = run(tmp_path / "p.jsonl", "--out", tmp_path / "out")
    assert (done.exit_code, f"p.jsonl:{HEAD + 2}:" in done.stderr) == (2, True)
    assert list((tmp_path / "out").iterdir()) == []


REAL = [
    ("llamafactory_demos", ["--dataset", "dpo_en_demo"], 300, 295, 5),
    ("llamafactory_demos", ["--dataset", "dpo_zh_demo"], 300, 289, 11),
    ("llamafactory_demos", ["--dataset", "kto_en_demo", "--as", "prompts"], 300, 297, 3),
    ("llamafactory_demos", ["--dataset", "alpaca_en_demo"], 999, 985, 14),
    ("llamafactory_demos/v1_dpo_demo.jsonl", [], 10, 10, 0),
    ("alpaca_eval_gpt4_prefs/alpaca-7b.annotations.json", ["--source", "ai"], 805, 789, 0),
    ("preference_pairs/hh_harmless_dev.jsonl", [], 1706, 1704, 0),
    ("preference_pairs/webgpt_dev.jsonl", [], 476, 476, 0),
]


@real_data
@pytest.mark.parametrize(("file", "more", "rows", "kept", "repeated"), REAL)
def test_real_files(file, more, rows, kept, repeated, tmp_path):
    report = json.loads(run(DATA / file, *more, "--out", tmp_path, "--json").output)
    assert (report["rows"], report["kept"], report["duplicates"]) == (rows, kept, repeated)
    assert sum(report["rejected"].values()) == rows - kept - repeated


def test_a_file_that_ends_half_way_is_told_where(tmp_path):
    done = run(write(tmp_path, "p.jsonl", '{"prompt": "x"'), "--out", tmp_path / "out")
    assert done.exit_code == 2 and "p.jsonl:1:15: JSON that ends half-way" in done.stderr
