"""Labels and numbers as tables and other people's scripts write them: as texts, as 1 and 0, and never dropped."""

from __future__ import annotations

import json
import re

import pytest

from cai.errors import InputError
from cai.human_preferences import read_human_preferences
from cai.imports import find_sources, read_preferences, read_prompt_rows
from cai.records import assistant, user
from tests.prompts.writing import write, write_rows

ASKED = [user("q").to_json()]
TAGGED = [{"from": "human", "value": "q"}]


def dialogue(text: str) -> list[object]:
    return [*ASKED, assistant(text).to_json()]


KTO = {
    "axolotl_kto": lambda text, label: {"prompt": "q", "completion": text, "label": label},
    "unpaired_preference": lambda text, label: {
        "prompt": ASKED, "completion": [assistant(text).to_json()], "label": label},
    "messages_label": lambda text, label: {"messages": dialogue(text), "label": label},
    "llamafactory_kto": lambda text, label: {
        "conversations": [*TAGGED, {"from": "gpt", "value": text}], "kto_tag": label},
}  # fmt: skip
TRUTHS = [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("True", "False"), ("1", "0"), ("1.0", "0.0")]


@pytest.mark.parametrize("truths", TRUTHS, ids=str)
@pytest.mark.parametrize("name", KTO)
def test_a_label_is_true_or_false_in_every_spelling(name, truths, tmp_path):
    rows = [KTO[name](text, label) for text, label in zip("ab", truths, strict=True)]
    [one], report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert (one.prompt.messages, one.chosen, one.rejected) == ((user("q"),), "a", "b")
    assert list(report.formats) == [name] and not report.unread and not report.rejected


@pytest.mark.parametrize("truths", ["True,False", "1,0", "true,false"])
def test_judged_answers_of_a_csv_are_paired(truths, tmp_path):
    good, bad = truths.split(",")
    file = write(tmp_path, "p.csv", f"prompt,completion,label\nq,a,{good}\nq,b,{bad}\n")
    [one], report = read_preferences(find_sources(file))
    assert (one.chosen, one.rejected, dict(report.formats)) == ("a", "b", {"axolotl_kto": 2})


DROPPED = [
    ({"prompt": "q", "completion": "a", "label": "good"}, "prompt_completion", "'label'", "axolotl_kto (prompt, comp"),
    ({"prompt": "q", "response": "a", "label": 1}, "prompt_response", "'label'", "axolotl_kto ("),
    ({"messages": dialogue("a"), "label": -1}, "sft", "'label'", "messages_label (messages, label), "),
    ({"conversations": TAGGED, "kto_tag": "yes"}, "sharegpt", "'kto_tag'", "llamafactory_kto (conversations, kto_tag)"),
    ({"instruction": "q", "completion": "a"}, "alpaca", "'completion'", "axolotl_kto ("),
    ({"prompt": "q", "generation": "a", "label": 0}, "prompts", "'label'", "axolotl_kto ("),
]  # fmt: skip


@pytest.mark.parametrize(("row", "name", "column", "near"), DROPPED)
def test_no_label_and_no_completion_is_dropped_unasked(row, name, column, near, tmp_path):
    file = write_rows(tmp_path, row)
    with pytest.raises(InputError, match=r"p\.jsonl:1: columns that look like answers") as told:
        read_prompt_rows(find_sources(file))
    message = str(told.value)
    assert f"the format '{name}' would drop: {column}; formats with answers are {near}" in message
    assert ("labels are true or false, 1 or 0; " in message) == (column != "'completion'") and "\n" not in message
    [one], report = read_prompt_rows(find_sources(file), name)
    assert one.messages == (user("q"),) and report.unread


def test_a_label_of_a_later_row_is_told(tmp_path):
    rows = [{"prompt": "q", "completion": "a"}, KTO["axolotl_kto"]("a", 1)]
    _, report = read_prompt_rows(find_sources(write_rows(tmp_path, *rows)))
    assert report.kept == 1 == report.rejected.total() and "would drop: 'label'" in next(iter(report.rejected))


def test_a_label_that_is_neither_true_nor_false_rejects_its_row(tmp_path):
    rows = [KTO["axolotl_kto"](text, label) for text, label in (("a", 1), ("b", 0), ("c", 2))]
    _, report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert report.kept == 1 and dict(report.rejected) == {"'label' is not true or false, 1 or 0": 1}


def test_a_label_that_says_the_kind_of_a_prompt_is_read(tmp_path):
    row = {"prompt": "q", "type": "homonyms", "label": "safe", "focus": "kill"}
    [one], report = read_prompt_rows(find_sources(write_rows(tmp_path, row)))
    assert (one.kind, "label" in report.unread) == ("lookalike", False)


# ------------------------------------------------------------------------------------------------ numbers in a CSV

TABLES = [
    ("preference_text", "prompt,chosen,rejected,p_chosen\nq,a,b,0.7\n", 0.7),
    ("preference_text", "prompt,chosen,rejected,score_chosen,score_rejected\nq,a,b,2.0,2\n", 0.5),
    ("axolotl_reward", "input,chosen,rejected,p_chosen\nq,a,b,0.7\n", 0.7),
    ("axolotl_reward", "input,chosen,rejected,score_chosen,score_rejected\nq,a,b,2.0,2\n", 0.5),
    ("pku_safe_rlhf", "prompt,response_0,response_1,better_response_id\nq,b,a,1\n", 1.0),
    ("pku_safe_rlhf", "prompt,response_0,response_1,better_response_id\nq,a,b,0.0\n", 1.0),
    ("native", "prompt,response_a,response_b,p_a\nq,a,b,0.75\n", 0.75),
    ("native", "prompt,response_a,response_b,p_a\nq,b,a,0.25\n", 0.75),
    ("alpaca_eval", "instruction,output_1,output_2,preference\nq,a,b,1.25\n", 0.75),
]  # fmt: skip


@pytest.mark.parametrize(("name", "table", "p"), TABLES)
def test_the_numbers_of_a_csv_are_numbers(name, table, p, tmp_path):
    file = write(tmp_path, "p.csv", table)
    [one], report = read_preferences(find_sources(file))
    assert one.prompt.messages == (user("q"),) and {one.response_a, one.response_b} == {"a", "b"}
    assert {one.response_a: one.p_a, one.response_b: 1.0 - one.p_a}["a"] == pytest.approx(p)
    assert list(report.formats) == [name] and not report.unread


def test_a_csv_of_judged_answers_keeps_its_grades(tmp_path):
    table = "prompt,completion,label,p_desirable\nq,a,1,0.8\nq,b,0,0.5\n"
    [one], _ = read_preferences(find_sources(write(tmp_path, "p.csv", table)))
    assert (one.chosen, one.p_chosen) == ("a", pytest.approx(0.8))


@pytest.mark.parametrize(("table", "why"), [
    ("prompt,chosen,rejected,p_chosen\nq,a,b,0.7\nr,a,b,1.7\n", "p_chosen"),
    ("prompt,chosen,rejected,p_chosen\nq,a,b,0.7\nr,a,b,high\n", "p_chosen"),
    ("prompt,chosen,rejected,p_chosen\nq,a,b,0.7\nr,a,b,\n", "no verdict (p_chosen holds nothing)"),
    ("prompt,response_0,response_1,better_response_id\nq,b,a,1\nr,b,a,2\n", "'better_response_id' is neither 0 nor 1"),
    ("prompt,response_a,response_b,p_a\nq,a,b,0.7\nr,a,b,nan\n", "'p_a' is not a number from 0 to 1"),
    ("prompt,response_a,response_b,p_a\nq,a,b,0.7\nr,a,b,\n", "'p_a' is not a number from 0 to 1"),
])  # fmt: skip
def test_a_text_that_is_no_such_number_rejects_its_row(table, why, tmp_path):
    _, report = read_preferences(find_sources(write(tmp_path, "p.csv", table)))
    assert report.kept == 1 and report.rejected.total() == 1 and why in next(iter(report.rejected))


def test_better_response_ids_and_ranks_may_be_numbers_of_any_sort(tmp_path):
    for better, worse in ((0, 1), (0.0, 1.0), ("0", "1")):
        ranked = [
            {"rank": rank, "completion": [assistant(text).to_json()]} for rank, text in ((worse, "b"), (better, "a"))
        ]
        rows = [
            {"prompt": "q", "response_0": "a", "response_1": "b", "better_response_id": better},
            {"context": ASKED, "completions": ranked},
        ]  # fmt: skip
        for row in rows:
            [one], _ = read_preferences(find_sources(write_rows(tmp_path, row)))
            assert (one.chosen, one.rejected, one.p_chosen) == ("a", "b", 1.0)
    ranked[0]["rank"] = "first"
    _, report = read_preferences(find_sources(write_rows(tmp_path, rows[1])))
    assert dict(report.rejected) == {"'rank' is not a number": 1}


@pytest.mark.parametrize(("name", "table", "p"), [one for one in TABLES if one[0] not in ("pku_safe_rlhf",)])
def test_a_csv_of_pairs_is_read_alike_where_it_is_trained_on(name, table, p, tmp_path):
    [one] = read_human_preferences(write(tmp_path, "p.csv", table.replace("input,", "prompt,"))).preferences
    assert {one.response_a: one.p_a, one.response_b: 1.0 - one.p_a}["a"] == pytest.approx(p)
    assert one.prompt.messages == (user("q"),)


def test_a_csv_of_pairs_that_is_trained_on_tells_a_number_that_is_none(tmp_path):
    for said in ("1.5", "high", "nan", "inf"):
        file = write(tmp_path, "p.csv", f"prompt,chosen,rejected,p_chosen\nq,a,b,{said}\n")
        with pytest.raises(
            InputError, match=re.escape(f"p.csv:2: p_chosen is '{said}', expected a number from 0 to 1")
        ):
            read_human_preferences(file)


def test_our_own_rows_with_the_prompt_as_a_text_keep_its_turns(tmp_path):
    said = "\n\nHuman: o\n\nAssistant: p\n\nHuman: q\n\nAssistant:"
    for prompt in (said, json.dumps([user("o").to_json(), assistant("p").to_json(), *ASKED])):
        file = write_rows(tmp_path, {"prompt": prompt, "response_a": "a", "response_b": "b", "p_a": 1.0})
        for found in (read_preferences(find_sources(file))[0], read_human_preferences(file).preferences):
            assert [one.prompt.messages for one in found] == [(user("o"), assistant("p"), user("q"))]
