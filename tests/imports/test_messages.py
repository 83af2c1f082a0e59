"""What messages hold beside their texts: refused where it is part of what was said, else told, never lost."""

from __future__ import annotations

import json
import re

import pytest

from cai.errors import InputError
from cai.human_preferences import read_human_preferences
from cai.imports import find_sources, read_preferences, read_prompt_rows
from cai.prompts import read_prompts
from cai.records import assistant, user
from tests.imports.test_folders import llamafactory
from tests.prompts.writing import write, write_rows

ASKED = [user("q").to_json()]
CALLS = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
PLAIN = {"prompt": [user("r").to_json()], "chosen": [assistant("a").to_json()], "rejected": [assistant("b").to_json()]}
MORE = {
    "tool_calls": CALLS, "function_call": {"name": "f"}, "images": ["x.png"], "image": "x.png", "audio": {"id": "1"},
    "videos": [1], "files": [{"id": 1}],
}  # fmt: skip


def pair(**more: object) -> dict[str, object]:
    return PLAIN | {"prompt": ASKED, "chosen": [{**assistant("1").to_json(), **more}]}


@pytest.mark.parametrize("key", MORE)
def test_a_message_that_is_more_than_text_rejects_its_row(key, tmp_path):
    file = write_rows(tmp_path, PLAIN, pair(**{key: MORE[key]}))
    read, report = read_preferences(find_sources(file))
    why = f"'chosen' message 1 has {key} beside its text; only messages that are text alone are read"
    assert len(read) == 1 and dict(report.rejected) == {why: 1} and report.first == {why: f"{file}:2"}
    with pytest.raises(InputError, match=re.escape(f"p.jsonl:2: {why}")):
        read_human_preferences(file)


ROWS = {
    "prompt": PLAIN | {"prompt": [{**ASKED[0], "tool_calls": CALLS}]},
    "implicit": {"chosen": [*ASKED, {**assistant("1").to_json(), "tool_calls": CALLS}],
                 "rejected": [*ASKED, assistant("b").to_json()]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}], "rejected": {"from": "gpt", "value": "b"},
                 "chosen": {"from": "gpt", "value": "1", "function_call": "f()"}},
    "judged": {"messages": [*ASKED, {**assistant("1").to_json(), "tool_calls": CALLS}], "label": True},
    "nemo": {"context": ASKED, "completions": [
        {"rank": rank, "completion": [{**assistant(str(rank)).to_json(), "tool_calls": CALLS}]} for rank in (0, 1)]},
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_in_every_format_with_messages(name, tmp_path):
    read, report = read_preferences(find_sources(write_rows(tmp_path, ROWS[name])))
    [why] = report.rejected
    assert not read and re.search("has (tool_calls|function_call) beside its text", why)


def test_prompts_with_tool_calls_are_told_with_their_place(tmp_path):
    file = write_rows(tmp_path, {"messages": [*ASKED, {**assistant("1").to_json(), "tool_calls": CALLS}, *ASKED]})
    with pytest.raises(InputError, match=r"p\.jsonl:1: 'messages' message 2 has tool_calls beside its text"):
        read_prompts([file])
    assert read_prompt_rows(find_sources(file))[1].rejected.total() == 1


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_keys_that_hold_nothing_are_nothing(nothing, tmp_path):
    file = write_rows(tmp_path, pair(tool_calls=nothing, images=nothing, weight=nothing))
    [one], report = read_preferences(find_sources(file))
    assert one.chosen == "1" and not report.unread and not report.rejected


def test_other_keys_of_messages_are_told_with_the_columns(tmp_path):
    rows = [pair(weight=0, name="x", reasoning_content="so"), PLAIN | {"by": 1}]
    _, report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert report.unread == {"by": 1, "chosen[].weight": 1, "chosen[].reasoning_content": 1}
    mixed = {"prompt": "q", "chosen": [*ASKED, {**assistant("a").to_json(), "train": False}],
             "rejected": [*ASKED, assistant("b").to_json()]}  # fmt: skip
    _, report = read_preferences(find_sources(write_rows(tmp_path, mixed)))
    assert report.unread == {"chosen[].train": 1}
    file = write_rows(tmp_path, {"messages": [{**ASKED[0], "id": 7}]})
    assert read_prompt_rows(find_sources(file))[1].unread == {"messages[].id": 1}
    assert read_prompts([file]).files[0].unread == ("messages[].id",)


def test_messages_under_names_of_their_own_are_watched_too(tmp_path):
    folder = llamafactory(tmp_path / "data")
    row = {"talk": [{"who": "me", "said": "q", "mood": "x"}], "good": {"who": "it", "said": "a"},
           "poor": {"who": "it", "said": "b"}}  # fmt: skip
    called = {**row, "good": {"who": "it", "said": "a", "tool_calls": CALLS}}
    write(tmp_path / "data", "one.json", json.dumps([row, called]))
    read, report = read_preferences(find_sources(folder, "one"))
    assert len(read) == 1 and report.unread == {"talk[].mood": 2}
    assert "'good' message 1 has tool_calls" in next(iter(report.rejected))


ENDS = [
    ("\n\nHuman: q\n\nAssistant: a\n\nHuman: more", "a transcript ends with a Human turn, not with an answer"),
    ("\n\nHuman: q\n\nAssistant: a\n\nHuman:", "a transcript ends with a Human turn that is empty"),
    ("\n\nHuman: q\n\nAssistant: ", "an answer is empty"),
]


@pytest.mark.parametrize(("said", "why"), ENDS)
@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_transcript_that_ends_with_a_human_turn_is_called_so(said, why, side, tmp_path):
    plain = {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}
    file = write_rows(tmp_path, plain, plain | {side: said})
    read, report = read_preferences(find_sources(file))
    [reason] = report.rejected
    assert len(read) == 1 and reason.startswith(why)
    assert ('"\\n\\nHuman:" mark inside of an answer' in reason) == ("Human turn" in why) and "\n" not in reason
    assert list(read_human_preferences(file).notes.skipped) == [reason]
