"""All mistakes of a file are told at once: each once, with its place and the rows that have it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.cli.pair_files import read_pairs
from cai.errors import InputError, SeveralErrors
from cai.human_preferences import read_human_preferences
from cai.human_preferences.benchmarks import is_benchmark, read_benchmark
from cai.prompts import read_prompts
from cai.prompts.mistakes import MOST
from cai.records import Json
from tests.prompts.writing import write, write_rows
from tests.training.planted import preferences

PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def told(read, *arguments: object) -> list[str]:
    """The mistakes that reading raises, without the folder of their files."""
    with pytest.raises(SeveralErrors) as raised:
        read(*arguments)
    return [str(one).rpartition("/")[2] for one in raised.value.errors]


def lines(*rows: Json | str) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)


def test_all_mistakes_of_prompt_files_are_told(tmp_path):
    one = write(
        tmp_path, "one.jsonl",
        lines({"prompt": "a", "kind": "redteam"}, {"prompt": "fine"}, "{bad", {"prompt": " "}, {"prompt": "\n"}),
    )  # fmt: skip
    two = write(tmp_path, "two.csv", "prompt,split\na,test\nb\nc,tset\n")
    found = told(read_prompts, [one, two, str(tmp_path / "tow.csv")])
    assert [text[:14] for text in found] == [
        "one.jsonl:1: k", "one.jsonl:3:2:", "one.jsonl:4: t", "two.csv:3: 1 c", "two.csv:4: spl", "two.csv'?",
    ]  # fmt: skip
    assert found[2] == "one.jsonl:4: the user turn is empty (also in line 5)"


def test_all_mistakes_of_pairs_are_told(tmp_path):
    rows = (PAIR, {**PAIR, "rejected": 3}, "{bad", {**PAIR, "p_chosen": 7}, {"prompt": "q", "chosen": "a"})
    file = write(tmp_path, "p.jsonl", lines(*rows))
    expected = [
        "p.jsonl:2: 'rejected' holds a number, expected a text or a list of messages",
        "p.jsonl:3:2: not JSON: Expecting property name enclosed in double quotes",
        "p.jsonl:4: p_chosen is 7, expected a number from 0 to 1",
        "p.jsonl:5: no column 'rejected' (columns: 'prompt', 'chosen')",
    ]
    assert told(read_human_preferences, file) == expected
    done = CliRunner().invoke(main, ["train", "reward", "--preferences", file, "--model", "embedded", "--out", "o"])
    assert done.exit_code == 2
    assert [text.rpartition("/")[2] for text in done.stderr.splitlines()] == expected


def test_all_mistakes_of_a_runs_own_pairs_and_of_a_benchmark_are_told(tmp_path):
    own = [one.to_json() for one in preferences(3)]
    file = write_rows(tmp_path, own[0], {**own[1], "source": "humans"}, {**own[2], "p_a": 2})
    assert [text[:10] for text in told(read_pairs, file, 0.2)] == ["p.jsonl:2:", "p.jsonl:3:"]
    row = {**PAIR, "subset": "x"}
    bench = write(tmp_path, "b.jsonl", lines("{", row, {**row, "chosen": 3}, {**row, "rejected": []}))
    with pytest.raises(InputError, match=r"b\.jsonl:1:2: JSON that ends half-way"):
        read_benchmark(bench)
    bench = write(tmp_path, "b.jsonl", lines("{bad", row, {**row, "chosen": 3}, {**row, "rejected": []}))
    assert is_benchmark(bench)
    assert [text[:10] for text in told(read_benchmark, bench)] == ["b.jsonl:1:", "b.jsonl:3:", "b.jsonl:4:"]


def test_equal_mistakes_are_one_and_many_are_counted(tmp_path):
    equal = write(tmp_path, "equal.jsonl", lines(*[{**PAIR, "rejected": 3}] * 9))
    with pytest.raises(InputError) as raised:
        read_human_preferences(equal)
    assert str(raised.value).endswith("or a list of messages (also in lines 2, 3, 4, 5, 6 and 3 more)")
    document = write(tmp_path, "rows.json", json.dumps({"data": [PAIR, *[{**PAIR, "rejected": 3}] * 2]}))
    with pytest.raises(InputError, match=r"rows\.json: row 2: 'rejected' holds a number.*\(also in row 3\)$"):
        read_human_preferences(document)
    numbers = [{**PAIR, "p_chosen": 2 + n / 7} for n in range(MOST + 7)]
    found = told(read_human_preferences, write(tmp_path, "n.jsonl", lines(*numbers, {"prompt": "q", "chosen": "a"})))
    assert [text[:10] for text in found] == ["n.jsonl:1:", f"n.jsonl:{MOST + 8}"]
    lacking = [{"prompt": "q", "output_1": 3, "output_2": "b", "preference": 1}]
    lacking += [{"prompt": "q", "output_1": "a", "output_2": 3, "preference": 1}] * 2
    found = told(read_human_preferences, write(tmp_path, "o.jsonl", lines(*lacking)))
    assert [text.partition(", ")[0] for text in found] == [
        "o.jsonl:1: 'output_1' holds a number", "o.jsonl:2: 'output_2' holds a number",
    ]  # fmt: skip
    many = [{"prompt": f"q{n}", "kind": "k" * n} for n in range(1, MOST + 8)]
    found = told(read_prompts, [write(tmp_path, "many.jsonl", lines(*many))])
    assert len(found) == MOST + 1 and found[-1] == "many.jsonl: and 7 more mistakes"


def test_numbers_of_a_csv_are_one_mistake_too(tmp_path):
    rows = "".join(f"q{n},a,b,1.{n:02}\n" for n in range(1, 2 * MOST))
    found = told(
        read_human_preferences, write(tmp_path, "p.csv", f"prompt,chosen,rejected,p_chosen\n{rows}q,,b,high\n")
    )
    assert [text[:24] for text in found] == ["p.csv:2: p_chosen is '1.", f"p.csv:{2 * MOST + 1}: p_chosen is 'h"[:24]]


def test_what_ends_the_reading_is_told_after_what_came_before_it(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(lines({"prompt": 3}, {"prompt": "q"}).encode() + b"\n\xff\xfe\n")
    found = told(read_prompts, [str(file)])
    assert [text[:10] for text in found] == ["p.jsonl:1:", "p.jsonl:3:"] and "invalid UTF-8" in found[1]


def test_a_document_over_several_lines_is_one_mistake(tmp_path):
    text = json.dumps([PAIR, PAIR], indent=2)
    with pytest.raises(InputError, match=r"p\.jsonl:1:2: JSON that ends half-way"):
        read_prompts([write(tmp_path, "p.jsonl", text)])


def test_an_import_tells_all_lines_that_are_no_json_and_writes_nothing(tmp_path):
    file = write(tmp_path, "p.jsonl", lines("{bad", PAIR, {**PAIR, "chosen": 3}, '{"prompt": nul}'))
    done = CliRunner().invoke(main, ["import", file, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and [text.rpartition("/")[2][:10] for text in done.stderr.splitlines()] == [
        "p.jsonl:1:", "p.jsonl:4:",
    ]  # fmt: skip
    assert not list(Path(tmp_path).glob("out/*"))


def test_files_of_people_are_all_read_before_a_run_begins(tmp_path):
    from tests.pipeline.runs import fake_run, write_prompts

    one, two = (write(tmp_path, f"{name}.jsonl", lines(PAIR, {"prompt": "q"})) for name in ("one", "two"))
    found = told(lambda: fake_run(tmp_path / "run", write_prompts(tmp_path), preferences__human=[one, two]))
    assert [text[:12] for text in found] == ["one.jsonl:2:", "two.jsonl:2:"] and not (tmp_path / "run").exists()
