from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from cai.cli.prompts import prompts
from cai.errors import InputError
from tests.prompts.writing import TWO, write_rows


def run(*arguments: str):
    return CliRunner().invoke(prompts, arguments)


def test_it_tells_what_would_be_read(tmp_path):
    rows = [{"prompt": f"question {n}\nsecond line", "label": 1} for n in range(40)]
    red = write_rows(tmp_path, *rows, {"prompt": "question 0\nsecond line"}, name="red.jsonl")
    chats = write_rows(tmp_path, {"messages": TWO}, name="chats.jsonl")
    result = run(red, chats + "?kind=helpful&split=test", "--sample", "1")
    assert result.exit_code == 0
    assert "41 prompts" in result.output
    assert "turns      40 with 1, 1 with 3" in result.output
    assert "1 duplicate merged" in result.output
    assert "kind red_team derived from the file's name (41 rows)" in result.output
    assert "kind helpful as given (1 row)" in result.output
    assert "columns not read: label" in result.output
    assert "red] question 0 second line" in result.output
    assert "[helpful, turn 3, test, chats] c" in result.output
    assert "question 1 " not in result.output


def test_kind_is_for_files_that_name_none(tmp_path):
    one = write_rows(tmp_path, {"prompt": "a"}, name="one.jsonl")
    two = write_rows(tmp_path, {"prompt": "b"}, name="two.jsonl")
    read = json.loads(run(one + "?split=test", two + "?kind=lookalike", "--kind", "helpful", "--json").output)
    assert read["kinds"] == {"helpful": 1, "lookalike": 1}
    assert read["splits"]["test"] >= 1
    assert [file["kinds"] for file in read["files"]] == [
        [{"kind": "helpful", "from": "given", "rows": 1}], [{"kind": "lookalike", "from": "given", "rows": 1}],
    ]  # fmt: skip


def test_a_terminal_is_never_sent_control_characters(tmp_path):
    file = write_rows(tmp_path, {"prompt": "\x1b[2Jboo\x07 \u202egnirts"})
    output = run(file).output
    assert not any((ord(one) < 32 and one != "\n") or one in "\x7f\u202e" for one in output)
    assert "[2Jboo" in output


def test_a_wrong_file_is_an_input_error(tmp_path):
    result = run(str(tmp_path / "none.jsonl"))
    assert isinstance(result.exception, InputError)


def test_help_has_an_example_and_needs_nothing_heavy():
    code = (
        "import sys; from cai.cli.prompts import prompts; prompts(['--help'], standalone_mode=False); "
        "print({'pyarrow', 'datasets', 'numpy', 'torch', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cai prompts red_team.jsonl" in done.stdout
    assert done.stdout.strip().endswith("set()")
