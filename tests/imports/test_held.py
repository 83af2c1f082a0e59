"""What an import reads waits on the disk: its memory does not grow with the file, and a full disk is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cai.errors import InputError
from cai.imports import find_sources, import_data, read_preferences, read_prompt_rows
from tests.prompts.writing import write_rows


def write_pairs(folder: Path, count: int, **more: object) -> str:
    rows = ({"prompt": f"{n} {'x' * 400}", "chosen": "y" * 400, "rejected": "z" * 400, **more} for n in range(count))
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(folder / "pairs.jsonl")


def write_judged(folder: Path, count: int, prompts: int) -> str:
    rows = ({"prompt": f"{n % prompts} {'x' * 400}", "completion": f"{n} {'y' * 400}", "label": n < count / 2}
            for n in range(count))  # fmt: skip
    (folder / "judged.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(folder / "judged.jsonl")


@pytest.mark.parametrize("wanted", ["preferences", "prompts"])
def test_little_of_a_file_is_in_memory_at_once(wanted, tmp_path):
    import_data(find_sources(write_pairs(tmp_path, 100)), tmp_path / "out", wanted=wanted)
    file = write_pairs(tmp_path, 4000)
    tracemalloc.start()
    _, report = import_data(find_sources(file), tmp_path / "out", wanted=wanted, force=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.kept == 4000
    assert peak < 0.1 * Path(file).stat().st_size


@pytest.mark.parametrize("prompts", [1, 2000])
def test_little_of_answers_that_were_judged_one_by_one_is_in_memory_at_once(prompts, tmp_path):
    import_data(find_sources(write_judged(tmp_path, 100, 50)), tmp_path / "out")
    file = write_judged(tmp_path, 4000, prompts)
    tracemalloc.start()
    _, report = import_data(find_sources(file), tmp_path / "out", force=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.kept == (16_000 if prompts == 1 else 2000)
    assert peak < 0.15 * Path(file).stat().st_size


def test_pairs_of_judged_answers_come_in_the_order_of_their_prompts_from_any_files(tmp_path):
    rows = [("q", "a", True), ("r", "c", False), ("q", "b", False), ("q", "d", True), ("r", "e", True)]
    written = [{"prompt": asked, "completion": said, "label": good} for asked, said, good in rows]
    write_rows(tmp_path, *written[:2], name="train.jsonl")
    write_rows(tmp_path, *written[2:], name="test.jsonl")
    read, _ = read_preferences(find_sources(str(tmp_path)))
    assert [(one.chosen, one.rejected) for one in read] == [("a", "b"), ("d", "b"), ("e", "c")]
    assert [one.prompt.split for one in read] == ["test"] * 3


def test_a_lonely_answer_is_told_with_every_cell_of_its_row(tmp_path):
    cells = {"prompt": "q", "completion": "a", "label": True, "day": date(2020, 1, 2), "raw": b"\xff", "odd": "\x00"}
    pq.write_table(pa.Table.from_pylist([cells]), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="no answer that was called bad to the same prompt"):
        import_data(find_sources(str(tmp_path / "p.parquet")), tmp_path / "out")
    [told] = (tmp_path / "out" / "preferences.rejected.jsonl").read_text().splitlines()
    assert json.loads(told)["row"] == cells | {"day": "2020-01-02", "raw": str(b"\xff")}


def test_a_cell_that_is_no_text_or_number_is_still_none_where_answers_are_joined(tmp_path):
    rows = [{"prompt": "q", "completion": said, "label": good, "weight": Decimal("1.50")}
            for said, good in (("a", True), ("b", False))]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    _, report = read_preferences(find_sources(str(tmp_path / "p.parquet")))
    assert dict(report.rejected) == {"'weight' is not a finite number from 0 up": 1}


def test_a_share_of_opening_turns_is_held_out(tmp_path):
    file = write_pairs(tmp_path, 400)
    for read in (read_preferences, read_prompt_rows):
        counts = [read(find_sources(file), test_share=share)[1].splits["test"] for share in (0.0, 0.25, 0.9)]
        assert counts[0] == 0 and 70 < counts[1] < 130 and 330 < counts[2] < 390
    read, _ = read_preferences(find_sources(file), test_share=0.25)
    assert {one.prompt.messages: one.prompt.split for one in read} == {
        one.messages: one.split for one in read_prompt_rows(find_sources(file), test_share=0.25)[0]
    }


def test_dialogues_with_the_opening_turn_of_a_test_row_are_moved_to_test(tmp_path):
    opening = "Which of these two would you rather have?"
    later = [
        {"role": "user", "content": opening},
        {"role": "assistant", "content": "Why?"},
        {"role": "user", "content": "Say."},
    ]
    rows = [{"prompt": later}, {"prompt": opening, "split": "test"}, {"prompt": later[-1:]}]
    for read, more in ((read_prompt_rows, {}), (read_preferences, {"chosen": "a", "rejected": "b"})):
        file = write_rows(tmp_path, *(row | more for row in rows))
        read, report = read(find_sources(file), test_share=0.0)
        splits = [getattr(one, "prompt", one).split for one in read]
        assert (splits, report.moved) == (["test", "test", "train"], 1)


def test_what_is_read_is_the_same_when_it_lies_on_the_disk(tmp_path, monkeypatch):
    file = write_pairs(tmp_path, 500)
    judged = write_judged(tmp_path, 500, 250)
    held = [read_preferences(find_sources(one))[0] for one in (file, judged)] + [
        read_prompt_rows(find_sources(file))[0]
    ]
    monkeypatch.setattr("cai.imports.scratch.CACHE", 8)
    again = [read_preferences(find_sources(one))[0] for one in (file, judged)]
    assert held == [*again, read_prompt_rows(find_sources(file))[0]]
    assert [len(one) for one in held] == [500, 250, 500]


def test_a_full_temporary_folder_is_one_clear_line_and_leaves_nothing(tmp_path):
    file = write_pairs(tmp_path, 2000)
    code = f"""
import resource, signal
from pathlib import Path
from cai.errors import RunError
from cai.imports import find_sources, import_data, scratch
scratch.CACHE = 8
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    import_data(find_sources({file!r}), Path({str(tmp_path / "out")!r}))
except RunError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("the temporary folder cannot hold what is read: ")
    assert done.stdout.endswith("; free some space there, or name another with SQLITE_TMPDIR\n")
    assert not (tmp_path / "out").exists()
