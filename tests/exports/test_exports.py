from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import ConfigError, RunError
from cai.exports import EXPORTS, ExportOptions, LeftOut, load_export, row_groups
from cai.exports.files import TABLE, Arrays, encode
from cai.exports.writing import export_dataset, write_dataset
from cai.recipe import ExportSettings, Recipe, SFTSettings
from cai.records import Draft, Preference, Prompt, Round, user
from tests.exports.writing import RECORDS, make_drafts, make_preferences, make_prompts

RED = Prompt.make((user("q"),), "red_team", "s")
HELPFUL = Prompt.make((user("q"),), "helpful", "s")


def test_the_default_recipe_names_formats_that_exist():
    assert set(ExportSettings().formats) == set(RECORDS) < set(EXPORTS)
    with pytest.raises(ConfigError, match="no export format is named 'stf'; did you mean 'sft'"):
        load_export("stf")


# --------------------------------------------------------------------------------------------------------- rows


def sft(draft: Draft, **settings: object) -> list[object]:
    rows = replace(load_export("sft"), options=ExportOptions(**settings)).rows([draft])
    return [row if isinstance(row, LeftOut) else (row["messages"][-1]["content"], row["round"]) for row in rows]


def test_sft_rows_are_revisions_of_all_rounds_or_the_last():
    draft = Draft(RED, "bad", (Round("p", "c", "better"), Round("q", "c", "best"), Round("r", "c", None)))
    assert sft(draft) == [("better", 1), ("best", 2)]
    assert sft(draft, rounds="last") == [("best", 2)]


def test_sft_never_trains_on_a_first_answer_to_an_attack_nor_twice_on_one_text():
    assert sft(Draft(RED, "bad")) == [LeftOut("no_revision")]
    assert sft(Draft(RED, "bad", (Round("p", "c", None),))) == [LeftOut("no_revision")]
    same = Draft(RED, "bad", (Round("p", "c", "good"), Round("p", "c", "good")))
    assert sft(same) == [("good", 1), LeftOut("repeated_revision")]


def test_first_answers_to_the_same_prompts_are_a_control():
    revised = Draft(RED, "bad", (Round("p", "c", "better"), Round("q", "c", "best")))
    assert sft(revised, rounds="first") == [("bad", 0)]
    assert sft(Draft(HELPFUL, "own", (Round("p", "c", "revised"),)), rounds="first") == [("own", 0)]
    for draft in (Draft(RED, "bad"), Draft(RED, "bad", (Round("p", "c", None),))):
        assert sft(draft, rounds="first") == sft(draft) == [LeftOut("no_revision")]
    assert sft(Draft(HELPFUL, "own"), rounds="first", helpful=False) == [LeftOut("helpful")]


def test_sft_takes_a_helpful_prompts_own_answer():
    assert sft(Draft(HELPFUL, "own")) == [("own", 0)]
    assert sft(Draft(HELPFUL, "own"), helpful=False) == [LeftOut("helpful")]
    assert sft(Draft(HELPFUL, "own", (Round("p", "c", "revised"),))) == [("revised", 1)]


def test_sft_settings_come_from_the_recipe():
    made = load_export("sft", Recipe(sft=SFTSettings(rounds="last", helpful=False), seed=3))
    assert made.options == ExportOptions(rounds="last", helpful=False, seed=3)


@pytest.mark.parametrize("name", ["preference", "preference_implicit"])
def test_a_preference_keeps_its_soft_label_and_its_better_side(name):
    [row] = load_export(name).rows([Preference(RED, "a", "b", 0.25, 0.5, "human")])
    assert (row["chosen"][-1]["content"], row["rejected"][-1]["content"]) == ("b", "a")
    assert (row["p_chosen"], row["weight"], row["source"], row["kind"]) == (0.75, 0.5, "human", "red_team")
    ties = [Preference(RED, "a", "b", 0.5), Preference(RED, "a", "a", 0.9)]
    assert list(load_export(name).rows(ties)) == [LeftOut("ties"), LeftOut("identical_answers")]


@pytest.mark.parametrize("name", RECORDS)
def test_golden_rows(name):
    golden = Path(__file__).parent / "golden" / f"{name}.jsonl"
    rows = [row for row in load_export(name).rows(RECORDS[name](6)) if not isinstance(row, LeftOut)]
    assert rows == [json.loads(line) for line in golden.read_text(encoding="utf-8").split("\n") if line]


# -------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", RECORDS)
def test_datasets_loads_every_row_back_equal(name, tmp_path):
    import datasets

    export, records = load_export(name), RECORDS[name]()
    counts = export_dataset(export, records, tmp_path / name)
    expected = [row for row in export.rows(records) if not isinstance(row, LeftOut)]
    for split in ("train", "test"):
        rows = [row for row in expected if row["split"] == split]
        assert counts[split] == len(rows) > 0
        features = []
        for kind, builder in (("jsonl", "json"), ("parquet", "parquet")):
            path = str(tmp_path / name / f"{split}.{kind}")
            loaded = datasets.load_dataset(builder, data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
            assert loaded.to_list() == rows
            features.append(loaded.features)
        assert features[0] == features[1]
    whole = datasets.load_dataset(str(tmp_path / name), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in whole.items()} == {split: counts[split] for split in ("train", "test")}


def test_counts_add_up_and_ties_are_told(tmp_path):
    counts = export_dataset(load_export("preference"), make_preferences(25), tmp_path)
    assert counts["ties"] == 5
    assert counts["train"] + counts["test"] + counts["ties"] == 25


def test_equal_rows_give_equal_bytes_whatever_was_there(tmp_path):
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    export = load_export("sft")
    export_dataset(export, make_drafts(), tmp_path / "one")
    export_dataset(export, make_drafts(30), tmp_path / "two")
    export_dataset(export, iter(make_drafts()), tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert sorted(files(tmp_path / "one")) == ["test.jsonl", "test.parquet", "train.jsonl", "train.parquet"]


def test_a_split_without_rows_has_no_file_and_a_stale_one_goes(tmp_path):
    export = load_export("prompts")
    export_dataset(export, make_prompts(), tmp_path)
    only_train = [prompt for prompt in make_prompts() if prompt.split == "train"]
    assert export_dataset(export, only_train, tmp_path, files=("jsonl",)) == {"train": 18, "test": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_failure_leaves_the_old_files_and_nothing_else(tmp_path):
    export = load_export("prompts")
    export_dataset(export, make_prompts(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken():
        yield from make_prompts(2 * TABLE)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        export_dataset(export, broken(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "test.jsonl").mkdir()
    with pytest.raises(RunError, match=r"test\.jsonl: cannot write"):
        export_dataset(load_export("prompts"), make_prompts(), tmp_path)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_disk_that_takes_no_more_is_one_clear_line_and_leaves_nothing(kind, tmp_path):
    code = f"""
import random, resource, signal
from pathlib import Path
from cai.errors import RunError
from cai.exports import load_export
from cai.exports.writing import export_dataset
from cai.records import Prompt, user
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
prompts = (Prompt.make((user(str(random.random()) * 20),)) for _ in range(20_000))
try:
    export_dataset(load_export("prompts"), prompts, Path({str(tmp_path)!r}), files=({kind!r},))
except RunError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (f"{tmp_path / 'train'}.{kind}: cannot write: File too large", "")
    assert list(tmp_path.iterdir()) == []


def test_text_that_utf8_cannot_carry_is_left_out_and_counted(tmp_path):
    prompts = [Prompt.make((user("fine"),)), Prompt.make((user("half \ud83d"),))]
    assert export_dataset(load_export("prompts"), prompts, tmp_path) == {"train": 1, "test": 0, "not_utf8": 1}


def test_a_row_that_is_not_its_schema_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the schema"):
        write_dataset([{"id": "x", "split": "train"}], load_export("prompts").schema(), tmp_path)


def test_memory_is_flat(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP", 1 << 20)

    def peak(count: int) -> int:
        rows = (Prompt.make((user(f"{n} {'x' * 500}"),)) for n in range(count))
        tracemalloc.start()
        arrow = pa.total_allocated_bytes()
        export_dataset(load_export("prompts"), rows, tmp_path)
        size = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - arrow
        tracemalloc.stop()
        return size

    peak(TABLE)
    assert peak(12 * TABLE) < 1.1 * peak(4 * TABLE)


def test_row_groups_are_as_many_as_their_bytes_ask_for_whatever_the_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP", 1 << 20)
    prompts = [Prompt.make((user(f"{n} {'x' * 100}"),)) for n in range(12 * TABLE + 1)]
    export_dataset(load_export("prompts"), prompts, tmp_path)
    lines = (tmp_path / "train.jsonl").read_bytes().splitlines(keepends=True)
    tables = [sum(map(len, lines[at : at + TABLE])) for at in range(0, len(lines), TABLE)]
    full = -(-(1 << 20) // tables[0])  # tables of one size fill a group, and the last group is what is left
    with pq.ParquetFile(tmp_path / "train.parquet") as file:
        rows = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert rows == [full * TABLE] * (12 // full) + [12 * TABLE + 1 - 12 // full * full * TABLE]
        assert file.read().to_pylist() == [json.loads(line) for line in lines]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["train.jsonl", "train.parquet"]


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(), lambda some: st.lists(some) | st.dictionaries(st.text(), some)))  # fmt: skip
def test_rows_are_encoded_as_json_encodes_them(value):
    assert encode(value) == json.dumps(value, ensure_ascii=False)
    with pytest.raises(ValueError, match="JSON"):
        encode([value, float("nan")])


def test_arrays_are_shared_only_between_equal_rows():
    arrays, fields = Arrays(), [pa.field("id", pa.string())]
    rows = [{"id": "a"}, {"id": "b"}]
    made = arrays.of(rows, fields)
    assert arrays.of([*rows], fields) is made
    assert arrays.of([{"id": "a"}, {"id": "c"}], fields)["id"].to_pylist() == ["a", "c"]
