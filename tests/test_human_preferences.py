from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.exports import LeftOut, load_export
from cai.exports.writing import export_dataset
from cai.human_preferences import read_human_preferences
from cai.prompts import opening_turn, read_prompts
from cai.records import Message, Preference, Prompt, assistant, user
from tests.prompts.writing import write_rows

DATA = Path(__file__).resolve().parents[1] / "../shared/data/preference_pairs"
ALPACA = DATA.parent / "alpaca_eval_gpt4_prefs"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")

STEM = "\n\nHuman: hi\n\nAssistant: Hello.\n\nHuman: bye\n\nAssistant:"
TURNS = (user("hi"), assistant("Hello."), user("bye"))
AS_JSON = [turn.to_json() for turn in TURNS]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


SHAPES = {
    "HH": {"chosen": STEM + " good", "rejected": STEM + " bad\n"},
    "explicit, conversational": {"prompt": AS_JSON, "chosen": answer("good"), "rejected": answer("bad")},
    "implicit, conversational": {"chosen": AS_JSON + answer("good"), "rejected": AS_JSON + answer("bad")},
    "explicit, transcript": {"prompt": STEM, "chosen": " good", "rejected": " bad"},
    "explicit, whole dialogues": {
        "prompt": STEM,
        "chosen": AS_JSON + answer("good"),
        "rejected": AS_JSON + answer("bad"),
    },
    "sharegpt": {
        "conversations": [{"from": {"user": "human", "assistant": "gpt"}[t.role], "value": t.content} for t in TURNS],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    },
}


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape(row, tmp_path):
    preferences, notes = read_human_preferences(write_rows(tmp_path, row))
    [one] = preferences
    assert (one.prompt.messages, one.chosen, one.rejected) == (TURNS, "good", "bad")
    assert (one.p_chosen, one.source, one.prompt.kind, notes.kept) == (1.0, "human", "helpful", 1)


def test_the_sides_depend_on_the_texts_and_not_on_the_label(tmp_path):
    rows = [{"prompt": f"q{n}", "chosen": "yes", "rejected": "no"} for n in range(200)]
    turned = [{"prompt": row["prompt"], "chosen": "no", "rejected": "yes"} for row in rows]
    one, _ = read_human_preferences(write_rows(tmp_path, *rows))
    two, _ = read_human_preferences(write_rows(tmp_path, *turned, name="turned.jsonl"))
    assert [p.response_a for p in one] == [p.response_a for p in two]
    assert [p.p_a for p in one] == [1.0 - p.p_a for p in two]
    assert 70 < sum(p.p_a for p in one) < 130


def test_rows_of_no_use_are_left_out_and_counted(tmp_path):
    good = SHAPES["HH"]
    rows = [
        good,
        {"chosen": STEM + " a", "rejected": "\n\nHuman: other\n\nAssistant: b"},
        {"chosen": STEM + " same", "rejected": STEM + " same "},
        {"chosen": STEM + " a", "rejected": STEM},
        {"chosen": STEM + " a", "rejected": "\n\nHuman: hi\n\nAssistant:\n\nHuman: bye\n\nAssistant: b"},
        good,
    ]
    preferences, notes = read_human_preferences(write_rows(tmp_path, *rows))
    assert len(preferences) == 1
    assert (notes.rows, notes.duplicates, notes.contradicting) == (6, 1, 0)
    assert notes.skipped == {
        "the two dialogues differ before the last answer": 1,
        "both answers are the same text": 1,
        "an answer is empty": 1,
        "a transcript with an empty assistant turn": 1,
    }
    assert notes.first["both answers are the same text"].endswith("p.jsonl:3")


def test_people_who_disagree_make_a_soft_label(tmp_path):
    one = {"prompt": "q", "chosen": "a", "rejected": "b"}
    rows = [one, one, one, {"prompt": "q", "chosen": "b", "rejected": "a"}]
    preferences, notes = read_human_preferences(write_rows(tmp_path, *rows))
    assert [(p.chosen, p.p_chosen) for p in preferences] == [("a", 0.75)]
    assert (notes.kept, notes.duplicates, notes.contradicting) == (1, 3, 1)
    tie = {"prompt": "q", "chosen": "a", "rejected": "b", "p_chosen": 0.5}
    assert read_human_preferences(write_rows(tmp_path, tie, *rows[2:])).notes.contradicting == 1


def test_a_verdict_that_is_missing_is_left_out_and_told(tmp_path):
    rows = [
        {"prompt": f"q{n}", "chosen": "a", "rejected": "b", "p_chosen": said} for n, said in enumerate((0.9, None, ""))
    ]
    preferences, notes = read_human_preferences(write_rows(tmp_path, *rows))
    assert [one.p_chosen for one in preferences] == [0.9]
    assert notes.skipped == {"no verdict (p_chosen holds nothing)": 2}
    for said in (None, ""):
        own = {"prompt": "q", "response_a": "a", "response_b": "b", "p_a": said}
        with pytest.raises(InputError, match=re.escape(f"p.jsonl:1: p_a is {said!r}, expected a number from 0 to 1")):
            read_human_preferences(write_rows(tmp_path, own))


def test_what_people_and_what_a_model_said_of_a_pair_stay_apart(tmp_path):
    pair = {"prompt": "q", "response_a": "a", "response_b": "b", "p_a": 1.0}
    model = {**pair, "response_a": "b", "response_b": "a", "source": "ai"}
    preferences, notes = read_human_preferences(write_rows(tmp_path, pair, model))
    assert [(one.source, one.chosen, one.p_chosen) for one in preferences] == [("human", "a", 1.0), ("ai", "b", 1.0)]
    assert not notes.duplicates


def test_a_prompt_is_one_whether_a_run_or_a_file_of_pairs_reads_it(tmp_path):
    more = {"input": "a text", "history": [["before", "an answer"]]}
    rows = [{"instruction": f"q{n}", "chosen": "a", "rejected": "b", **more} for n in range(60)]
    file = write_rows(tmp_path, *rows)
    pairs = [one.prompt for one in read_human_preferences(file).preferences]
    prompts = read_prompts([file]).prompts
    assert pairs[0].messages == (user("before"), assistant("an answer"), user("q0\na text"))
    assert [(one.id, one.split) for one in pairs] == [(one.id, one.split) for one in prompts]


def test_a_pair_in_both_orders_is_one(tmp_path):
    first = {"prompt": "q", "response_a": "a", "response_b": "b", "p_a": 0.9}
    swapped = {"prompt": "q", "response_a": "b", "response_b": "a", "p_a": 0.9}
    [one], notes = read_human_preferences(write_rows(tmp_path, first, swapped, {"prompt": "q", **SIDES}))
    assert one.response_a == "a" and one.p_a == pytest.approx((0.9 + 0.1 + 1.0) / 3)
    assert (notes.kept, notes.duplicates, notes.contradicting) == (1, 2, 2)


SIDES = {"chosen": "a", "rejected": "b"}


def test_an_export_reads_back(tmp_path):
    rows = [
        {
            "prompt": [Message("system", "s").to_json(), *AS_JSON],
            "chosen": answer("ü 🙂"),
            "rejected": answer("b"),
            "p_chosen": 0.8,
        }
    ]
    first, _ = read_human_preferences(write_rows(tmp_path, *rows) + "?kind=red_team&split=test")
    for name in ("preference", "preference_implicit"):
        made = [row for row in load_export(name).rows(first) if not isinstance(row, LeftOut)]
        again, _ = read_human_preferences(write_rows(tmp_path, *made))
        assert [(p.id, p.p_a, p.prompt.messages, p.prompt.kind, p.prompt.split) for p in again] == [
            (p.id, p.p_a, p.prompt.messages, p.prompt.kind, p.prompt.split) for p in first
        ]
    assert first[0].p_chosen == 0.8


WRONG = [
    ({"prompt": "a", "chosen": "b"}, "p.jsonl:1: no column 'rejected' (columns: 'prompt', 'chosen')"),
    ({"chosen": "a", "rejected": "b"}, "p.jsonl:1: no prompt: no 'prompt' column, and 'chosen' is not a Human:"),
    ({"prompt": STEM + " x", "chosen": "a", "rejected": "b"}, "the prompt must end with a user turn"),
    ({"prompt": "a", "chosen": [], "rejected": "b"}, "'chosen' must be one assistant message after the prompt"),
    ({"prompt": "a", "chosen": "c\0", "rejected": "b"}, "contains a NUL"),
    (
        {"prompt": "a", "chosen": "c", "rejected": "b", "p_chosen": 1.5},
        "p_chosen is 1.5, expected a number from 0 to 1",
    ),
    ({"prompt": "a", "chosen": "c", "rejected": None}, "'rejected' holds nothing"),
    ({"prompt": "a", "chosen": 3, "rejected": "b"}, "'chosen' holds a number, expected a text or a list of messages"),
    (
        {"instruction": "a", "history": [["b"]], "chosen": "c", "rejected": "d"},
        "'history' is not a list of pairs of texts",
    ),
    (["a"], "expected an object with the columns"),
]


@pytest.mark.parametrize(("row", "message"), WRONG)
def test_bad_rows_are_one_clear_line(row, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        read_human_preferences(write_rows(tmp_path, row))


KTO = [
    {"prompt": "q", "completion": "a", "label": True},
    {"prompt": AS_JSON, "completion": answer("good"), "label": 0},
    {"messages": AS_JSON + answer("good"), "kto_tag": "false"},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "Label": 1},
    {"prompt": "q", "response": "a", "label": "good"},
]


@pytest.mark.parametrize("row", KTO, ids=["text", "messages", "dialogue", "sharegpt", "words"])
def test_single_rated_answers_are_told_to_be_no_pairs(row, tmp_path):
    with pytest.raises(InputError) as raised:
        read_human_preferences(write_rows(tmp_path, row))
    label = "kto_tag" if "kto_tag" in row else "label"
    assert raised.value.message.startswith(f"a single answer that its '{label}' rates (a KTO row), not a pair; a pair")
    assert "chosen and rejected; `cai import FILE --out FOLDER` makes pairs of good and bad" in raised.value.message
    assert "did you mean" not in raised.value.message


def test_a_single_answer_is_no_misspelt_list_of_completions(tmp_path):
    with pytest.raises(InputError, match="a single answer that nothing rates, not a pair; a pair has two answers"):
        read_human_preferences(write_rows(tmp_path, {"prompt": "q", "completion": "a"}))
    rated = [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": 2}]
    with pytest.raises(InputError, match="did you mean 'completion'"):
        read_human_preferences(write_rows(tmp_path, {"prompt": "q", "completion": rated}))


ANNOTATED = {"instruction": "q", "output_1": "one", "output_2": "two", "generator_1": "x", "generator_2": "y"}


@pytest.mark.parametrize(
    ("preference", "p_first"),
    [(1, 1.0), (2, 0.0), (1.0, 1.0), (2.0, 0.0), (1.5, 0.5), (0, 0.5), (0.0, 0.5), (1.25, 0.75), ("2", 0.0)],
)
def test_annotations_of_alpaca_eval(preference, p_first, tmp_path):
    [one], notes = read_human_preferences(write_rows(tmp_path, {**ANNOTATED, "preference": preference}))
    assert one.prompt.messages == (user("q"),) and {one.response_a, one.response_b} == {"one", "two"}
    assert (one.p_a if one.response_a == "one" else 1 - one.p_a) == p_first
    assert one.source == "human" and notes.ties == (p_first == 0.5)


def test_annotations_without_a_verdict_are_counted_and_never_a_label(tmp_path):
    rows = [{**ANNOTATED, "preference": 1}]
    rows += [{**ANNOTATED, "instruction": f"q{n}", "preference": value} for n, value in enumerate((None, "", "nan"))]
    rows += [{**ANNOTATED, "preference": 0, "output_2": "one"}, {**ANNOTATED, "input": "text", "preference": 2}]
    found, notes = read_human_preferences(write_rows(tmp_path, *rows))
    assert [one.prompt.messages[0].content for one in found] == ["q", "q\ntext"]
    assert notes.skipped == {"no verdict (preference is null)": 3, "both answers are the same text": 1}
    assert notes.pairs == notes.rows == 6 == notes.kept + notes.duplicates + sum(notes.skipped.values())


def completion(text, score):
    return {"model": "m", "principle": "honesty", "custom_system_prompt": "s", "response": text, "overall_score": score}


def test_every_pair_of_ultrafeedback_is_read_and_equal_scores_tie(tmp_path):
    completions = [completion("best", 9.0), completion("good", 7.5), completion("also good", 7.5), completion("bad", 1)]
    found, notes = read_human_preferences(
        write_rows(tmp_path, {"source": "evol_instruct", "instruction": "q", "models": [], "completions": completions})
    )
    better = {(one.chosen, one.rejected) for one in found if one.p_a != 0.5}
    assert better == {(a, b) for a, b in (("best", "good"), ("best", "also good"), ("best", "bad"), ("good", "bad"),
                                         ("also good", "bad"))}  # fmt: skip
    assert [{one.response_a, one.response_b} for one in found if one.p_a == 0.5] == [{"good", "also good"}]
    assert (notes.rows, notes.pairs, notes.kept, notes.ties) == (1, 6, 6, 1)
    assert {one.source for one in found} == {"human"} and {one.prompt.messages for one in found} == {(user("q"),)}


def test_what_ultrafeedback_lacks_is_counted(tmp_path):
    rows = [
        {"instruction": "q", "completions": [completion("a", 5), completion("b", None), completion("c", 3)]},
        {"instruction": "r", "completions": [completion("a", 5), completion("a", 4), completion(" ", 3)]},
        {"instruction": "s", "completions": [completion("a", 5)]},
        {"instruction": "t", "completions": {"response": ["a", "b"], "overall_score": [1.0, 2.0]}},
    ]
    found, notes = read_human_preferences(write_rows(tmp_path, *rows))
    assert [(one.chosen, one.rejected) for one in found] == [("a", "c"), ("b", "a")]
    assert notes.skipped == {
        "a completion has no overall_score": 2, "both answers are the same text": 1, "an answer is empty": 2,
        "fewer than two completions": 1,
    }  # fmt: skip
    assert notes.pairs == 8 == notes.kept + notes.duplicates + sum(notes.skipped.values())


@pytest.mark.parametrize(
    ("scores", "p_chosen"), [((9.0, 5.0), 1.0), ((7.0, 7.0), 0.5), ((None, 5.0), 1.0), ((5.0, 9.0), None)]
)
def test_binarized_ultrafeedback_ties_where_both_scores_are_one(scores, p_chosen, tmp_path):
    row = {
        "prompt": "q", "prompt_id": "1", "messages": [user("q").to_json(), *answer("yes")],
        "chosen": [user("q").to_json(), *answer("yes")], "rejected": [user("q").to_json(), *answer("no")],
        "score_chosen": scores[0], "score_rejected": scores[1],
    }  # fmt: skip
    implicit = {name: value for name, value in row.items() if name not in ("prompt", "messages")}
    for one in (row, implicit):
        other = {"prompt": "r", "chosen": "a", "rejected": "b"}
        found, notes = read_human_preferences(write_rows(tmp_path, one, other))
        read = [pair for pair in found if pair.prompt.messages == (user("q"),)]
        if p_chosen is None:
            assert read == [] and notes.skipped == {"the rejected answer has the higher score": 1}
        else:
            assert [pair.p_chosen for pair in read] == [p_chosen]
            assert {read[0].response_a, read[0].response_b} == {"yes", "no"}


WRONG_SHAPES = [
    ({**ANNOTATED, "preference": 3}, "preference is 3, expected 0, null, or a number from 1 to 2"),
    ({**ANNOTATED, "preference": 0.5}, "preference is 0.5, expected 0, null, or"),
    ({**ANNOTATED, "preference": "A"}, "preference is 'A', expected 0"),
    ({**ANNOTATED, "output_1": None, "preference": 1}, "'output_1' holds nothing, expected a text"),
    ({"instruction": "q", "completions": "x"}, "'completions' must be a list of objects with response"),
    ({"instruction": "q", "completions": [completion("a", "x"), completion("b", 1)]}, "overall_score is 'x'"),
    ({"completions": [completion("a", 2), completion("b", 1)]}, "no column that holds a prompt"),
    (
        {"question": "q", "label": 1},
        "no ranked answers (columns: 'question', 'label'); expected chosen and rejected, or",
    ),
]


@pytest.mark.parametrize(("row", "message"), WRONG_SHAPES)
def test_other_bad_rows_are_one_clear_line(row, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(f"p.jsonl:1: {message}")):
        read_human_preferences(write_rows(tmp_path, row))


@pytest.mark.skipif(not ALPACA.is_dir(), reason="the shared data is not there")
@pytest.mark.parametrize(("name", "kept", "second"), [("alpaca-7b", 789, 205), ("claude", 805, 737)])
def test_real_annotations(name, kept, second, tmp_path):
    file = ALPACA / f"{name}.annotations.json"
    found, notes = read_human_preferences(str(file))
    rows = {row["instruction"]: row for row in json.loads(file.read_text())}
    assert (notes.rows, notes.kept, notes.ties) == (805, kept, 0)
    assert sum(one.chosen == rows[one.prompt.messages[0].content]["output_2"].strip() for one in found) == second
    assert notes.skipped.total() == 805 - kept and {one.source for one in found} == {"human"}


def test_no_pairs(tmp_path):
    with pytest.raises(InputError, match="holds no pairs"):
        read_human_preferences(write_rows(tmp_path))
    with pytest.raises(InputError, match="holds no pairs: every row was left out"):
        read_human_preferences(write_rows(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "b"}))
    with pytest.raises(InputError, match="column=, answers= and turns="):
        read_human_preferences(write_rows(tmp_path) + "?column=x")


@pytest.mark.parametrize("said", ["ai", "human", "AI"])
def test_the_name_of_a_source_is_not_taken_for_who_ranked_the_pairs(said, tmp_path):
    file = write_rows(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "c"})
    who = f"p.jsonl: ?source={said} would name the data set that the prompts are from, not who ranked the pairs; "
    with pytest.raises(InputError, match=re.escape(f"{who}`cai import FILE --source {said.lower()}` says that")):
        read_human_preferences(f"{file}?source={said}")
    [one], _ = read_human_preferences(f"{file}?source=aida")
    assert (one.prompt.source, one.source) == ("aida", "human")


@real_data
@pytest.mark.parametrize(
    ("name", "rows", "kept", "longer"),
    [("hh_harmless_dev", 1706, 1704, 0.455), ("hh_helpful_dev", 1753, 1749, 0.599), ("webgpt_dev", 476, 476, 0.651)],
)
def test_real_pairs(name, rows, kept, longer):
    preferences, notes = read_human_preferences(str(DATA / f"{name}.jsonl"))
    assert (notes.rows, len(preferences)) == (rows, kept)
    assert rows == kept + notes.duplicates + sum(notes.skipped.values())
    share = sum(len(p.chosen) > len(p.rejected) for p in preferences) / kept
    assert share == pytest.approx(longer, abs=0.001)
    sides = {opening_turn(p.prompt.messages): p.prompt.split for p in preferences}
    assert all(sides[opening_turn(p.prompt.messages)] == p.prompt.split for p in preferences)
    assert 0.4 < sum(p.p_a for p in preferences) / kept < 0.6


def test_our_own_records_keep_their_sides_and_every_character(tmp_path):
    prompt = Prompt.make((Message("system", "s"), user(" q\n")), "red_team", "name", "test")
    made = [Preference(prompt, " one\n", "two", 0.3, 0.5, "ai"), Preference(prompt, "two", "three", 0.9, 1.0, "human")]
    read, notes = read_human_preferences(write_rows(tmp_path, *(one.to_json() for one in made)))
    assert [one.to_json() | {"prompt": 0} for one in read] == [one.to_json() | {"prompt": 0} for one in made]
    assert all((one.prompt.id, one.prompt.kind, one.prompt.split) == (prompt.id, "red_team", "test") for one in read)
    assert notes.kept == 2
    with pytest.raises(InputError, match=r"p.jsonl:1: p_a is 2, expected a number from 0 to 1"):
        read_human_preferences(write_rows(tmp_path, made[0].to_json() | {"p_a": 2}))


def test_native_rows_keep_their_tags(tmp_path) -> None:
    tagged = Prompt.make((user("q"),), "helpful", "s", tags=("a b", "c"))
    export_dataset(load_export("native"), [Preference(tagged, "x", "y", 0.3)], tmp_path, ["jsonl"])
    [one] = read_human_preferences(str(tmp_path / "train.jsonl")).preferences
    assert (one.prompt.tags, one.prompt.source, one.p_a) == (("a b", "c"), "s", 0.3)
