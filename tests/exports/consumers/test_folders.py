"""`datasets` loads every folder that `cai export` writes, whatever lies beside the data."""

from __future__ import annotations

import json

import datasets
import pytest

from cai.exports import EXPORTS

pytestmark = pytest.mark.slow
DOCUMENT = "annotated_pairs"


@pytest.mark.parametrize("name", [name for name in EXPORTS if name != DOCUMENT])
def test_a_folder_by_its_path(name, exported, tmp_path):
    facts = json.loads((exported / name / "export.json").read_text())
    loaded = datasets.load_dataset(str(exported / name), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == facts["rows"]
    assert all(rows.column_names == list(facts["columns"]) for rows in loaded.values())


def test_the_comparisons_of_the_document(exported, tmp_path):
    path = exported / DOCUMENT / f"{DOCUMENT}.json"
    facts = json.loads((path.parent / "export.json").read_text())
    loaded = datasets.load_dataset("json", data_files=str(path), field="comparisons", cache_dir=str(tmp_path))
    assert len(loaded["train"]) == sum(facts["rows"].values())
