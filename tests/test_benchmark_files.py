"""Files in the shape of RewardBench, of both versions and in every format, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.human_preferences.benchmarks import is_benchmark, read_benchmark

V1 = {
    "prompt": "How do I stop a process?", "chosen": "Use kill.", "chosen_model": "x", "rejected": "I can't help.",
    "rejected_model": "y", "subset": "xstest-should-respond", "id": 7,
}  # fmt: skip
V2 = {
    "id": "12", "prompt": "2 + 2?", "chosen": ["4"], "rejected": ["5", "3", "22"], "num_correct": 1,
    "num_incorrect": 3, "total_completions": 4, "models": ["a", "b", "c", "d"], "subset": "Math",
}  # fmt: skip


def write(path: Path, rows: list[dict]) -> str:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows, indent=1))
        case ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("row", [V1, V2], ids=["v1", "v2"])
def test_both_versions_in_every_format(tmp_path, ending, row):
    file = write(tmp_path / f"bench.{ending}", [row, row])
    assert is_benchmark(file)
    found = read_benchmark(file)
    assert len(found.rows) == 2 and not found.skipped
    one = found.rows[0]
    assert one.subset == row["subset"] and one.id == str(row["id"]) and one.messages[-1].content == row["prompt"]
    if row is V1:
        assert (one.chosen, one.rejected, one.kind) == (("Use kill.",), ("I can't help.",), "lookalike")
        assert one.preference.chosen == "Use kill." and one.preference.prompt.kind == "lookalike"
    else:
        assert (one.chosen, one.rejected, one.preference) == (("4",), ("5", "3", "22"), None)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "q", "chosen": "a", "rejected": "b", "subset": "x", "p_chosen": 0.7},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        {"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}],
         "rejected": [{"role": "assistant", "content": "b"}], "subset": "x"},
    ],
)  # fmt: skip
def test_other_pairs_are_no_benchmark(tmp_path, row):
    assert not is_benchmark(write(tmp_path / "pairs.jsonl", [row]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rejected": None}, "'rejected' holds nothing, expected a text or a list of texts"),
        ({"chosen": []}, "'chosen' holds an empty list, expected a text or a list of texts"),
        ({"chosen": ["a", 3]}, "'chosen' holds a list with a number in it, expected a text or a list of texts"),
        ({"num_correct": 2}, "num_correct is 2, but the row holds 1"),
        ({"total_completions": 5}, "total_completions is 5, but the row holds 4"),
        ({"prompt": " "}, "is empty"),
        ({"chosen": ["a\0b"]}, "NUL"),
    ],
)
def test_a_row_that_is_wrong_has_its_line(tmp_path, change, problem):
    file = write(tmp_path / "bench.jsonl", [V2, V2 | change])
    with pytest.raises(InputError) as error:
        read_benchmark(file)
    assert str(error.value).startswith(f"{file}:2: ") and problem in str(error.value)


def test_a_missing_column_names_the_nearest(tmp_path):
    row = {key: value for key, value in V2.items() if key != "rejected"} | {"rejectd": ["5"]}
    with pytest.raises(InputError, match=r":2: no column 'rejected' .*; did you mean 'rejectd'\?"):
        read_benchmark(write(tmp_path / "bench.jsonl", [V2, row]))


def test_a_right_answer_that_is_also_wrong_is_left_out_and_counted(tmp_path):
    file = write(tmp_path / "bench.jsonl", [V2, V2 | {"rejected": ["5", "4", "3"]}])
    found = read_benchmark(file)
    assert len(found.rows) == 1 and dict(found.skipped) == {"both answers are the same text": 1}
    assert found.first == {"both answers are the same text": f"{file}:2"}
