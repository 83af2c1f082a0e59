"""Files of pairs as `cai train reward` and `cai evaluate reward` take them: every shape of ours, and every side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.cli.pair_files import read_pairs
from cai.errors import InputError
from cai.exports import load_export
from cai.exports.writing import export_dataset
from cai.human_preferences import read_human_preferences
from cai.records import Json, Preference
from tests.tiny import build_tiny_model
from tests.training.planted import preferences

SMALL = ["--set", "lr=3e-3", "--set", "epochs=1", "--set", "batch_size=16", "--set", "max_length=128"]
WHOLE = {"prompt": "What is it?", "chosen": "Paris.", "rejected": "Flour."}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def cai(*arguments: object):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def write(file: Path, rows: list[Json]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def on_the_side(split: str, rows: list[Preference]) -> list[Preference]:
    return [replace(one, prompt=replace(one.prompt, split=split)) for one in rows]


# ------------------------------------------------------------------------------------------- nothing left to train on

ASKED = [{**WHOLE, "prompt": f"What is it? {n}"} for n in range(3)]
SAID = [{**one, "split": "test"} for one in ASKED]
OWN = [one.to_json() for one in on_the_side("test", preferences(3))]


@pytest.mark.parametrize(
    ("rows", "query", "more", "told"),
    [
        (SAID, "", (), "all 3 pairs are held out (split test); the file or its name says so; ?split=train on its name"),
        (ASKED, "?split=test", (), "all 3 pairs are held out (split test); the file or its name says so; ?split=train"),
        (ASKED[:1], "", ("--test-share", 0.999999), "its one pair is held out (split test); --test-share 0 trains on"),
        (OWN, "", (), "all 3 pairs are held out (split test); their prompts say so; name a file that has pairs with"),
    ],
    ids=["rows", "name", "drawn", "run"],
)
def test_pairs_that_are_all_held_out_are_told_before_a_model_is_loaded(tmp_path, rows, query, more, told):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("no model can be loaded from this")
    file = f"{write(tmp_path / 'pairs.jsonl', rows)}{query}"
    out = tmp_path / "rm"
    done = cai("train", "reward", "--preferences", file, "--model", f"hf/{model}", "--out", out, *more)
    assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1, done.output
    assert f"{file}: nothing to train on: {told}" in done.stderr
    assert not done.stdout and not out.exists()


def test_what_is_told_of_held_out_pairs_has_them_trained_on(tmp_path):
    drawn, said = write(tmp_path / "drawn.jsonl", ASKED), write(tmp_path / "said.jsonl", SAID)
    for file, share in ((str(drawn), 0.0), (f"{said}?split=train", 0.2)):
        assert [one.prompt.split for one in read_pairs(file, share)] == ["train"] * 3
    assert {one.prompt.split for one in read_pairs(str(said), 0.0)} == {"test"}


# ---------------------------------------------------------------------------------------- our own rows in every shape


def flat(one: Preference) -> Json:
    return {"prompt": one.prompt.messages[0].content, **{k: v for k, v in one.to_json().items() if k != "prompt"}}


@pytest.mark.parametrize("more", [("source", "weight"), ()], ids=["whole", "labels alone"])
def test_soft_labels_beside_a_plain_prompt_are_read_alike_from_every_file(tmp_path, more):
    rows = [flat(one) for one in preferences(12, p=0.7)]
    rows = [{key: value for key, value in one.items() if key in ("prompt", "response_a", "response_b", "p_a", *more)}
            for one in rows]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    file = str(write(tmp_path / "pairs.jsonl", rows))
    found = read_pairs(file, 0.2)
    labels = [(row["prompt"], row["response_a"], row["response_b"], row["p_a"]) for row in rows]
    assert [(one.prompt.messages[0].content, one.response_a, one.response_b, one.p_a) for one in found] == labels
    assert {one.source for one in found} == {"ai" if more else "human"}
    assert found == read_human_preferences(file).preferences
    assert read_pairs(str(tmp_path / "pairs.parquet"), 0.2) == found


def test_native_exports_are_trained_on_and_measured(base, tmp_path):
    rows = preferences(40, p=0.8)
    made = [*rows[:28], *on_the_side("test", rows[28:])]
    export_dataset(load_export("native"), made, tmp_path, ["jsonl"])
    found = [*read_pairs(str(tmp_path / "train.jsonl"), 0.2), *read_pairs(str(tmp_path / "test.jsonl"), 0.2)]
    assert [replace(one, prompt=replace(one.prompt, kind="red_team", source="")) for one in found] == made
    command = ("train", "reward", "--preferences", tmp_path / "train.jsonl", "--model", f"hf/{base}", "--json")
    done = cai(*command, "--out", tmp_path / "rm", *SMALL)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["training"]["rows_used"] == 28 and result["held_out"] is None
    done = cai("evaluate", "reward", "--model", tmp_path / "rm", "--preferences", tmp_path / "test.jsonl", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["held_out"]["pairs"] == 12


def test_a_soft_label_that_is_misspelt_is_named(tmp_path):
    [row] = [flat(one) for one in preferences(1)]
    bad = {("p_b" if key == "p_a" else key): value for key, value in row.items()}
    with pytest.raises(InputError, match=r"pairs\.jsonl:2: no column 'p_a' \(columns: .*did you mean 'p_b'\?"):
        read_pairs(str(write(tmp_path / "pairs.jsonl", [row, bad])), 0.2)


def test_a_plain_prompt_among_records_of_a_run_has_its_line(tmp_path):
    record, plain = preferences(2)
    file = write(tmp_path / "pairs.jsonl", [record.to_json(), flat(plain)])
    told = r"pairs\.jsonl:2: not a preference of a run: its prompt is no record, as that of the first line is"
    with pytest.raises(InputError, match=told):
        read_pairs(str(file), 0.2)


# ------------------------------------------------------------------------------------------ what a run's records say


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompt": {"split": "holdout"}}, "split 'holdout' (allowed: train, training, test, validation, "),
        ({"prompt": {"split": "tset"}}, "split 'tset'; did you mean 'test'? (allowed: train, "),
        ({"prompt": {"split": None}}, "split None (allowed: train, "),
        ({"prompt": {"kind": "harmful"}}, "kind 'harmful'; did you mean 'red_team'? (allowed: red_team, helpful, "),
        ({"prompt": {"kind": "lookalik"}}, "kind 'lookalik'; did you mean 'lookalike'? (allowed: red_team, helpful, "),
        ({"source": "humans"}, "source 'humans'; did you mean 'human'? (allowed: ai, human)"),
        ({"source": ["ai"]}, "source ['ai'] (allowed: ai, human)"),
    ],
)
def test_a_side_kind_or_source_that_is_not_known_is_refused_at_its_line(base, tmp_path, change, told):
    good, bad = (one.to_json() for one in preferences(2))
    bad |= {**change, "prompt": bad["prompt"] | change.get("prompt", {})}
    file = write(tmp_path / "preferences.jsonl", [good, bad])
    done = cai("train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm")
    assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1, done.output
    assert f"{file}:2: {told}" in done.stderr and "?" + "split" not in done.stderr


def test_pairs_of_a_validation_split_are_held_out_and_measured(base, tmp_path):
    rows = preferences(30)
    made = [*rows[:22], *on_the_side("validation", rows[22:])]
    file = write(tmp_path / "preferences.jsonl", [one.to_json() for one in made])
    done = cai("train", "reward", "--preferences", file, "--model", f"hf/{base}", "--out", tmp_path / "rm", "--json",
               *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["training"]["rows_given"], result["held_out"]["pairs"]) == (22, 8)
