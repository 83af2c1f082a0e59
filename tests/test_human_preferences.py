from __future__ import annotations

import re
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.exports import LeftOut, load_export
from cai.human_preferences import read_human_preferences
from cai.prompts import opening_turn
from cai.records import Message, assistant, user
from tests.prompts.writing import write_rows

DATA = Path(__file__).resolve().parents[1] / "../shared/data/preference_pairs"
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
    (["a"], "expected an object with the columns"),
]


@pytest.mark.parametrize(("row", "message"), WRONG)
def test_bad_rows_are_one_clear_line(row, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        read_human_preferences(write_rows(tmp_path, row))


def test_no_pairs(tmp_path):
    with pytest.raises(InputError, match="holds no pairs"):
        read_human_preferences(write_rows(tmp_path))
    with pytest.raises(InputError, match="holds no pairs: every row was left out"):
        read_human_preferences(write_rows(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "b"}))
    with pytest.raises(InputError, match="column=, answers= and turns="):
        read_human_preferences(write_rows(tmp_path) + "?column=x")


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
