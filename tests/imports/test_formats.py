"""Files that others wrote, row by row: what is recognised, what is taken, and what each refusal says."""

from __future__ import annotations

import json
import random
import re

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from cai.errors import ConfigError, InputError
from cai.human_preferences import read_human_preferences
from cai.imports import find_sources, import_data, read_preferences, read_prompt_rows
from cai.records import Message, Preference, Prompt, assistant, user
from tests.prompts.writing import write, write_rows

ASKED, ANSWERED = [user("q").to_json()], [assistant("a").to_json()]
SAID = {"role": "assistant", "content": "b"}
TAGGED = [{"from": "human", "value": "q"}]
YES, NO = {"from": "gpt", "value": "a"}, {"from": "gpt", "value": "b"}

PAIRS = {
    "preference": {"prompt": ASKED, "chosen": ANSWERED, "rejected": [SAID]},
    "preference_implicit": {"chosen": ASKED + ANSWERED, "rejected": [*ASKED, SAID]},
    "preference_text": {"prompt": "q", "chosen": " a", "rejected": " b"},
    "preference_mixed": {"prompt": "q", "chosen": ANSWERED, "rejected": [SAID]},
    "nemo_rl_preference": {"context": ASKED, "completions": [
        {"rank": 2, "completion": [SAID]}, {"rank": 1, "completion": ANSWERED}]},
    "llamafactory_sharegpt": {"conversations": TAGGED, "chosen": YES, "rejected": NO},
    "llamafactory_alpaca": {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
    "axolotl_preference": {"messages": ASKED, "chosen": ANSWERED[0], "rejected": SAID},
    "axolotl_reward": {"system": "", "input": "q", "chosen": "a", "rejected": "b"},
    "hh": {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b\n"},
    "ultrafeedback": {"prompt": "q", "prompt_id": "1", "chosen": ASKED + ANSWERED, "rejected": [*ASKED, SAID],
                      "messages": ASKED + ANSWERED, "score_chosen": 9.0, "score_rejected": 2.0},
    "llamafactory_v1": {"chosen_messages": ASKED + ANSWERED, "rejected_messages": [*ASKED, SAID]},
    "alpaca_eval": {"instruction": "q", "output_1": "b", "output_2": "a", "preference": 2},
    "ultrafeedback_raw": {"instruction": "q", "completions": [
        {"response": "b", "overall_score": 1}, {"response": "a", "overall_score": 4.5}]},
    "pku_safe_rlhf": {"prompt": "q", "response_0": "b", "response_1": "a", "better_response_id": 1},
    "native": Preference(Prompt.make((user("q"),)), "a", "b", 1.0).to_json(),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_recognised_by_its_columns(name, tmp_path):
    [one], report = read_preferences(find_sources(write_rows(tmp_path, PAIRS[name])))
    assert (one.prompt.messages, one.chosen, one.rejected, one.p_chosen) == ((user("q"),), "a", "b", 1.0)
    assert list(report.formats) == [name]
    assert one.source == ("ai" if name == "native" else "human")


JUDGED = {
    "unpaired_preference": lambda text, good: {
        "prompt": ASKED, "completion": [{**SAID, "content": text}], "label": good},
    "axolotl_kto": lambda text, good: {"prompt": "q", "completion": text, "label": good},
    "llamafactory_kto": lambda text, good: {"conversations": [*TAGGED, {**YES, "value": text}], "kto_tag": good},
    "messages_label": lambda text, good: {"messages": [*ASKED, {**SAID, "content": text}], "label": good},
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_every_good_answer_is_paired_with_every_bad_one(name, tmp_path):
    rows = [JUDGED[name](text, good) for text, good in (("a", True), ("b", False), ("c", False), ("d", True))]
    read, report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert {(one.chosen, one.rejected) for one in read} == {("a", "b"), ("a", "c"), ("d", "b"), ("d", "c")}
    assert (report.rows, report.units, report.kept) == (4, 4, 4) and list(report.formats) == [name]


def test_grades_of_two_answers_make_a_soft_label(tmp_path):
    rows = [JUDGED["axolotl_kto"](text, text == "a") | {"p_desirable": p, "label_from": "rubric", "id": text}
            for text, p in (("a", 0.8), ("b", 0.5))]  # fmt: skip
    [one], _ = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert (one.chosen, one.p_chosen) == ("a", pytest.approx(0.8))


def test_many_answers_make_no_more_pairs_than_eight_an_answer(tmp_path):
    rows = [JUDGED["axolotl_kto"](f"{good}{n}", good) for good in (True, False) for n in range(20 + 10 * good)]
    read, _ = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert len(read) == 30 * 8 and len({one.chosen for one in read}) == 30 and len({one.rejected for one in read}) == 20


def test_a_lonely_answer_is_told(tmp_path):
    rows = [JUDGED["axolotl_kto"]("a", True), JUDGED["axolotl_kto"]("b", False), {
        "prompt": "other", "completion": "a", "label": True}]  # fmt: skip
    told = []
    _, report = read_preferences(
        find_sources(write_rows(tmp_path, *rows)), told=lambda row, why: told.append((row.line, why))
    )
    assert told == [(3, "no answer that was called bad to the same prompt, so no pair")]
    assert (report.kept, report.units) == (1, 2)


PROMPTS = {
    "sft": {"messages": ASKED + ANSWERED},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "sharegpt": {"conversations": [*TAGGED, YES]},
    "prompt_completion": {"prompt": "q", "completion": " a"},
    "prompt_response": {"prompt": ASKED, "response": "a"},
    "openrlhf_prompts": {"input": ASKED, "datasource": "x"},
    "openrlhf_sft": {"input": "q", "output": "a"},
    "verl_rl": {"data_source": "x", "prompt": ASKED, "ability": "y", "reward_model": {"style": "model"}},
    "prompts": {"prompt": "\n\nHuman: q\n\nAssistant:"},
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_is_taken_without_its_answer(name, tmp_path):
    [one], report = read_prompt_rows(find_sources(write_rows(tmp_path, PROMPTS[name])))
    assert one.messages == (user("q"),) and list(report.formats) == [name]


def test_prompts_may_be_taken_from_pairs(tmp_path):
    for name, row in PAIRS.items():
        [one], _ = read_prompt_rows(find_sources(write_rows(tmp_path, row)))
        assert one.messages == (user("q"),), name
    with pytest.raises(ConfigError, match="this format holds no preferences; --as prompts takes its prompts"):
        read_preferences(find_sources(write_rows(tmp_path, PROMPTS["sft"])))


def test_what_a_row_says_of_itself_is_kept(tmp_path):
    row = PAIRS["preference"] | {
        "p_chosen": 0.7, "weight": 0.5, "source": "ai", "kind": "lookalike", "split": "validation", "tags": ["t"],
    }  # fmt: skip
    [one], _ = read_preferences(find_sources(write_rows(tmp_path, row)))
    assert (one.p_chosen, one.weight, one.source) == (0.7, 0.5, "ai")
    assert (one.prompt.kind, one.prompt.split, one.prompt.tags, one.prompt.source) == ("lookalike", "test", ("t",), "p")


def test_tags_may_be_a_text_with_one_a_line(tmp_path):
    for tags, expected in (("t1\nt 2", ("t1", "t 2")), ("", ()), (["t"], ("t",))):
        row = {"prompt": ASKED, "response_a": "a", "response_b": "b", "p_a": 1.0, "tags": tags}
        [one], _ = read_preferences(find_sources(write_rows(tmp_path, row)))
        assert one.prompt.tags == expected


def test_a_kind_is_for_rows_that_name_none(tmp_path):
    named = {**PAIRS["preference"], "prompt": [user("r").to_json()], "kind": "lookalike"}
    read, report = read_preferences(find_sources(write_rows(tmp_path, named, PAIRS["preference"])), kind="red_team")
    assert [one.prompt.kind for one in read] == ["lookalike", "red_team"] and not report.rejected


def test_the_id_says_which_answer_stood_first_and_another_id_does_not(tmp_path):
    made = Preference(Prompt.make((user("q"),)), "b", "a", 0.2)
    row = PAIRS["preference"] | {"p_chosen": 0.8}
    [ours], _ = read_preferences(find_sources(write_rows(tmp_path, row | {"id": made.id})))
    assert (ours.response_a, ours.p_a, ours.id) == ("b", pytest.approx(0.2), made.id)
    drawn = [read_preferences(find_sources(write_rows(tmp_path, row | more)))[0][0] for more in ({"id": "x"}, {})]
    assert drawn[0] == drawn[1]


def test_people_who_disagree_make_a_soft_label_and_are_counted(tmp_path):
    turned = {"prompt": ASKED, "chosen": [SAID], "rejected": ANSWERED}
    rows = [PAIRS["preference"]] * 3 + [turned]
    [one], report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert (one.chosen, one.p_chosen, report.duplicates, report.contradicting) == ("a", 0.75, 3, 1)


WITH_SYSTEM = {
    "orca": {"question": "q", "chosen": "a", "rejected": "b"},
    **{name: PAIRS[name] for name in ("preference", "preference_text", "preference_mixed", "preference_implicit",
                                      "ultrafeedback", "axolotl_preference", "hh", "llamafactory_v1")},
}  # fmt: skip


@pytest.mark.parametrize("row", WITH_SYSTEM.values(), ids=WITH_SYSTEM.keys())
def test_a_system_column_is_the_first_turn_where_it_says_something(row, tmp_path):
    for said, before in (("s", (Message("system", "s"),)), ("", ()), (None, ())):
        file = write_rows(tmp_path, row | {"system": said})
        [one], report = read_preferences(find_sources(file))
        assert (one.prompt.messages, one.chosen, one.rejected) == ((*before, user("q")), "a", "b")
        assert "system" not in report.unread
        [other] = read_human_preferences(file).preferences
        assert other.prompt.messages == (*before, user("q"))


@pytest.mark.parametrize("name", ["sft", "prompt_completion", "prompt_response", "alpaca", "sharegpt", "prompts"])
def test_a_system_column_is_the_first_turn_of_a_prompt(name, tmp_path):
    file = write_rows(tmp_path, PROMPTS[name] | {"system": "s"})
    [one], _ = read_prompt_rows(find_sources(file))
    assert one.messages == (Message("system", "s"), user("q"))


DIALOGUE = [user("o").to_json(), assistant("p").to_json(), *ASKED]


@pytest.mark.parametrize(
    ("chosen", "rejected", "before"),
    [
        (ANSWERED, "b", ()),
        (ASKED + ANSWERED, [*ASKED, SAID], ()),
        ([*DIALOGUE, *ANSWERED], [*DIALOGUE, SAID], (user("o"), assistant("p"))),
    ],
)
def test_a_text_prompt_beside_messages_is_a_pair(chosen, rejected, before, tmp_path):
    row = {"prompt": "q", "chosen": chosen, "rejected": rejected}
    [one], report = read_preferences(find_sources(write_rows(tmp_path, row)))
    assert (one.prompt.messages, one.chosen, one.rejected) == ((*before, user("q")), "a", "b")
    assert list(report.formats) == ["preference_mixed"]


ANSWERS = [
    ({"prompt": "q", "response_a": "a", "response_b": "b", "winner": "a"}, "'response_a', 'response_b'", "prompts"),
    ({"prompt": "q", "chosen": "a", "rejected": None}, "'chosen'", "prompts"),
    ({"prompt": "q", "answer": "a"}, "'answer'", "prompts"),
    ({"prompt": "q", "Completion 1": "a", "output_x": "b"}, "'Completion 1', 'output_x'", "prompts"),
    ({"messages": ASKED + ANSWERED, "rejected": "b"}, "'rejected'", "sft"),
    ({"instruction": "q", "output": "a", "response_1": "b"}, "'response_1'", "alpaca"),
    ({"instruction": "q", "output": ["good", "bad"]}, "'output'", "alpaca"),
    ({"instruction": "q", "outputs": [{"text": "good", "score": 1}]}, "'outputs'", "alpaca"),
    ({"input": "q", "output": ["good", "bad"]}, "'output'", "openrlhf_sft"),
    ({"prompt": "q", "response": ["good", "bad"]}, "'response'", "prompt_response"),
    ({"prompt": "q", "completion": [ANSWERED, ANSWERED]}, "'completion'", "prompt_completion"),
    ({"prompt": "q", "output": ["good", "bad"]}, "'output'", "prompts"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "name"), ANSWERS)
def test_answers_are_never_dropped_unasked(row, columns, name, tmp_path):
    file = write_rows(tmp_path, row)
    message = f"p.jsonl:1: columns that look like answers and that the format '{name}' would drop: {columns}; formats"
    with pytest.raises(InputError, match=re.escape(message)) as told:
        read_prompt_rows(find_sources(file))
    assert "\n" not in str(told.value) and f"--format {name} takes the prompts alone" in str(told.value)
    [one], report = read_prompt_rows(find_sources(file), name)
    assert one.messages == (user("q"),) and report.unread


def test_one_answer_of_a_training_example_stands_beside_its_prompt(tmp_path):
    for answer in ("a", ANSWERED, TAGGED, [], None):
        [one], report = read_prompt_rows(find_sources(write_rows(tmp_path, {"instruction": "q", "output": answer})))
        assert one.messages == (user("q"),) and list(report.formats) == ["alpaca"]


def test_a_later_row_with_answers_among_prompts_is_told(tmp_path):
    rows = [{"prompt": "q"}, {"prompt": "r", "chosen": "a", "rejected": "b"}]
    read, report = read_prompt_rows(find_sources(write_rows(tmp_path, *rows)))
    assert len(read) == 1 and report.rejected.total() == 1 and "'chosen', 'rejected'" in next(iter(report.rejected))


def test_columns_that_were_not_read_are_named(tmp_path):
    more = {"annotator": "x", "metadata": {"note": 1}, "nothing": None, "weight": 2.0, "extra_info": {"split": "test"}}
    rows = [PAIRS["preference_text"] | more, PAIRS["preference_text"] | {"late": 1}]
    _, report = read_preferences(find_sources(write_rows(tmp_path, *rows)))
    assert dict(report.unread) == {"annotator": 1, "metadata": 1, "late": 1}
    for name, row in {**PAIRS, **PROMPTS}.items():
        read = read_preferences if name in PAIRS else read_prompt_rows
        _, report = read(find_sources(write_rows(tmp_path, row)))
        assert set(report.unread) == UNREAD.get(name, set()), name


UNREAD = {
    "ultrafeedback": {"prompt_id", "messages"}, "alpaca": {"output"}, "prompt_completion": {"completion"},
    "prompt_response": {"response"}, "openrlhf_prompts": {"datasource"}, "openrlhf_sft": {"output"},
    "verl_rl": {"data_source", "ability", "reward_model"}, "sft": {"the answer that ends messages"},
    "sharegpt": {"the answer that ends conversations"},
}  # fmt: skip


def test_a_repeated_pair_has_its_rows_mean_weight_and_a_label_weighted_by_them(tmp_path):
    rows = [PAIRS["preference"] | {"p_chosen": p, "weight": weight} for p, weight in ((1.0, 3.0), (0.2, 1.0))]
    file = write_rows(tmp_path, *rows)
    for read in (read_preferences(find_sources(file))[0], read_human_preferences(file).preferences):
        assert [(one.chosen, one.p_chosen, one.weight) for one in read] == [("a", pytest.approx(0.8), 2.0)]


STEM = "\n\nHuman: q\n\nAssistant: x\n\nHuman: r\n\nAssistant:"
TURNS = [{"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "x"), ("user", "r"))]
MIXED = [
    *(row for name, row in PAIRS.items() if name not in ("nemo_rl_preference", "axolotl_reward", "pku_safe_rlhf")),
    {"chosen": STEM + " a", "rejected": STEM + " b\n"},
    {"prompt": STEM, "chosen": " a", "rejected": " b"},
    {"prompt": STEM, "chosen": ANSWERED, "rejected": [SAID]},
    {"prompt": STEM, "chosen": TURNS + ANSWERED, "rejected": [*TURNS, SAID]},
    {"prompt": json.dumps(TURNS), "chosen": "a", "rejected": "b"},
    {"prompt": TURNS, "chosen": "a", "rejected": "b"},
    {"prompt": "q", "response_a": "a", "response_b": "b", "p_a": 0.8},
    {"question": "q", "chosen": "a", "rejected": "b"},
    {"instruction": "q", "input": "r", "history": [["s", "t"]], "chosen": "a", "rejected": "b"},
    {"system": "s", "chosen": STEM + " a", "rejected": STEM + " b"},
]  # fmt: skip


def said(one: Preference) -> tuple[object, ...]:
    return one.prompt.messages, one.chosen, one.rejected, one.p_chosen, one.prompt.split


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_mixed_formats_are_each_read_as_evaluate_and_train_read_them(seed, tmp_path):
    rows = [json.loads(re.sub(r"\bq\b", f"q{number}", json.dumps(row))) for number, row in enumerate(MIXED)]
    random.Random(seed).shuffle(rows)
    file = write_rows(tmp_path, *rows)
    read, report = read_preferences(find_sources(file))
    assert [*map(said, read)] == [*map(said, read_human_preferences(file).preferences)]
    assert report.kept == len(rows) == report.formats.total() and not report.rejected


TABLE = [
    {"prompt": "q1", "chosen": "a", "rejected": "b"},
    {"instruction": "q2", "output_1": "a", "output_2": "b", "preference": 1},
    {"prompt": "q3", "response_a": "a", "response_b": "b", "p_a": 0.25},
    {"instruction": "q4", "chosen": "a", "rejected": "b"},
    {"prompt": "q5", "instruction": "other", "chosen": "a", "rejected": "b"},
    {"chosen": "\n\nHuman: q6\n\nAssistant: a", "rejected": "\n\nHuman: q6\n\nAssistant: b", "weight": 2},
    *({"prompt": f"side {number}", "chosen": "a", "rejected": "b"} for number in range(40)),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_columns_of_other_rows_that_hold_nothing_are_as_none(kind, tmp_path):
    names = dict.fromkeys(name for row in TABLE for name in row)
    rows = [{name: row.get(name) for name in names} for row in TABLE]
    file = tmp_path / f"p.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        pyarrow.csv.write_csv(pyarrow.Table.from_pylist(rows), file)
    read, report = read_preferences(find_sources(str(file)))
    other = read_human_preferences(str(file)).preferences
    assert [*map(said, read)] == [*map(said, other)] and not report.rejected
    asked = [one.prompt.messages[0].content for one in other[:6]]
    assert asked == ["q1", "q2", "q3", "q4", "q5", "q6"]
    assert [one.weight for one in other] == [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, *[1.0] * 40]
    assert [one.p_chosen for one in other] == [1.0, 1.0, 0.75, *[1.0] * 43]
    assert dict(report.formats) == {
        "preference_text": 42,
        "alpaca_eval": 1,
        "native": 1,
        "llamafactory_alpaca": 1,
        "hh": 1,
    }
    for found in (read, other):
        assert 10 < [one.response_a for one in found].count("a") < 36, "the side knows nothing of the label"


def test_a_first_row_of_no_format_is_told_like_any_other(tmp_path):
    told: list[tuple[int | None, str]] = []
    file = write_rows(tmp_path, {"prompt": "s", "chosen": "a"}, PAIRS["preference_text"])
    read, _ = read_preferences(find_sources(file), told=lambda row, why: told.append((row.line, why)))
    assert len(read) == 1 and told == [(1, LACKS)]
    path, report = import_data(find_sources(file), tmp_path / "out")
    assert path.name == "preferences.jsonl" and report.rejected == {LACKS: 1}
    with pytest.raises(InputError, match=r"p\.jsonl:1: columns that look like answers"):
        import_data(find_sources(write_rows(tmp_path, {"prompt": "s", "chosen": "a"}, {"prompt": "t"})), tmp_path / "o")


RATED = {"prompt": "q", "completion": "a"}


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ({"prompt": "s"}, [PAIRS["preference_text"]] * 2),
        ({"prompt": "s", "chosen": None, "rejected": None}, [PAIRS["preference_text"]] * 2),
        (RATED | {"label": None}, [RATED | {"completion": text, "label": text == "a"} for text in "ab"]),
    ],
    ids=["prompt", "null answers", "null label"],
)
def test_a_first_row_without_answers_takes_none_from_the_others(first, rest, tmp_path):
    path, report = import_data(find_sources(write_rows(tmp_path, first, *rest)), tmp_path / "out")
    assert path.name == "preferences.jsonl" and report.kept == 1 and report.rejected.total() == 1
    assert next(iter(report.first.values())).endswith("p.jsonl:1")


LACKS = "no column 'rejected' (columns: 'prompt', 'chosen')"


def test_rated_answers_among_pairs_are_joined_and_a_row_of_no_format_is_told(tmp_path):
    rows = [PAIRS["preference_text"], *(JUDGED["axolotl_kto"](text, text == "a") | {"prompt": "r"} for text in "ab")]
    told: list[tuple[int | None, str]] = []
    read, report = read_preferences(
        find_sources(write_rows(tmp_path, *rows, {"prompt": "s", "chosen": "a"})),
        told=lambda row, why: told.append((row.line, why)),
    )
    assert [one.prompt.messages for one in read] == [(user("q"),), (user("r"),)]
    assert report.formats == {"preference_text": 2, "axolotl_kto": 2} and told == [(4, LACKS)]


REFUSED = [
    ({"prompt": ASKED, "chosen": ANSWERED}, "no column 'rejected'"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": None}, "'rejected' holds nothing"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": 3}, "'rejected' holds a number, expected a text or a list"),
    ({"prompt": [], "chosen": ANSWERED, "rejected": [SAID]}, "the prompt has no turns"),
    ({"prompt": ANSWERED, "chosen": ANSWERED, "rejected": [SAID]}, "the prompt ends with the role assistant"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": ANSWERED}, "both answers are the same text"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [{**SAID, "content": " \n"}]}, "an answer is empty"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [{**SAID, "content": "\0"}]}, "a text contains a NUL"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [{**SAID, "content": "\ud83d"}]}, "half of a surrogate pair"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": ASKED}, "'rejected' is not one assistant message"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [{"role": "tool", "content": "x"}]}, "has the role 'tool'"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [SAID], "p_chosen": 2}, "'p_chosen' is not a number"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [SAID], "weight": -1}, "'weight' is not a finite number"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [SAID], "kind": "hlpful"}, "did you mean 'helpful'"),
    ({"prompt": ASKED, "chosen": ANSWERED, "rejected": [SAID], "split": "tset"}, "did you mean 'test'"),
    ({"prompt": [*ASKED, {"role": "system", "content": "s"}, *ASKED], "chosen": ANSWERED, "rejected": [SAID]},
     "a system turn that is not the first"),
    (["a list"], "the row is not an object with columns"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "reason"), REFUSED)
def test_a_row_that_cannot_be_carried_is_told_with_its_place(row, reason, tmp_path):
    told = []
    file = write_rows(tmp_path, PAIRS["preference"] | {"prompt": [user("fine").to_json()]}, row)
    read, report = read_preferences(find_sources(file), told=lambda row, why: told.append((row.line, why)))
    assert len(read) == 1 and report.units == 2 == report.kept + report.rejected.total()
    [(line, why)] = told
    assert line == 2 and reason in why
    assert report.first == {why: f"{file}:2"}


ANNOTATED = {
    "metadata": {"version": "2.0", "default_annotator": "d1"},
    "annotators": {"d1": {"name": "people"}},
    "comparisons": [
        {"id": str(n), "prompt": f"q{n}", "response_a": {"text": "a"}, "response_b": {"text": "b"},
         "annotations": {"d1": verdict, "other": {"pref": "b"}}, "metadata": {}}
        for n, verdict in enumerate(({"pref": "a"}, {"pref": "b"}, {"pref": None, "no_pref_reason": "tie"},
                                     {"pref": None, "no_pref_reason": "invalid"}))
    ],
}  # fmt: skip


def test_annotated_pairs_of_others_follow_their_default_annotator(tmp_path):
    read, report = read_preferences(find_sources(write(tmp_path, "pairs.json", json.dumps(ANNOTATED))))
    assert {one.prompt.messages[0].content: one.p_a if one.response_a == "a" else 1 - one.p_a for one in read} == {
        "q0": 1.0, "q1": 0.0, "q2": 0.5,
    }  # fmt: skip
    assert dict(report.rejected) == {"no verdict (no_pref_reason is invalid)": 1}


def test_annotated_pairs_one_a_line_have_no_default_annotator(tmp_path):
    file = write_rows(tmp_path, *ANNOTATED["comparisons"], name="pairs.json")
    with pytest.raises(InputError, match=r"can be carried \(4 × no annotation by the default annotator\)"):
        import_data(find_sources(file), tmp_path / "out")


def test_tables_are_read_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([PAIRS["preference"]]), tmp_path / "p.parquet")
    csv = write(tmp_path, "p.csv", "prompt,chosen,rejected\nq,a,b\n")
    for file in (str(tmp_path / "p.parquet"), csv):
        [one], _ = read_preferences(find_sources(file))
        assert (one.prompt.messages, one.chosen, one.rejected) == ((user("q"),), "a", "b")


HUGE = 10**399


@pytest.mark.parametrize(("form", "cells"), [
    ("preference", {"weight": HUGE}), ("preference_text", {"weight": HUGE}), ("preference", {"weight": str(HUGE)}),
    ("ultrafeedback", {"score_chosen": HUGE}), ("ultrafeedback", {"score_rejected": -HUGE}),
    ("hh", {"score_chosen": HUGE, "score_rejected": 1}), ("alpaca_eval", {"preference": HUGE}),
    ("ultrafeedback_raw", {"completions": [
        {"response": "b", "overall_score": 1}, {"response": "a", "overall_score": HUGE}]}),
])  # fmt: skip
def test_a_number_beyond_any_float_rejects_its_row_alone(form, cells, tmp_path):
    file = write_rows(tmp_path, PAIRS[form], PAIRS[form] | cells)
    read, report = read_preferences(find_sources(file))
    assert len(read) == 1 == report.kept == report.rejected.total() and report.units == 2
    [(why, place)] = report.first.items()
    assert place == f"{file}:2" and re.search("larger than any float|not a finite number", why)


def test_a_weight_beyond_any_float_rejects_its_row_of_human_preferences_alone(tmp_path):
    row = PAIRS["preference_text"]
    found = read_human_preferences(write_rows(tmp_path, row, row | {"weight": HUGE}))
    assert len(found.preferences) == 1


@pytest.mark.parametrize("name", ["sft", "sharegpt", "messages_label", "axolotl_preference"])
def test_a_text_where_messages_are_expected_rejects_its_row(name, tmp_path):
    row = {**PAIRS, **PROMPTS, "messages_label": JUDGED["messages_label"]("a", True)}[name]
    column = "conversations" if name == "sharegpt" else "messages"
    read, report = read_prompt_rows(find_sources(write_rows(tmp_path, row, row | {column: "a text"})))
    assert len(read) == 1 and dict(report.rejected) == {f"'{column}' holds a text, expected a list of messages": 1}
