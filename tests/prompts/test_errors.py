from __future__ import annotations

import json

import pytest

from cai.errors import ConfigError, InputError
from cai.prompts import read_prompts
from tests.prompts.writing import HH, TWO, write, write_rows

LATE = {"role": "system", "content": "x"}
WRONG = [
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b', r"p.jsonl:2:12: JSON that ends half-way"),
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b"', r"p.jsonl:2:15: JSON that ends half-way"),
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b",\n', r"p.jsonl:2:16: JSON that ends half-way"),
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b\r\n', r"p.jsonl:2:12: JSON that ends half-way"),
    ("p.jsonl", '{"prompt": "a"}}\n', r"p.jsonl:1:16: not JSON: Extra data"),
    ("p.jsonl", "[" * 100_000, r"p.jsonl:1: JSON that cannot be read: nested too deep$"),
    ("p.jsonl", f'{{"prompt": "a"}}\n{{"n": {"1" * 4301}}}', r"p.jsonl:2: .*: a number of more than 4,300 digits$"),
    ("p.json", f'[\n{{"n": {"1" * 4301}}}]', r"p.json:2: .*: a number of more than 4,300 digits$"),
    ("p.json", '{"data": ' + "[" * 100_000, r"p.json: JSON that cannot be read: nested too deep$"),
    ("p.jsonl", "7\n", r"p.jsonl:1: the row is a number"),
    ("p.jsonl", '{"prompt": 7}\n', r"p.jsonl:1: 'prompt' holds a number, expected a text or a list"),
    ("p.jsonl", b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n', r"p.jsonl:2:16: invalid UTF-8: byte 0xe9"),
    ("p.txt", "Grüße".encode("utf-16"), r"p.txt:1:1: invalid UTF-8: byte 0xff; it looks like UTF-16"),
    ("p.json", '[\n{"prompt": "a"},\n{"prompt": ""}\n]', r"p.json:3: the user turn is empty"),
    ("p.json", '[\n{"prompt": "a"},\n', r"p.json:3:1: JSON that ends half-way"),
    ("p.json", '[\n{"prompt": "a"}] x', r"p.json:2:18: not JSON: Extra data"),
    ("p.json", '{"a": 1}', r"p.json: expected a list of rows, an object with such a list.*found .* 'a'"),
    ("p.json", b'[\n"a",\n"caf\xe9"]', r"p.json:3:5: invalid UTF-8"),
    ("p.csv", 'prompt,n\n"a\nb",1\nc\n', r"p.csv:4: 1 cells under 2 columns"),
    ("p.csv", 'prompt,n\na,1\n"b,2\nc,3\n', r"p.csv:3: broken CSV in the row that starts here"),
    ("p.csv", "promt,n\na,1\n", r"p.csv:2: no column that holds a prompt \(columns: 'promt', 'n'\)"),
    ("p.csv", "prompt,n\n", r"p.csv: holds no prompts"),
    ("p.jsonl", "", r"p.jsonl: holds no prompts"),
    ("p.txt", "\n \n", r"p.txt: holds no prompts"),
    ("p.json", "[]", r"p.json: holds no prompts"),
    ("p.json", "", r"p.json:1:1: JSON that ends half-way"),
    ("p.jsonl.gz", b"not gzip", r"p.jsonl.gz: cannot read"),
    ("p.parquet", b"PAR1", r"p.parquet: not a Parquet file"),
    ("p.docx", "x", r"p.docx: no reader for '.docx' files"),
    ("p.jsonl", '{"prompt": " \\n"}\n', r"p.jsonl:1: the user turn is empty"),
    ("p.jsonl", '{"prompt": "a\\u0000b"}\n', r"p.jsonl:1: the user turn contains a NUL character"),
    ("p.txt", b"a\x00b\n", r"p.txt:1: the user turn contains a NUL"),
    ("p.jsonl", '{"prompt": "a\\ud83d"}\n', r"p.jsonl:1: .* half of a surrogate pair \(U\+D83D\)"),
    ("p.jsonl", '{"messages": []}\n', r"p.jsonl:1: a prompt must end with a user turn, this one ends with no turn"),
    ("p.jsonl", json.dumps({"messages": TWO[:2]}), r"p.jsonl:1: .*ends with an assistant turn; add \?answers=drop"),
    ("p.jsonl", json.dumps({"prompt": HH + " Sure"}), r"p.jsonl:1: .*ends with an assistant turn"),
    ("p.jsonl", '{"messages": [{"role": "usr", "content": "a"}]}', r"has the role 'usr'; did you mean 'user'\?"),
    ("p.jsonl", '{"messages": [{"role": "user"}]}', r"message 1 has nothing as its content"),
    ("p.jsonl", '{"messages": "a"}', r"p.jsonl:1: 'messages' holds a text, expected a list of messages; where each"),
    ("p.csv", "conversations,n\na,1\n", r"p.csv:2: 'conversations' holds a text, expected a list of messages"),
    ("p.jsonl", '{"messages": ["a"]}', r"'messages' message 1 is a text, expected an object with role and content"),
    ("p.jsonl", json.dumps({"messages": [*TWO, LATE]}), r"a system turn can only come first"),
    ("p.jsonl", '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', r"not text \(image\)"),
    ("p.jsonl", '{"prompt": "a", "kind": "helpfull"}', r"p.jsonl:1: kind 'helpfull'; did you mean 'helpful'\?"),
    ("p.jsonl", '{"prompt": "a", "kind": "harmful"}', r"p.jsonl:1: kind 'harmful'; did you mean 'red_team'\?"),
    ("p.jsonl", '{"prompt": "a", "split": "tets"}', r"p.jsonl:1: split 'tets'; did you mean 'test'\?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_bad_input_is_one_clear_line(name, text, message, tmp_path):
    with pytest.raises(InputError, match=message) as raised:
        read_prompts([write(tmp_path, name, text)])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["../outside.arrow", "../../../../etc/passwd", "/etc/passwd", "part/../../outside.arrow"]
)
@pytest.mark.parametrize("part", ["", "train"])
def test_a_dataset_that_names_a_file_outside_its_folder_is_not_opened(name, part, tmp_path):
    import datasets

    table = datasets.Dataset.from_dict({"prompt": ["mine"]})
    saved = tmp_path / "saved"
    (datasets.DatasetDict({part: table}) if part else table).save_to_disk(str(saved))
    assert [one.messages[0].content for one in read_prompts([str(saved)]).prompts] == ["mine"]
    state = json.loads((saved / part / "state.json").read_text())
    (saved / part / state["_data_files"][0]["filename"]).rename(tmp_path / "outside.arrow")
    (saved / part / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError, match="names a file outside the folder, which is not opened: ") as raised:
        read_prompts([str(saved)])
    assert name in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("split", ["../elsewhere", "/elsewhere", "x::memory://elsewhere"])
def test_a_dataset_that_names_a_split_outside_its_folder_is_not_opened(split, tmp_path):
    import datasets

    datasets.Dataset.from_dict({"prompt": ["mine"]}).save_to_disk(str(tmp_path / "elsewhere"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": [split]}))
    with pytest.raises(InputError, match="names a file outside the folder, which is not opened"):
        read_prompts([str(tmp_path / "saved")])


@pytest.mark.parametrize("state", ["{", "[]", "{}", '{"_data_files": [1]}', '{"_data_files": [{}]}'])
def test_a_dataset_whose_state_cannot_be_read_is_one_line(state, tmp_path):
    import datasets

    datasets.Dataset.from_dict({"prompt": ["mine"]}).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "state.json").write_text(state)
    with pytest.raises(InputError, match="not a dataset that can be loaded: ") as raised:
        read_prompts([str(tmp_path / "saved")])
    assert "\n" not in str(raised.value)


def test_bad_arguments(tmp_path):
    good = write_rows(tmp_path, {"prompt": "a", "kind": "helpful"}, name="prompts.jsonl")
    cases = {
        f"{good}?knd=helpful": r"unknown key 'knd'; did you mean 'kind'\? \(allowed: kind, split, column, ",
        f"{good}?foo=1": r"unknown key 'foo' \(allowed: kind, split, column, ",
        f"{good}?kind": r"'kind' is not key=value",
        f"{good}?kind=red": r"kind=red; did you mean 'red_team'\? \(allowed: red_team, helpful, lookalike\)",
        f"{good}?kind=red_team": r":1: the row says kind 'helpful', but the file was given as kind=red_team",
        f"{good}?column=promt": r":1: no column 'promt' \(columns: 'prompt', 'kind'\); did you mean 'prompt'\?",
        f"{good}?column=": r"'column=' has no value",
        f"{good}?split=test&split=test": r"'split' is given twice",
        f"{tmp_path}/prompt.jsonl": rf"prompt.jsonl: no such file or folder; did you mean '{tmp_path}/prompts.jsonl'\?",
        str(tmp_path): r"a folder, but not one that datasets.save_to_disk wrote",
    }  # fmt: skip
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            read_prompts([name])
    with pytest.raises(InputError, match="no prompt file"):
        read_prompts([])
    for settings in ({"test_share": 1.0}, {"test_share": float("nan")}, {"limit": 0}):
        with pytest.raises(ConfigError):
            read_prompts([good], **settings)
