"""`cai export` on runs: rows against the source, refusals, mixes, and a folder that is not ours."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cai.audit import too_little, unheld
from cai.cli import main
from cai.errors import ConfigError, InputError, RunError
from cai.exports import EXPORTS, ExportOptions, load_export
from cai.imports import find_sources, import_data
from cai.pipeline.export_facts import export_facts, public_name
from cai.pipeline.export_mix import Mix
from cai.pipeline.export_run import ExportRequest, export_run
from cai.records import Prompt, user
from cai.storage.run import Run, file_sha256, read_rows
from tests.exports.sample_run import CONSTITUTION, rewrite, sample_preferences, sample_prompts, write_sample_run
from tests.pipeline.runs import fake_run, write_prompts

SINGLE = ("nemo_rl_binary", "axolotl_kto", "axolotl_reward", "ultrafeedback", "annotated_pairs")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().decode().split("\n") if line]


def stage(run: Path, name: str) -> list[dict[str, object]]:
    return lines(run / f"{name}.jsonl")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fake_run(folder / "run", write_prompts(folder), rubric__principles_per_answer=1)
    return folder / "run"


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return write_sample_run(tmp_path_factory.mktemp("sample") / "run")


def test_all_formats_of_a_run_have_the_rows_of_their_source(run, tmp_path):
    told = export_run(run, ExportRequest(("all",), out=tmp_path))
    assert told["refused"] == {}
    assert list(told["formats"]) == list(EXPORTS)
    pairs = [one for one in stage(run, "preferences") if one["p_a"] != 0.5]
    graded = stage(run, "rubric")
    expected = {
        "prompts": len(stage(run, "prompts")), "pairs": len(pairs), "answers": len(graded),
        "comparisons": len(stage(run, "preferences")),
    }  # fmt: skip
    for name, facts in told["formats"].items():
        source, left = load_export(name).source, facts["left_out"]
        if source in expected:
            counted = sum(n for why, n in left.items() if why in ("abstained", "ties") and source == "answers")
            assert sum(facts["rows"].values()) + counted == expected[source], name
        assert facts == json.loads((tmp_path / name / "export.json").read_text())
        assert facts["files"]
        for file, known in facts["files"].items():
            assert file_sha256(tmp_path / name / file) == known["sha256"]
    assert told["formats"]["unpaired_preference"]["label_from"] == {"rubric": sum(
        told["formats"]["unpaired_preference"]["rows"].values()
    )}  # fmt: skip


def test_a_run_and_its_manifest_stay_as_they_were(run):
    before = {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()}
    export_run(run, ExportRequest(("preference", "sft")))
    assert {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()} == before
    assert CliRunner().invoke(main, ["status", str(run)]).output.count("stale") == 0
    for name in ("preference", "sft"):
        for split in ("train", "test"):
            assert (run / "exports" / name / f"{split}.jsonl").read_bytes() == (
                run / "datasets" / name / f"{split}.jsonl"
            ).read_bytes()


def test_native_rows_have_every_vote_and_where_they_come_from(run, tmp_path):
    export_run(run, ExportRequest(("native",), out=tmp_path))
    rows = [row for split in ("train", "test") for row in lines(tmp_path / "native" / f"{split}.jsonl")]
    votes = {(one["response_a"], one["response_b"]): one["votes"] for one in stage(run, "label")}
    for row in rows:
        raw = votes[row["response_a"], row["response_b"]]
        found = [
            {key: vote[key] for key in ("principle_id", "order", "logprob_a", "logprob_b")} for vote in row["votes"]
        ]
        assert found == [{key: vote[key] for key in found[0]} for vote in raw]
        assert row["provenance"]["constitution_sha256"] == file_sha256(run / "constitution.yaml")
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in lines_of_ids(run))


def lines_of_ids(run: Path) -> list[dict[str, str]]:
    from cai.records import Preference

    return [{"id": Preference.from_json(row).id} for row in stage(run, "preferences")]


def test_every_format_has_the_same_splits_and_no_prompt_on_both_sides(run, tmp_path):
    export_run(run, ExportRequest(("all",), out=tmp_path))
    sides: dict[str, set[str]] = {}
    for name in EXPORTS:
        for path in (tmp_path / name).glob("*.jsonl"):
            for row in lines(path):
                assert row["split"] == path.stem
                sides.setdefault(str(row["id"]), set()).add(path.stem)
    assert len(sides) > 40
    assert all(len(one) == 1 for one in sides.values())


def test_equal_runs_give_equal_bytes(run, tmp_path):
    for folder in ("one", "two"):
        export_run(run, ExportRequest(("all",), out=tmp_path / folder, options=ExportOptions(labels="bernoulli")))
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes().replace(b" --out two", b" --out one")
         for path in sorted((tmp_path / name).rglob("*.*")) if path.is_file()}
        for name in ("one", "two")
    )  # fmt: skip
    assert one == two


# ------------------------------------------------------------------------------------------------------- refusals


def test_a_format_that_cannot_carry_the_dialogues_is_refused_with_the_count(sample, tmp_path):
    with pytest.raises(ConfigError, match=r"axolotl_kto: of 22 rows 8 have several turns, .*writes the 12 that it can"):
        export_run(sample, ExportRequest(("axolotl_kto", "preference"), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_asked_it_keeps_what_it_can_and_counts_the_rest(sample, tmp_path):
    told = export_run(sample, ExportRequest(SINGLE, out=tmp_path, single_turn_only=True))
    for name in SINGLE:
        facts = told["formats"][name]
        carries, source = load_export(name).carries, load_export(name).source
        preferences = [one for one in sample_preferences(sample_prompts()) if source == "comparisons" or one.p_a != 0.5]
        kept = sum(carries.why_not(one.prompt) is None for one in preferences)
        assert sum(facts["rows"].values()) == kept * (2 if source == "answers" else 1)
        assert facts["left_out"]["several_turns"] > 0
        assert facts["single_turn_only"] is True


def test_all_writes_what_it_can_and_names_the_others(sample, tmp_path):
    told = export_run(sample, ExportRequest(("all",), out=tmp_path))
    assert set(told["refused"]) == {*SINGLE, "hh"}
    assert set(told["formats"]) == set(EXPORTS) - set(told["refused"])
    assert {path.name for path in tmp_path.iterdir()} == {*told["formats"], "README.md", "constitution.yaml"}


def test_labels_without_grades_say_where_they_come_from(sample, tmp_path):
    facts = export_run(sample, ExportRequest(("llamafactory_kto",), out=tmp_path))["formats"]["llamafactory_kto"]
    assert facts["label_from"] == {"pair": 20}
    assert "do not come from absolute rubrics" in facts["notes"][0]


def test_grades_are_used_where_they_are_and_human_pairs_keep_theirs(tmp_path):
    graded = write_sample_run(tmp_path / "run", rubric=True)
    facts = export_run(graded, ExportRequest(("unpaired_preference",)))["formats"]["unpaired_preference"]
    assert facts["label_from"] == {"pair": 2, "rubric": 20}
    assert facts["left_out"] == {"ties": 2}
    assert facts["notes"][0].startswith("2 of the 22 labels do not come from absolute rubrics")


def test_grades_that_all_abstain_are_as_none(tmp_path):
    graded = write_sample_run(tmp_path / "run", rubric=True)
    path = graded / "rubric.jsonl"
    rewrite(graded, "rubric", path.read_text(encoding="utf-8").replace('"mass": 1.0', '"mass": 0.0'))
    facts = export_run(graded, ExportRequest(("unpaired_preference",)))["formats"]["unpaired_preference"]
    assert facts["label_from"] == {"pair": 20}


def test_a_file_that_is_not_what_its_step_wrote_is_not_exported(tmp_path):
    fake_run(tmp_path / "run", write_prompts(tmp_path))
    path = tmp_path / "run" / "preferences.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    with pytest.raises(RunError, match=r"preferences\.jsonl: not the file that step 'preferences' wrote"):
        export_run(tmp_path / "run", ExportRequest(("preference",), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    path.write_bytes(whole)
    export_run(tmp_path / "run", ExportRequest(("preference",), out=tmp_path / "out"))


def test_a_row_of_something_else_is_one_line(sample, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(sample, run)
    whole = (run / "preferences.jsonl").read_text(encoding="utf-8")
    rewrite(run, "preferences", whole + '{"a": 1}\n')
    written = whole.count("\n") + 1
    with pytest.raises(InputError, match=rf"preferences\.jsonl:{written}.*a row without 'prompt'"):
        export_run(run, ExportRequest(("preference",), out=tmp_path / "out"))


def test_a_step_that_was_not_done_is_named(tmp_path):
    fake_run(tmp_path / "run", write_prompts(tmp_path, 4, 2), until="revise")
    with pytest.raises(RunError, match="preference is made from the step 'preferences', which the run has not done"):
        export_run(tmp_path / "run", ExportRequest(("preference",)))
    told = export_run(tmp_path / "run", ExportRequest(("all",)))
    assert told["refused"]["hh"] == "the run has not done the step 'preferences'"
    assert sum(told["formats"]["openrlhf_sft"]["rows"].values()) > 0


def exported(run: Path, *formats: str) -> dict[str, bytes]:
    """The data of `exports/` by name, and what `export.json` says of where labels come from."""
    told = export_run(run, ExportRequest(formats))
    names = [f"{name}/{file}" for name, facts in told["formats"].items() for file in facts["files"]]
    return {name: (run / "exports" / name).read_bytes() for name in names}


def test_rounds_and_grades_that_the_recipe_has_no_more_are_not_exported(tmp_path):
    prompts, names = write_prompts(tmp_path, 8, 4), ("sft", "unpaired_preference")
    once = {"critique.rounds": 1}
    fake_run(tmp_path / "run", prompts, **{"critique.rounds": 2, "rubric.principles_per_answer": 1})
    before = exported(tmp_path / "run", *names)
    fake_run(tmp_path / "run", prompts, **once)
    assert {"revise-2", "rubric"} <= set(Run.existing(tmp_path / "run").steps)
    fake_run(tmp_path / "fresh", prompts, **once)
    again = exported(tmp_path / "run", *names)
    assert again == exported(tmp_path / "fresh", *names)
    assert all(again[name] != content for name, content in before.items() if name.endswith(".jsonl"))
    for folder in ("datasets", "exports"):
        card = (tmp_path / "run" / folder / "README.md").read_text(encoding="utf-8")
        assert "come from pairs, because this run asked no absolute rubrics" in card


def test_cai_run_and_cai_export_write_the_same_bytes(tmp_path):
    settings = {"export.formats": list(EXPORTS), "rubric.principles_per_answer": "all", "seed": 3}
    fake_run(tmp_path / "run", write_prompts(tmp_path, 6, 3), **settings)
    told = exported(tmp_path / "run", *EXPORTS)
    assert {name.partition("/")[0] for name in told} == set(EXPORTS)
    for name, content in told.items():
        assert (tmp_path / "run" / "datasets" / name).read_bytes() == content, name
    native = lines(tmp_path / "run" / "datasets" / "native" / "train.jsonl")
    assert native[0]["provenance"]["constitution_sha256"] == file_sha256(tmp_path / "run" / "constitution.yaml")


@pytest.mark.parametrize(
    ("settings", "name", "step"),
    [
        ({"critique.rounds": 2}, "sft", "revise-2"),
        ({"rubric.principles_per_answer": 1}, "unpaired_preference", "rubric"),
    ],
)
def test_a_step_that_the_recipe_has_and_the_run_has_not_is_named(settings, name, step, tmp_path):
    prompts, run = write_prompts(tmp_path, 4, 2), tmp_path / "run"
    fake_run(run, prompts, **{"critique.rounds": 1})
    fake_run(run, prompts, until="respond", **{"critique.rounds": 1, **settings})
    with pytest.raises(RunError, match=f"{name} is made from the step '{step}', which the run has not done"):
        export_run(run, ExportRequest((name,)))


# ------------------------------------------------------------------------------------------------------ mix, safety


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_mix_has_the_share_that_was_asked(share, tmp_path):
    fake_run(tmp_path / "run", write_prompts(tmp_path, 60, 60), **{"sample.kinds": ["red_team", "helpful"]})
    facts = export_run(tmp_path / "run", ExportRequest(("preference",), helpful_share=share))["formats"]["preference"]
    for split, kinds in facts["kinds"].items():
        rows = sum(kinds.values())
        assert rows == facts["rows"][split]
        assert abs(kinds["helpful"] - share * rows) <= 1
        assert facts["mix_measured"][split] == pytest.approx(kinds["helpful"] / rows)
        card = (tmp_path / "run" / "exports" / "README.md").read_text(encoding="utf-8").replace("\\", "")
        assert f"{kinds['helpful'] / rows:.3g} in {split}" in card
    every = export_run(tmp_path / "run", ExportRequest(("preference",)))["formats"]["preference"]
    assert sum(facts["rows"].values()) + facts["left_out"]["beyond_mix"] == sum(every["rows"].values())
    kept = Counter(facts["kinds"]["train"])
    assert any(kept[kind] == n for kind, n in every["kinds"]["train"].items())


def test_a_mix_with_nothing_to_mix_in_is_an_error(tmp_path):
    fake_run(tmp_path / "run", write_prompts(tmp_path, 8, 0), **{"sample.kinds": ["red_team"]})
    with pytest.raises(ConfigError, match=r"no helpful pairs in the t.*\(sample\.kinds\).*\(preferences\.human\)"):
        export_run(tmp_path / "run", ExportRequest(("preference",), helpful_share=0.5))
    with pytest.raises(ConfigError, match="no helpful pairs"):
        export_run(tmp_path / "run", ExportRequest(("prompts", "preference"), helpful_share=0.5))
    with pytest.raises(ConfigError, match="no helpful"):
        export_run(tmp_path / "run", ExportRequest(("all",), helpful_share=0.5))


def test_all_writes_what_can_be_mixed_and_names_the_others(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    fake_run(run, write_prompts(tmp_path, 30, 30), **{"sample.kinds": ["red_team"]})
    told = export_run(run, ExportRequest(("all",), out=out, helpful_share=0.5))
    mixable = {name for name in EXPORTS if load_export(name).source in ("prompts", "demonstrations")}
    assert mixable and set(told["formats"]) == mixable == {path.name for path in out.iterdir() if path.is_dir()}
    assert set(told["refused"]) == set(EXPORTS) - mixable
    for name, why in told["refused"].items():
        assert f"no helpful {load_export(name).source} in the test split" in why and "sample.kinds" in why
    for facts in told["formats"].values():
        assert facts["mix_measured"]["train"] == pytest.approx(0.5, abs=0.05)


def test_a_mix_that_cannot_be_says_the_same_whatever_the_order_of_a_set():
    prompts = [
        Prompt.make((user(f"{split} {n}"),), "red_team", "x", split) for split in ("train", "test") for n in range(3)
    ]
    why = {
        Mix.measured([("prompts", one) for one in order], 0.5, ExportOptions()).lacking["prompts"]
        for order in (prompts, prompts[::-1])
    }
    assert why == {
        "--mix 0.5: there are no helpful prompts in the test split to mix in; add helpful prompts to the recipe"
    }


def test_a_folder_that_is_not_an_export_is_never_replaced(sample, tmp_path):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "thesis.txt").write_text("ten years")
    with pytest.raises(RunError, match="no export of cai"):
        export_run(sample, ExportRequest(("sft",), out=tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "prompts").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(RunError, match="no export of cai"):
        export_run(sample, ExportRequest(("prompts",), out=tmp_path))
    assert (tmp_path / "sft" / "thesis.txt").read_text() == "ten years"


def test_a_link_that_lies_in_the_folder_is_not_written_through(sample, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    for name in ("README.md.tmp", "constitution.yaml.tmp", ".README.md.tmp"):
        (tmp_path / "out" / name).symlink_to("../victim.txt")
    assert invoke(str(sample), "--format", "sft", "--out", str(tmp_path / "out"))[0] == 0
    assert victim.read_text() == "mine" and "Constitutional AI" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["../sft", "/etc/sft", "sft/..", "", "SFT", "sft\x00"])
def test_a_name_that_is_no_format_goes_nowhere(name, sample, tmp_path):
    with pytest.raises(ConfigError, match="no export format is named"):
        export_run(sample, ExportRequest((name,), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_refused_export_leaves_no_folder_that_it_made(sample, tmp_path):
    (tmp_path / "there").mkdir()
    for place in ("there", "new", "new/below/it"):
        with pytest.raises(ConfigError, match="cannot carry"):
            export_run(sample, ExportRequest(("axolotl_kto",), out=tmp_path / place))
    assert invoke(str(sample), "--format", "axolotl_kto", "--out", str(tmp_path / "new"))[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_failed_export_leaves_what_others_put_into_the_folder(sample, tmp_path, monkeypatch):
    def fails(*_):
        (tmp_path / "new" / "note.txt").write_text("mine")
        raise OSError("disk full")

    monkeypatch.setattr("cai.pipeline.export_run.write_formats", fails)
    with pytest.raises(OSError, match="disk full"):
        export_run(sample, ExportRequest(("sft",), out=tmp_path / "new" / "below"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["note.txt"]


def test_again_replaces_the_export_as_a_whole(sample, tmp_path):
    everything = ExportRequest(("all",), out=tmp_path, single_turn_only=True)
    export_run(sample, everything)
    for _ in range(2):
        export_run(sample, replace(everything, files=("jsonl",)))
        names = sorted(path.name for path in (tmp_path / "sft").iterdir())
        assert names == ["export.json", "test.jsonl", "train.jsonl"]
        assert (tmp_path / "llamafactory_sft" / "dataset_info.json").is_file()


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("stale.jsonl", "stale.jsonl"),
        ("README.md", "README.md"),
        ("dataset_info.json", "dataset_info.json"),
        ("checkpoint-9/model/model.bin", "checkpoint-9/model/model.bin"),
        ("checkpoint-9/", "checkpoint-9"),
    ],
)
def test_a_file_that_the_export_did_not_write_is_never_removed(place, named, sample, tmp_path):
    assert invoke(str(sample), "--format", "sft", "--format", "llamafactory_sft", "--out", str(tmp_path))[0] == 0
    path = tmp_path / "sft" / place
    (path if place.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
    if not place.endswith("/"):
        path.write_text("mine")
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    code, output = invoke(str(sample), "--format", "llamafactory_sft", "--format", "sft", "--out", str(tmp_path))
    assert (code, output.count("\n")) == (2, 1)
    assert f"{tmp_path / 'sft' / named}: not of the export in sft/" in output and "move it away" in output
    assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before


def test_links_and_imports_beside_an_export_are_never_removed(sample, tmp_path):
    asked = ExportRequest(("preference",), out=tmp_path)
    export_run(sample, asked)
    import_data(find_sources(str(tmp_path / "preference")), tmp_path / "preference")
    with pytest.raises(RunError, match=r"preference/preferences\.jsonl: not of the export"):
        export_run(sample, asked)
    for path in (tmp_path / "preference").glob("preferences.*"):
        path.unlink()
    (tmp_path / "preference" / "best").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(RunError, match="preference/best: not of the export"):
        export_run(sample, asked)
    (tmp_path / "preference" / "best").unlink()
    export_run(sample, asked)


def test_a_file_that_comes_while_the_export_is_written_is_never_removed(sample, tmp_path, monkeypatch):
    asked = ExportRequest(("sft",), out=tmp_path)
    export_run(sample, asked)

    def trainer_writes(name, *rest):
        (tmp_path / "sft" / "model.bin").write_text("weights")
        return export_facts(name, *rest)

    monkeypatch.setattr("cai.pipeline.export_run.export_facts", trainer_writes)
    with pytest.raises(RunError, match=r"sft/model\.bin: not of the export"):
        export_run(sample, asked)
    assert (tmp_path / "sft" / "model.bin").read_text() == "weights"


@pytest.mark.parametrize("facts", ["{", "[]", '{"files": ["thesis.txt"]}', "{}"])
def test_a_file_that_only_has_the_name_of_an_exports_facts_vouches_for_nothing(facts, sample, tmp_path):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "export.json").write_text(facts)
    (tmp_path / "sft" / "thesis.txt").write_text("ten years")
    with pytest.raises(RunError, match=r"sft/thesis\.txt: not of the export"):
        export_run(sample, ExportRequest(("sft",), out=tmp_path))


@pytest.mark.parametrize("place", [".", "datasets", "other/../datasets", "link"])
def test_where_cai_run_writes_is_no_place_for_an_export(place, tmp_path):
    folder = tmp_path / "run"
    fake_run(folder, write_prompts(tmp_path, 4, 2))
    (folder / "other").mkdir()
    (folder / "link").symlink_to(folder / "datasets")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, output = invoke(str(folder), "--format", "native", "--out", str(folder / place))
    assert (code, output.count("\n")) == (2, 1)
    assert f"choose another --out, or none for {folder / 'exports'}" in output
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert invoke(str(folder), "--format", "native")[0] == 0
    assert (folder / "exports" / "README.md").is_file()
    (folder / "datasets" / "README.md").unlink()
    fake_run(folder, write_prompts(tmp_path, 4, 2))
    assert (folder / "datasets" / "README.md").is_file()


@pytest.mark.parametrize(
    ("options", "share", "why"),
    [
        (ExportOptions(threshold=0.7), None, "--threshold 0.7: expected 0"),
        (ExportOptions(copies=0), None, "--copies 0: expected 1"),
        (ExportOptions(), 1.0, "--mix 1: expected a share between"),
        (ExportOptions(margin=True), None, "--margin: none of these formats has one"),
    ],
)
def test_options_that_cannot_be_used(options, share, why, sample, tmp_path):
    with pytest.raises(ConfigError, match=why):
        export_run(sample, ExportRequest(("sft",), out=tmp_path, options=options, helpful_share=share))


def test_models_are_named_without_where_they_were_reached():
    assert public_name("openai/gpt@https://me:secret@host/v1") == "openai/gpt"
    assert public_name("hf//home/me/models/mine") == public_name("hf/./mine") == "hf/mine"
    assert public_name("hf/org/model") == "hf/org/model"
    assert public_name("/home/me/models/mine") == "mine"
    assert public_name("embedded") == "embedded"


def test_a_recipe_can_name_any_format(tmp_path):
    formats = ["native", "unpaired_preference", "verl_rl", "annotated_pairs"]
    fake_run(
        tmp_path / "run",
        write_prompts(tmp_path, 4, 2),
        **{"export.formats": formats, "rubric.principles_per_answer": 1},
    )
    run = Run.existing(tmp_path / "run")
    assert set(run.steps["export"]["inputs"]) >= {"label", "rubric", "preferences"}
    assert {path.name for path in (tmp_path / "run" / "datasets").iterdir()} == {
        *formats,
        "README.md",
        "constitution.yaml",
    }


# --------------------------------------------------------------------------------------------------- command line


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["export", *arguments])
    return done.exit_code, done.output


def test_the_command_lists_its_formats():
    code, output = invoke("--list")
    assert code == 0
    assert all(f"\n{name} " in output for name in EXPORTS)


def test_the_command_says_what_it_wrote_and_one_line_when_it_cannot(sample, tmp_path):
    code, output = invoke(
        str(sample), "--format", "sft", "--format", "hh", "--out", str(tmp_path), "--single-turn-only"
    )
    assert (code, output.splitlines()[0].split()) == (0, ["format", "train", "test", "left", "out"])
    assert "4 system_turn" in output
    assert f"in {tmp_path}/" in output
    code, output = invoke(str(sample), "--format", "hh")
    assert code == 2
    assert output.splitlines()[0].startswith(
        "Error: hh: of 12 rows 4 have a system turn, which the format cannot carry"
    )
    code, output = invoke(str(sample), "--format", "preferense")
    assert (code, "did you mean 'preference'?" in output) == (2, True)
    assert invoke(str(tmp_path / "none"), "--format", "sft")[0] == 2
    assert invoke(str(sample))[0] == 2


def test_a_run_refuses_dialogues_that_its_formats_cannot_carry_before_it_asks_anything(tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    dialogue = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    rows = [{"prompt": dialogue if n < 3 else f"Why is {n}?", "kind": "red_team"} for n in range(8)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"critique.rounds": 1, "export.formats": ["axolotl_reward", "preference"]}
    with pytest.raises(ConfigError, match=r"axolotl_reward: of 6 prompts 1 has several turns, .*single_turn_only=true"):
        fake_run(tmp_path / "run", prompts, **settings)
    assert not (tmp_path / "run" / "manifest.json").exists()
    fake_run(tmp_path / "run", prompts, until="preferences", **settings)
    told = fake_run(tmp_path / "run", prompts, **settings, **{"export.single_turn_only": True})
    assert told["stages"][-1]["step"] == "export"
    counts = Run.existing(tmp_path / "run").steps["export"]["datasets"]["axolotl_reward"]
    assert counts["several_turns"] == 1 and counts["train"] + counts["test"] > 0


def test_the_command_warns_of_every_stale_source_and_of_options_that_nothing_reads(tmp_path):
    run, prompts = tmp_path / "run", write_prompts(tmp_path, 4, 2)
    fake_run(run, prompts, **{"critique.rounds": 1})
    asked = ["export", str(run), "--format", "sft", "--labels", "bernoulli", "--threshold", "0.2", "--copies", "3"]
    notes = [line for line in CliRunner().invoke(main, asked).stderr.splitlines() if line.startswith("note: ")]
    assert [note.split()[1] for note in notes] == ["--threshold", "--copies"]
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["plan"]["revise-1"]["settings"]["max_tokens"] = 34
    (run / "manifest.json").write_text(json.dumps(manifest))
    done = CliRunner().invoke(main, ["export", str(run), "--format", "sft"])
    assert re.search(r"^note: revise-1 \(max_tokens: .*\) is stale: the export is of what was made", done.stderr, re.M)


def test_the_command_names_steps_that_are_stale_by_a_file_that_was_edited_since(tmp_path):
    run, constitution = tmp_path / "run", tmp_path / "mine.yaml"
    constitution.write_text(CONSTITUTION)
    fake_run(run, write_prompts(tmp_path, 4, 2), constitution=str(constitution), **{"critique.rounds": 1})
    asked = ["export", str(run), "--format", "sft", "--format", "preference"]
    assert "stale" not in CliRunner().invoke(main, asked).stderr
    constitution.write_text(CONSTITUTION.replace("Make it honest.", "Make it true.").replace("more honest", "truer"))
    done = CliRunner().invoke(main, [*asked, "--json"])
    (line,) = [line for line in done.stderr.splitlines() if "stale" in line]
    assert done.exit_code == 0 and json.loads(done.stdout)["notes"] == [line.removeprefix("note: ")]
    assert re.match(r"note: revise-1 \(.*\), preferences \(.*\) are stale: the export is of what was made before", line)
    constitution.unlink()
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0 and "note: whether steps are stale cannot be told (" in done.stderr


def test_the_command_says_that_the_judge_of_the_labels_failed_its_audit(tmp_path):
    run = tmp_path / "run"
    fake_run(run, write_prompts(tmp_path), audit__items=4, constitution="minimal")
    figures = json.loads((run / "metrics" / "audit.json").read_text())
    failed, few = figures["failed"], too_little(figures["gates"])
    lacking = f"measured too little to tell: {few}"
    notes = [
        f"the judge failed its audit ({', '.join(failed)}): see the card, or cai audit {run}",
        f"the audit of the judge leaves open whether it is fit: {lacking}",
    ]
    done = CliRunner().invoke(
        main, ["export", str(run), "--format", "sft", "--format", "unpaired_preference", "--json"]
    )
    assert failed and few and done.stderr.splitlines() == [f"note: {one}" for one in notes]
    assert json.loads(done.stdout)["notes"] == notes
    assert f"**Whether it is fit is left open: {lacking}.**" in (run / "datasets" / "README.md").read_text()
    assert CliRunner().invoke(main, ["export", str(run), "--format", "sft"]).stderr == ""


def test_the_command_says_that_the_judge_of_the_labels_was_held_to_no_bound(tmp_path):
    run = tmp_path / "open"
    needed = ("tests", "noise", "swapped", "place", "attacks", "null_answer", "clear_flip_rate", "length")
    opened = {f"audit__{name}": None for name in needed}
    fake_run(run, write_prompts(tmp_path), audit__items=40, **opened)
    loose = unheld(json.loads((run / "metrics" / "audit.json").read_text())["gates"])
    done = CliRunner().invoke(main, ["export", str(run), "--format", "preference"])
    note = f"leaves open whether it is fit: the recipe holds the judge to no bound on {loose}"
    assert loose and done.exit_code == 0 and note in done.stderr and "failed its audit" not in done.stderr


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"failed": []}'])
@pytest.mark.parametrize("edited", ["metrics/audit.json", "respond.jsonl"])
def test_a_run_with_a_file_that_somebody_edited_is_not_exported(tmp_path, edited, text):
    """Whether or not the format is made from it: the notes and the card tell of the whole run."""
    run = tmp_path / "run"
    fake_run(run, write_prompts(tmp_path), audit__items=4, constitution="minimal")
    (run / edited).write_text(text)
    done = CliRunner().invoke(main, ["export", str(run), "--format", "preference", "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1) and edited in done.stderr


def test_the_command_prints_facts_as_json(sample, tmp_path):
    asked = ("--format", "preference", "--labels", "threshold", "--threshold", "0.2", "--json")
    code, output = invoke(str(sample), *asked, "--out", str(tmp_path))
    assert code == 0
    facts = json.loads(output)["formats"]["preference"]
    assert facts["labels"] == {"mode": "threshold", "seed": 0, "threshold": 0.2}
    assert facts["left_out"] == {"ties": 2, "under_threshold": 1}


def test_what_was_left_out_has_its_unit_where_rows_are_not_records(sample, tmp_path):
    formats = ("unpaired_preference", "axolotl_kto", "preference")
    asked = [str(sample), *(word for name in formats for word in ("--format", name)), "--out", str(tmp_path)]
    code, output = invoke(*asked, "--single-turn-only")
    rows = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    facts = {name: json.loads((tmp_path / name / "export.json").read_text()) for name in formats}
    assert code == 0 and "2 pairs ties" in rows["unpaired_preference"] and "2 ties" in rows["preference"]
    assert facts["preference"]["left_out_unit"] == {}
    assert facts["axolotl_kto"]["left_out_unit"] == {"several_turns": "rows", "ties": "pairs"}
    assert f"{facts['axolotl_kto']['left_out']['several_turns']} rows several_turns" in rows["axolotl_kto"]
    assert invoke(*asked, "--single-turn-only", "--labels", "duplicate", "--copies", "3", "--mix", "0.5")[0] == 0
    facts = json.loads((tmp_path / "preference" / "export.json").read_text())
    assert facts["left_out_unit"] == {"beyond_mix": "pairs"}


def test_what_was_left_out_is_listed_by_id_and_reason(sample, tmp_path):
    request = ExportRequest(("hh", "native"), out=tmp_path, single_turn_only=True, helpful_share=0.5)
    told = export_run(sample, request)["formats"]
    rows = [*read_rows(tmp_path / "hh" / "left_out.jsonl")]
    assert Counter(row["reason"] for row in rows) == told["hh"]["left_out"] != {}
    known = {
        row["id"]: row["split"] for split in ("train", "test") for row in all_native(sample, tmp_path / "all", split)
    }
    assert {row["id"]: row["split"] for row in rows}.items() <= known.items()
    kept = {row["id"] for split in ("train", "test") for row in read_rows(tmp_path / "hh" / f"{split}.jsonl")}
    assert kept | {row["id"] for row in rows} == set(known) and "left_out.jsonl" in told["hh"]["files"]
    again = export_run(sample, ExportRequest(("native",), out=tmp_path))["formats"]["native"]
    assert again["left_out"] == {} and not (tmp_path / "native" / "left_out.jsonl").exists()


def all_native(sample, out, split):
    if not out.exists():
        export_run(sample, ExportRequest(("native",), out=out))
    return [*read_rows(out / "native" / f"{split}.jsonl")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("dpo", "axolotl_preference"), ("trl-kto", "did you mean unpaired_preference?"), ("PPO", "openrlhf_prompts"),
     ("preferense", "did you mean 'preference'?")],
)  # fmt: skip
def test_a_trainers_name_points_to_its_formats(name, meant, sample, tmp_path):
    with pytest.raises(ConfigError) as told:
        export_run(sample, ExportRequest((name,), out=tmp_path / "out"))
    assert f"no export format is named '{name}'" in str(told.value) and meant in str(told.value)


def test_a_run_of_which_nothing_can_be_made_is_an_error(sample, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    manifest = json.loads((sample / "manifest.json").read_text())
    (bare / "manifest.json").write_text(json.dumps(manifest | {"steps": {}}))
    assert invoke(str(bare), "--format", "all")[0] != 0


# ------------------------------------------------------------------------------------------------------- no rows


def test_an_export_without_a_row_is_refused_and_the_old_one_stays(run, tmp_path):
    asked = (str(run), "--format", "prompts", "--format", "preference", "--out", str(tmp_path))
    assert invoke(*asked)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = CliRunner().invoke(main, ["export", *asked, "--decontaminate", str(run / "prompts.jsonl")])
    assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert "prompts: would have no row (28 contaminated)" in done.stderr
    assert re.search(r"; preference: would have no row \(\d+ contaminated\)\n", done.stderr)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_all_leaves_out_formats_without_a_row_and_says_so_once(tmp_path):
    run = write_sample_run(tmp_path / "run", "single")
    ties = [replace(one, p_a=0.5) for one in sample_preferences(sample_prompts("single"))]
    rewrite(run, "preferences", "".join(json.dumps(one.to_json()) + "\n" for one in ties))
    code, output = invoke(str(run), "--format", "all", "--out", str(tmp_path / "out"))
    [line] = [line for line in output.splitlines() if line.endswith(": not written: would have no row (12 ties)")]
    names = line.partition(":")[0].split(", ")
    assert code == 0 and "preference" in names and "hh" in names
    assert not any((tmp_path / "out" / name).exists() for name in names)


# ---------------------------------------------------------------------------------------------- one line a reason


def test_a_note_names_all_the_formats_that_it_is_of(sample, tmp_path):
    names = ("unpaired_preference", "llamafactory_kto")
    _, output = invoke(str(sample), "--out", str(tmp_path), *(word for name in names for word in ("--format", name)))
    [note] = [line for line in output.splitlines() if "do not come from absolute rubrics" in line]
    assert note.startswith(f"note: {', '.join(names)}: ")


def test_a_refusal_of_many_formats_is_one_line(tmp_path):
    fake_run(tmp_path / "run", write_prompts(tmp_path, 30, 30), **{"sample.kinds": ["red_team"]})
    code, output = invoke(str(tmp_path / "run"), "--format", "all", "--mix", "0.5", "--out", str(tmp_path / "out"))
    refusals = [line for line in output.splitlines() if ": not written: " in line]
    sources = [load_export(line.partition(",")[0].partition(":")[0]).source for line in refusals]
    assert code == 0 and len(sources) == len(set(sources)) == 3
    assert sum(len(line.partition(":")[0].split(", ")) for line in refusals) == sum(
        load_export(name).source in sources for name in EXPORTS
    )


def test_the_card_says_that_dialogues_are_left_out_only_where_some_are(sample, tmp_path):
    export_run(sample, ExportRequest(("hh", "preference"), out=tmp_path, single_turn_only=True))
    rows = (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()
    [carries] = [row for row in rows if row.startswith("| `preference` |")]
    [lacks] = [row for row in rows if row.startswith("| `hh` |")]
    assert "cannot carry left out" in lacks and "left out" not in carries
