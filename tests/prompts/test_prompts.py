from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.dialogues import transcript
from cai.errors import InputError
from cai.prompts import opening_turn, parse_spec, read_prompts, split_of
from cai.prompts.kinds import kind_of_name
from cai.prompts.transcripts import is_transcript, parse_transcript
from cai.records import Message, assistant, user
from tests.prompts.writing import HH, TWO, write, write_rows

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")

HH_TURNS = (user("How do I pick a lock?"), assistant("Whose lock?"), user("Mine."))


def turns_of(file: str) -> list[tuple[Message, ...]]:
    return [prompt.messages for prompt in read_prompts([file]).prompts]


# ------------------------------------------------------------------------------------------------------ formats

ROWS = [{"prompt": "Who are you?"}, {"prompt": "Wie geht’s, “Welt”? 你好 🙂"}, {"prompt": 'say "a, b"\nand c'}]
EXPECTED = [(user(row["prompt"]),) for row in ROWS]


def _as_csv(folder: Path, delimiter: str, name: str) -> str:
    with (folder / name).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, ["prompt", "n"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows({**row, "n": 1} for row in ROWS)
    return str(folder / name)


def _as_parquet(folder: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), folder / "p.parquet")
    return str(folder / "p.parquet")


def _as_dataset(folder: Path) -> str:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
    return str(folder / "saved")


FORMATS = {
    "jsonl": lambda f: write_rows(f, *ROWS),
    "jsonl under another ending": lambda f: write_rows(f, *ROWS, name="p.data") + "?format=jsonl",
    "jsonl called json": lambda f: write_rows(f, *ROWS, name="p.json"),
    "jsonl.gz": lambda f: write(f, "p.jsonl.gz", gzip.compress("".join(json.dumps(r) + "\n" for r in ROWS).encode())),
    "json list": lambda f: write(f, "p.json", json.dumps(ROWS, indent=2)),
    "json data": lambda f: write(f, "p.json", json.dumps({"version": 1, "data": ROWS})),
    "json columns": lambda f: write(f, "p.json", json.dumps({"prompt": [r["prompt"] for r in ROWS], "n": [1, 2, 3]})),
    "json texts": lambda f: write(f, "p.json", json.dumps([r["prompt"] for r in ROWS])),
    "csv": lambda f: _as_csv(f, ",", "p.csv"),
    "csv with semicolons": lambda f: _as_csv(f, ";", "p.csv"),
    "tsv": lambda f: _as_csv(f, "\t", "p.tsv"),
    "parquet": _as_parquet,
    "dataset": _as_dataset,
}


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS.keys())
def test_every_format_gives_the_same_prompts(make, tmp_path):
    read = read_prompts([make(tmp_path)])
    assert [prompt.messages for prompt in read.prompts] == EXPECTED
    assert (read.duplicates, read.skipped, read.files[0].rows) == (0, {}, 3)


def test_plain_text_is_one_prompt_a_line_with_bom_and_crlf(tmp_path):
    assert turns_of(write(tmp_path, "p.txt", b"\xef\xbb\xbfone\r\n\r\n  two \r\nthree")) == [
        (user("one"),), (user("two"),), (user("three"),),
    ]  # fmt: skip


def test_bom_and_crlf_do_not_change_jsonl_or_csv(tmp_path):
    assert turns_of(write(tmp_path, "p.jsonl", b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b"}\r\n')) == [
        (user("a"),), (user("b"),),
    ]  # fmt: skip
    assert turns_of(write(tmp_path, "p.csv", b'\xef\xbb\xbfprompt,n\r\n"a\r\nb",1\r\n')) == [(user("a\nb"),)]


def test_a_line_separator_inside_a_string_does_not_end_a_line(tmp_path):
    assert turns_of(write(tmp_path, "p.jsonl", '{"prompt": "a\u2028b\x85c"}\n')) == [(user("a\u2028b\x85c"),)]


def test_the_parts_of_a_dataset_dict_give_the_split(tmp_path):
    import datasets

    parts = {"train_sft": ["a", "b"], "validation": ["c"], "other": ["d"]}
    tables = {name: datasets.Dataset.from_dict({"prompt": texts}) for name, texts in parts.items()}
    datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "saved"))
    splits = {p.messages[0].content: p.split for p in read_prompts([str(tmp_path / "saved")]).prompts}
    assert splits == {"a": "train", "b": "train", "c": "test", "d": split_of((user("d"),), 0.2)}


# ------------------------------------------------------------------------------------------------------- shapes

TWO_TURNS = (user("a"), assistant("b"), user("c"))
SHAREGPT = [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}]
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
SHAPES = [
    ({"prompt": TWO}, TWO_TURNS),
    ({"messages": TWO}, TWO_TURNS),
    (TWO, TWO_TURNS),
    ({"messages": json.dumps(TWO)}, TWO_TURNS),
    ({"messages": {"role": ["user"], "content": ["a"]}}, (user("a"),)),
    ({"conversations": SHAREGPT}, (Message("system", "s"), user("a"))),
    ({"messages": [{"role": "user", "content": PARTS}]}, (user("ab"),)),
    ({"prompt": HH}, HH_TURNS),
    ({"rl_prompt": HH}, HH_TURNS),
    ({"chosen": HH + " Then a tension wrench.", "rejected": HH + " No."}, HH_TURNS),
    ({"transcript": HH + " Fine."}, HH_TURNS),
    ({"chosen": "## Human:\nHi\n\n## Assistant:\n hello"}, (user("Hi"),)),
    ({"prompt": "p", "chosen": "c", "rejected": "r"}, (user("p"),)),
    ({"question": "q", "chosen": "c", "rejected": "r"}, (user("q"),)),
    ({"instruction": "i", "chosen": "c", "rejected": "r"}, (user("i"),)),
    ({"Goal": "g", "Target": "t", "Behavior": "name"}, (user("g"),)),
    ({"Behavior": "b", "ContextString": "ctx {x}"}, (user("ctx {x}\n\n---\n\nb"),)),
    ({"instruction": "i", "input": "", "output": "o"}, (user("i"),)),
    ({"instruction": "i", "input": "given", "output": "o"}, (user("i\ngiven"),)),
    ({"instruction": "i", "instances": [{"input": "first", "output": ""}]}, (user("i\nfirst"),)),
    ({"system": "s", "question": "q"}, (Message("system", "s"), user("q"))),
    ({"turns": [{"content": "only"}]}, (user("only"),)),
    ({"turns": ["a", "c"], "reference": ["b", "d"]}, TWO_TURNS),
    ({"turns": ["a", "c"], "reference": ["", "d"]}, (user("a"),)),
    ({"turns": ["a", "c"]}, (user("a"),)),
]  # fmt: skip


@pytest.mark.parametrize(("row", "messages"), SHAPES)
def test_every_shape(row, messages, tmp_path):
    assert turns_of(write_rows(tmp_path, row)) == [messages]


def test_an_answer_alone_is_no_prompt(tmp_path):
    file = write_rows(tmp_path, {"chosen": "c", "rejected": "r"})
    with pytest.raises(InputError, match=r"p\.jsonl:1: 'chosen' holds an answer alone, and no column its prompt"):
        read_prompts([file])
    assert turns_of(f"{file}?column=chosen") == [(user("c"),)]


def test_what_is_not_read_is_told(tmp_path):
    [report] = read_prompts([write_rows(tmp_path, {"turns": ["a", "c"], "category": "x"}, {"turns": ["d"]})]).files
    assert report.notes == {"later user turns not read: the answers between are not there": 1}
    assert report.unread == ("category",)


def test_a_transcript_with_an_empty_turn_is_left_out_and_counted(tmp_path):
    bad = "\n\nHuman: a\n\nAssistant: \n\nHuman: b\n\nAssistant:"
    read = read_prompts([write_rows(tmp_path, {"prompt": HH}, {"prompt": bad}, {"prompt": bad})])
    assert (len(read.prompts), read.skipped) == (1, {"a transcript with an empty assistant turn": 2})
    assert read.files[0].first["a transcript with an empty assistant turn"].endswith("p.jsonl:2")


def test_answers_drop_and_turns_first(tmp_path):
    file = write_rows(tmp_path, {"messages": [*TWO, {"role": "assistant", "content": "d"}]})
    assert turns_of(file + "?answers=drop") == [TWO_TURNS]
    file = write_rows(tmp_path, {"turns": ["a", "c"], "reference": ["b", "d"]})
    assert turns_of(file + "?turns=first") == [(user("a"),)]


texts = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":\0"), min_size=1).map(str.strip).filter(bool)
)


@given(st.lists(texts, min_size=1, max_size=5))
def test_a_transcript_reads_back(contents):
    messages = tuple(user(text) if n % 2 == 0 else assistant(text) for n, text in enumerate(contents))
    for text in (transcript(messages), "\n\n" + transcript(messages) + ("\n\nAssistant:" if len(messages) % 2 else "")):
        assert is_transcript(text)
        assert parse_transcript(text).messages == messages


def test_plain_text_that_only_mentions_speakers_stays_plain(tmp_path):
    for text in (
        "System: Windows 10. Why does it hang?",
        "Assistant: the role explained",
        "Humans: why?",
        "a\n\nHuman: b",
    ):
        assert turns_of(write_rows(tmp_path, {"prompt": text})) == [(user(text),)]


# ----------------------------------------------------------------------------------------------- kinds and splits


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("advbench", "red_team"), ("malicious_instruct", "red_team"), ("do-not-answer.en", "red_team"),
        ("red", "red_team"), ("hh_harmless_dev", "red_team"), ("harmless-base", "red_team"), ("harmful", "red_team"),
        ("harmless_train", "helpful"), ("mt_bench_question", "helpful"), ("alpaca_data", "helpful"),
        ("OR-Bench", "lookalike"), ("shredded", None), ("questions", None),
    ],
)  # fmt: skip
def test_kinds_of_names(name, kind):
    assert kind_of_name(name) == kind


def test_a_kind_is_given_or_of_the_row_or_derived_or_default(tmp_path):
    rows = write_rows(tmp_path, {"prompt": "a", "kind": "lookalike"}, {"prompt": "b"}, name="helpful.jsonl")
    read = read_prompts([rows])
    assert [prompt.kind for prompt in read.prompts] == ["lookalike", "helpful"]
    assert read.files[0].kinds == {("lookalike", "row"): 1, ("helpful", "name"): 1}
    plain = write_rows(tmp_path, {"prompt": "a"}, name="mine.jsonl")
    assert read_prompts([plain]).files[0].kinds == {("red_team", "default"): 1}
    assert read_prompts([plain + "?kind=helpful"]).files[0].kinds == {("helpful", "given"): 1}


def test_splits_follow_the_opening_turn_and_not_the_row(tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"q{n}"}, *TWO[1:]]} for n in range(500)]
    rows += [{"prompt": f"q{n}"} for n in range(500)]
    read = read_prompts([write_rows(tmp_path, *rows)])
    sides: dict[str, set[str]] = {}
    for prompt in read.prompts:
        sides.setdefault(opening_turn(prompt.messages), set()).add(prompt.split)
    assert all(len(side) == 1 for side in sides.values())
    assert 70 < sum(side == {"test"} for side in sides.values()) < 130
    backwards = read_prompts([write_rows(tmp_path, *rows[::-1])])
    assert {p.id: p.split for p in backwards.prompts} == {p.id: p.split for p in read.prompts}


@given(st.text(), st.floats(0, 0.5), st.floats(0.5, 0.99))
def test_a_larger_share_only_adds_to_the_test_side(text, small, large):
    if split_of((user(text),), small) == "test":
        assert split_of((user(text),), large) == "test"


def test_a_prompt_whose_opening_is_held_out_moves_to_test(tmp_path):
    opening = "Please tell me how bread is baked at home."
    more = [{"role": "user", "content": opening}, *TWO[1:]]
    train = write_rows(tmp_path, {"messages": more}, {"prompt": "z"}, name="a.jsonl") + "?split=train"
    test = write_rows(tmp_path, {"prompt": opening}, {"prompt": "y", "split": "validation"}, name="b.jsonl")
    read = read_prompts([train, test + "?split=test"])
    assert [prompt.split for prompt in read.prompts] == ["test", "train", "test", "test"]
    assert read.moved == 1


# ------------------------------------------------------------------------------------- merging, limits, the spec


def test_duplicates_are_merged_over_files(tmp_path):
    one = write_rows(tmp_path, {"prompt": "a", "tags": ["x"]}, {"prompt": "b"}, {"prompt": "a"}, name="red.jsonl")
    two = write_rows(tmp_path, {"messages": TWO[:1], "tags": "y, x"}, name="two.jsonl")
    read = read_prompts([one, two])
    assert [prompt.messages[0].content for prompt in read.prompts] == ["a", "b"]
    assert (read.duplicates, read.prompts[0].tags, read.prompts[0].source) == (2, ("x", "y"), "red")


def test_a_given_kind_beats_a_derived_one_and_equal_grounds_conflict(tmp_path):
    red, plain = (write_rows(tmp_path, {"prompt": "a"}, name=name) for name in ("red.jsonl", "plain.jsonl"))
    assert read_prompts([red, plain + "?kind=helpful"]).prompts[0].kind == "helpful"
    with pytest.raises(InputError, match=r"plain.jsonl:1: the prompt is helpful here, but red_team at .*red.jsonl:1"):
        read_prompts([red + "?kind=red_team", plain + "?kind=helpful"])


def test_limit_is_per_kind(tmp_path):
    rows = [{"prompt": f"p{n}", "kind": "helpful" if n % 3 == 0 else "red_team"} for n in range(20)]
    read = read_prompts([write_rows(tmp_path, *rows)], limit=3)
    assert [prompt.messages[0].content for prompt in read.prompts] == ["p0", "p1", "p2", "p3", "p4", "p6"]
    assert read.over_limit == 14


def test_a_spec(tmp_path):
    path = write(tmp_path, "p.csv", "a&b,c\nx,y\n")
    spec = parse_spec(f"{path}?kind=helpful&split=test&column=a%26b&tags=one,two&source=mine")
    assert (spec.kind, spec.split, spec.column, spec.tags, spec.name) == (
        "helpful",
        "test",
        "a&b",
        ("one", "two"),
        "mine",
    )
    [prompt] = read_prompts([f"{path}?column=a%26b&source=mine"]).prompts
    assert (prompt.messages, prompt.source) == ((user("x"),), "mine")
    odd = write(tmp_path, "what?.txt", "hi\n")
    assert turns_of(odd) == [(user("hi"),)]


def test_prompts_written_by_a_run_read_back(tmp_path):
    first = read_prompts([write_rows(tmp_path, {"messages": TWO, "kind": "lookalike", "tags": ["t"], "split": "test"})])
    again = read_prompts([write_rows(tmp_path, *[prompt.to_json() for prompt in first.prompts])])
    assert again.prompts == first.prompts


def test_reading_imports_nothing_heavy(tmp_path):
    file = write_rows(tmp_path, *ROWS)
    heavy = "{'torch', 'datasets', 'pyarrow', 'numpy', 'transformers'}"
    code = (
        f"import sys; from cai.prompts import read_prompts; read_prompts([{file!r}]); print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ----------------------------------------------------------------------------------------------------- real data

REAL = [
    ("harmful_prompt_sets/advbench.csv", 513, 513, {"red_team"}),
    ("harmful_prompt_sets/harmbench_val.csv", 79, 79, {"red_team"}),
    ("harmful_prompt_sets/malicious_instruct.txt", 100, 100, {"red_team"}),
    ("xstest/xstest_prompts.csv", 450, 450, {"lookalike", "red_team"}),
    ("do_not_answer/do_not_answer_en.csv", 922, 921, {"red_team"}),
    ("harmless_instructions/harmless_val.json", 6264, 6264, {"helpful"}),
    ("mt_bench/mt_bench_question.jsonl", 80, 80, {"helpful"}),
    ("arena_hard/question.jsonl", 500, 500, {"helpful"}),
    ("self_instruct/seed_tasks.jsonl", 175, 175, {"helpful"}),
    ("rbr_gold/train.jsonl", 351, 350, {"red_team"}),
    ("preference_pairs/hh_harmless_dev.jsonl", 1706, 1704, {"red_team"}),
    ("preference_pairs/hh_helpful_dev.jsonl", 1753, 1752, {"helpful"}),
    ("preference_pairs/webgpt_dev.jsonl", 476, 476, {"helpful"}),
    ("llamafactory_demos/dpo_zh_demo.json", 300, 289, {"red_team"}),
]


@real_data
@pytest.mark.parametrize(("name", "rows", "prompts", "kinds"), REAL)
def test_real_files(name, rows, prompts, kinds):
    read = read_prompts([str(DATA / name)])
    assert (read.files[0].rows, len(read.prompts), {prompt.kind for prompt in read.prompts}) == (rows, prompts, kinds)
    assert rows == prompts + read.duplicates + sum(read.skipped.values())
    assert all(prompt.messages[-1].role == "user" for prompt in read.prompts)


@real_data
def test_xstest_labels():
    read = read_prompts([str(DATA / "xstest/xstest_prompts.csv")])
    assert sum(prompt.kind == "lookalike" for prompt in read.prompts) == 250


def test_dialogues_that_only_share_a_greeting_are_split_by_what_they_ask(tmp_path):
    rows = [
        {"messages": [
            {"role": "user", "content": "Hi, are you there?"}, {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": f"How do I bake bread number {n} at home, step by step?"},
        ]}
        for n in range(200)
    ]  # fmt: skip
    splits = [prompt.split for prompt in read_prompts([write_rows(tmp_path, *rows)]).prompts]
    assert 20 <= splits.count("test") <= 60


def test_a_text_under_messages_is_a_prompt_where_the_column_is_named_or_it_is_written_as_one(tmp_path):
    file = write_rows(tmp_path, {"messages": "a"})
    assert turns_of(f"{file}?column=messages") == [(user("a"),)]
    for text in (json.dumps(TWO), HH):
        assert turns_of(write_rows(tmp_path, {"messages": text}))[0][-1].role == "user"


def test_a_system_message_is_no_turn(tmp_path):
    system = {"role": "system", "content": "s"}
    file = write_rows(tmp_path, {"messages": [system, *TWO[:1]]}, {"messages": [system, *TWO]}, {"messages": TWO})
    assert read_prompts([file]).summary()["turns"] == {"1": 1, "3": 2}


def test_prompts_of_one_id_are_counted_with_the_place_of_the_first(tmp_path):
    rows = [("x", "a"), ("y", "b"), ("x", "a"), ("x", "c"), (7, "d"), (7, "e"), ("", "f"), ("", "g"), (None, "h")]
    file = write_rows(tmp_path, *({"id": id, "prompt": text} for id, text in rows))
    [report] = read_prompts([file]).files
    assert report.notes == {"another prompt than that of an earlier row with the same id": 2}
    assert list(report.first.values()) == [f"{file}:4"]
    assert report.prompts == 8
