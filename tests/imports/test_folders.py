"""Folders that others wrote, with splits or LLaMA-Factory's own description, and what cannot be found in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cai.errors import ConfigError, InputError
from cai.imports import find_sources, read_preferences, read_prompt_rows
from cai.records import Message, assistant, user
from tests.prompts.writing import write, write_rows

PAIR = {"prompt": "q", "chosen": " a", "rejected": " b"}


def test_a_folder_of_splits(tmp_path):
    write_rows(tmp_path, PAIR, name="train.jsonl")
    write_rows(tmp_path, {"prompt": "r", "chosen": "a", "rejected": "b"}, name="test.jsonl")
    read, _ = read_preferences(find_sources(str(tmp_path)))
    assert {one.prompt.messages[0].content: one.prompt.split for one in read} == {"q": "train", "r": "test"}


INFO = {
    "one": {"file_name": "one.json", "ranking": True, "formatting": "sharegpt", "tags": {
        "role_tag": "who", "content_tag": "said", "user_tag": "me", "assistant_tag": "it", "system_tag": "sys"},
        "columns": {"messages": "talk", "chosen": "good", "rejected": "poor", "system": "rules"}},
    "two": {"file_name": "two.json", "columns": {"prompt": "question", "query": "more", "history": "before"}},
    "away": {"hf_hub_url": "some/where"},
    "out": {"file_name": "../secret.json"},
}  # fmt: skip


def llamafactory(folder: Path, info: object = INFO) -> str:
    folder.mkdir()
    talk = [{"who": "me", "said": " q\n"}]
    row = {"talk": talk, "good": {"who": "it", "said": "a"}, "poor": {"who": "it", "said": "b"}, "rules": "r"}
    write(folder, "one.json", json.dumps([row]))
    write(folder, "two.json", json.dumps([{"question": "q", "more": "m", "before": [["h", "i"]], "output": "a"}]))
    write(folder.parent, "secret.json", "[]")
    write(folder, "dataset_info.json", json.dumps(info))
    return str(folder)


def test_llamafactorys_mapping_is_followed(tmp_path):
    folder = llamafactory(tmp_path / "data")
    [one], _ = read_preferences(find_sources(folder, "one"))
    assert one.prompt.messages == (Message("system", "r"), user(" q\n")) and one.chosen == "a"
    [prompt], _ = read_prompt_rows(find_sources(folder, "two"))
    assert prompt.messages == (user("h"), assistant("i"), user("q\nm"))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (None, "several datasets; pick one with --dataset (here: one, two)"),
        ("tow", "--dataset tow: no such entry; did you mean 'two'? (with a file here: one, two)"),
        ("away", "--dataset away: its file is not in this folder"),
        ("out", "--dataset out: its file is not in this folder"),
    ],
)
def test_a_dataset_that_cannot_be_picked(dataset, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        find_sources(llamafactory(tmp_path / "data"), dataset)


def test_files_of_no_format_are_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=re.escape("p.jsonl:1: no format that is known here has these columns: 'x'")):
        read_preferences(find_sources(write_rows(tmp_path, {"x": 1})))
    with pytest.raises(ConfigError, match="no format is named 'axolotl_kt'; did you mean 'axolotl_kto'"):
        read_preferences(find_sources(write_rows(tmp_path, {"x": 1})), "axolotl_kt")
    with pytest.raises(InputError, match=r"p\.jsonl:2:6: JSON that ends half-way"):
        read_preferences(find_sources(write(tmp_path, "p.jsonl", json.dumps(PAIR) + '\n{"a":')))
    with pytest.raises(InputError, match=r"a folder without train\.jsonl or the like"):
        find_sources(_two(tmp_path))


def _two(folder: Path) -> str:
    two = folder / "two"
    two.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        write_rows(two, PAIR, name=name)
    return str(two)


def test_a_dataset_info_that_cannot_be_read_is_told_in_own_words(tmp_path):
    for text, why in (
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "1" * 4301, "a number of more than 4,300 digits"),
    ):
        (tmp_path / "dataset_info.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=f"dataset_info.json: JSON that cannot be read: {why}$"):
            find_sources(str(tmp_path))
