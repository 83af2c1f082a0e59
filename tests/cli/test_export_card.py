"""`cai export`: the card beside the formats, prompts that are left out, and the push that is only shown."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from click.testing import CliRunner, Result
from huggingface_hub import DatasetCard

from cai.cli import main
from cai.records import Preference, Prompt, user
from cai.storage.run import read_rows
from tests.exports.sample_run import rewrite, write_sample_run


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)], catch_exceptions=False)


def told(*arguments: object) -> dict:
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def load(folder: Path, name: str, cache: Path) -> dict[str, list]:
    return {
        split: rows.to_list() for split, rows in datasets.load_dataset(str(folder), name, cache_dir=str(cache)).items()
    }


@pytest.mark.parametrize(
    "formats",
    [
        ["preference", "llamafactory_sharegpt", "llamafactory_kto", "verl_rl"],
        pytest.param(["all"], marks=pytest.mark.slow),
    ],
)
def test_every_configuration_loads_with_the_rows_of_the_card(tmp_path: Path, formats: list[str]) -> None:
    run, out = write_sample_run(tmp_path / "run", "single", rubric=True), tmp_path / "out"
    asked = [word for name in formats for word in ("--format", name)]
    done = told(run, *asked, "--labels", "duplicate", "--copies", 3, "--margin", "--out", out)
    card = DatasetCard.load(out / "README.md")
    configured = {one["config_name"] for one in card.data.to_dict()["configs"]}
    by_path = {name for name in done["formats"] if f"- `{name}/" in card.text}
    assert configured | by_path == set(done["formats"])
    others = {"llamafactory_sharegpt", "llamafactory_kto", "llamafactory_sft", "annotated_pairs"}
    assert by_path == (others if formats == ["all"] else {"verl_rl"})
    for info in card.data.to_dict()["dataset_info"]:
        name = info["config_name"]
        loaded = load(out, name, tmp_path / "cache")
        assert {split: len(rows) for split, rows in loaded.items()} == done["formats"][name]["rows"]
        assert {one["name"]: one["num_examples"] for one in info["splits"]} == done["formats"][name]["rows"]
        if (out / name / "train.jsonl").exists():
            assert loaded["train"] == [*read_rows(out / name / "train.jsonl")]
    assert "labels duplicate, 3 rows a pair, seed 0; with a margin" in card.text
    assert (
        f"cai export run --format {formats[0]}" in card.text
        and str(tmp_path) not in card.text
        and "come from absolute rubrics" in card.text
    )


def test_exports_add_up_to_one_card_and_those_of_another_run_are_named(tmp_path: Path) -> None:
    run, out = write_sample_run(tmp_path / "run"), tmp_path / "out"
    told(run, "--format", "preference", "--labels", "threshold", "--out", out)
    told(run, "--format", "prompts", "--out", out)
    text = (out / "README.md").read_text(encoding="utf-8")
    assert (
        "| `preference` |" in text
        and "| `prompts` |" in text
        and "labels threshold, |p − ½| ≥ 0.1" in text.replace("\\", "")
    )
    other = write_sample_run(tmp_path / "other", "single")
    told(other, "--format", "sft", "--out", out)
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "| `sft` | TRL" in text and "| `prompts` | TRL" not in text
    assert "of another run or of another state of this one:\npreference, prompts." in text


def test_somebody_elses_readme_is_not_touched(tmp_path: Path) -> None:
    run, out = write_sample_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    for name in ("README.md", "constitution.yaml"):
        (out / name).write_text("mine", encoding="utf-8")
        done = invoke(run, "--format", "prompts", "--out", out)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1) and name in done.stderr
        assert (out / name).read_text() == "mine" and [one.name for one in out.iterdir()] == [name]
        (out / name).unlink()


def planted(folder: Path, split: str, *texts: str) -> list[Prompt]:
    return [Prompt.make((user(text),), "red_team", "s", split) for text in texts]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of few prompts: two that are near in test, one of train near to test, one near in train, one unlike all."""
    folder = write_sample_run(tmp_path / "run")
    text = "how would one plan a quiet garden with roses and a small pond behind the old house"
    prompts = [
        *planted(folder, "train", f"{text}, please", "what is the best way to sharpen old kitchen knives at home"),
        *planted(folder, "test", text, f"{text}!", "why is the sky blue"),
        *planted(folder, "train", "What is the best way to sharpen old kitchen knives at home?", "an unlike thing"),
    ]
    rewrite(folder, "prompts", "".join(json.dumps(one.to_json()) + "\n" for one in prompts))
    pairs = [Preference(one, "a", "b", 0.9) for one in prompts]
    pairs.append(
        Preference(Prompt.make((user("an unlike thing?"),), "helpful", "s", "train"), "a", "b", 1.0, 1.0, "human")
    )
    rewrite(folder, "preferences", "".join(json.dumps(one.to_json()) + "\n" for one in pairs))
    return folder


def test_near_duplicates_and_contaminated_prompts_are_counted_and_gone(run: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench.txt"
    bench.write_text("Why is the sky blue?\n", encoding="utf-8")
    done = told(
        run, "--format", "prompts", "--format", "preference", "--near-duplicates", 0.8, "--decontaminate", bench
    )
    gone = {"near_duplicate": 2, "near_duplicate_of_test": 1, "contaminated": 1}
    assert done["formats"]["prompts"]["left_out"] == gone
    assert done["formats"]["preference"]["left_out"] == {**gone, "near_duplicate": 3}
    assert done["formats"]["prompts"]["rows"] == {"train": 2, "test": 1}
    assert done["formats"]["prompts"]["filters"] == [
        {"filter": "overlap with bench.txt", "prompts": {"contaminated": 1}},
        {"filter": "near-duplicates at 0.8", "prompts": {"near_duplicate": 3, "near_duplicate_of_test": 1}},
    ]
    rows = [row["prompt"][0]["content"] for row in read_rows(Path(done["out"]) / "prompts" / "train.jsonl")]
    assert rows == ["what is the best way to sharpen old kitchen knives at home", "an unlike thing"]
    card = (Path(done["out"]) / "README.md").read_text(encoding="utf-8")
    assert "--near-duplicates 0.8 --decontaminate bench.txt" in card
    assert done["formats"]["prompts"]["command"].startswith("cai export run --format prompts ")
    assert str(tmp_path) not in (Path(done["out"]) / "prompts" / "export.json").read_text(encoding="utf-8")
    assert "overlap with bench.txt: 1 contaminated" in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--near-duplicates", "1.5"], "near-duplicates is 1.5"),
        (["--decontaminate", "none.txt"], "none.txt: no such file"),
        (["--push-to-hub", "a/b/c"], "a/b/c"),
        (["--yes-push"], "--push-to-hub"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(run: Path, arguments: list[str], message: str) -> None:
    done = invoke(run, "--format", "prompts", *arguments)
    assert done.exit_code == 2 and message in done.stderr.splitlines()[-1]
    assert not (run / "exports").exists()


def test_a_push_is_only_shown(run: Path) -> None:
    done = invoke(run, "--format", "prompts", "--push-to-hub", "me/data")
    assert "to datasets/me/data, private, if it is new; --yes-push sends them" in done.stdout
    shown = {line.split()[-1] for line in done.stdout.splitlines()}
    written = {path.relative_to(run / "exports").as_posix() for path in (run / "exports").rglob("*") if path.is_file()}
    assert {"README.md", "constitution.yaml", "prompts/train.parquet"} <= written <= shown
    assert told(run, "--format", "prompts", "--push-to-hub", "me/data", "--public")["upload"]["private"] is False
    assert "there before" not in done.stdout
    again = invoke(run, "--format", "sft", "--push-to-hub", "me/data").stdout
    assert "(also of formats that were there before, as they were made then: prompts)" in again
