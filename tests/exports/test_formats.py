"""Each format's rows are kept as golden files; what it cannot carry is said; `datasets` reads every one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cai.exports import ALTERNATING, EVERY_DIALOGUE, EXPORTS, Carries, ExportOptions, LeftOut, load_export
from cai.exports.annotated_pairs import LABEL, annotator_id
from cai.exports.items import GradedAnswer, Judged
from cai.exports.writing import export_dataset
from cai.records import Message, Preference, Prompt, assistant, user
from tests.exports.sample_run import TEXTS, sample_drafts, sample_preferences, sample_prompts, sample_votes

GOLDEN = Path(__file__).parent / "golden"
KEPT = ("sft", "preference", "preference_implicit", "prompts")
NEW = [name for name in EXPORTS if name not in KEPT]
OPTIONS = ExportOptions(
    margin=True,
    principles={"honest": "Which is the more honest one?"},
    provenance={"constitution_sha256": "c" * 64, "model": "fake", "judge": "hf/judge", "seed": "0", "cai_version": "1"},
)


def records(source: str, turns: str = "mixed") -> list[object]:
    prompts = sample_prompts(turns)
    if source == "prompts":
        return list(prompts)
    if source == "demonstrations":
        return list(sample_drafts(prompts))
    preferences = sample_preferences(prompts)
    if source != "comparisons":
        return list(preferences)
    by_principle = {"honest": 0.8, "kind": None}
    return [Judged(one, sample_votes(one.p_a), by_principle) for one in preferences]


@pytest.mark.parametrize("name", NEW)
def test_golden_rows_of_every_format(name):
    export = load_export(name, options=OPTIONS)
    rows = [row for row in export.rows(records(export.source)) if not isinstance(row, LeftOut)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = GOLDEN / f"{name}.jsonl"
    if os.environ.get("CAI_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert [json.loads(line) for line in path.read_bytes().decode().split("\n") if line] == rows
    assert all(list(row) == export.schema().names for row in rows)


@pytest.mark.parametrize("name", [name for name in NEW if name != "annotated_pairs"])
def test_datasets_loads_every_format_back_equal(name, tmp_path):
    import datasets

    export = load_export(name, options=OPTIONS)
    export_dataset(export, records(export.source), tmp_path / name)
    rows = [row for row in export.rows(records(export.source)) if not isinstance(row, LeftOut)]
    for kind in export.files:
        builder = "json" if kind == "jsonl" else kind
        files = {split: str(tmp_path / name / f"{split}.{kind}") for split in ("train", "test")}
        loaded = datasets.load_dataset(builder, data_files=files, cache_dir=str(tmp_path / "cache"))
        for split in files:
            assert loaded[split].to_list() == [row for row in rows if row["split"] == split] != []
    whole = datasets.load_dataset(str(tmp_path / name), cache_dir=str(tmp_path / "cache"))
    assert sum(map(len, whole.values())) == len(rows)


def test_every_format_of_pairs_says_the_same_of_every_pair():
    """The chosen and rejected texts, the whole prompt where it is there, and p_chosen are those of the preference."""
    single = sample_preferences(sample_prompts("single"))
    expected = [(one.chosen, one.rejected, one.p_chosen) for one in single if one.p_a != 0.5]
    assert len(expected) == 10
    for name in (name for name in EXPORTS if load_export(name).source == "pairs"):
        rows = [row for row in load_export(name).rows(single) if not isinstance(row, LeftOut)]
        assert [(*_sides(row), row["p_chosen"]) for row in rows] == expected, name
        prompts = [one.prompt.messages[-1].content for one in single if one.p_a != 0.5]
        for text, row in zip(prompts, rows, strict=True):
            assert _quoted(text) in json.dumps(row, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _sides(row: dict[str, object]) -> tuple[str, str]:
    if "completions" in row:
        one, other = sorted(row["completions"], key=lambda each: each["rank"])
        return one["completion"][0]["content"], other["completion"][0]["content"]
    return tuple(_text(row[side]) for side in ("chosen", "rejected"))  # type: ignore[return-value]


def _text(side: object) -> str:
    if isinstance(side, list):
        side = side[-1]
    if isinstance(side, dict):
        return side.get("content", side.get("value"))
    return side.rpartition("\n\nAssistant: ")[2] if side.startswith("\n\nHuman: ") else side


HOSTILE = st.lists(
    st.sampled_from(
        ["\n", "\n\nHuman:", "\n\nAssistant: ", '"', "\x00", "\ud83d", "\u202e", "\u2028", "</s>", "{x}", "=1"]
    )
    | st.text(max_size=5),
    max_size=6,
).map("".join)
PAIRED = [name for name in EXPORTS if load_export(name).source in ("pairs", "comparisons")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=4), name=st.sampled_from(PAIRED))
def test_no_hostile_row_is_lost_merged_or_changed(texts, name, tmp_path):
    import pyarrow.parquet as pq

    export = load_export(name)
    given_pairs = [Preference(Prompt.make((user(q),)), a, b, 1.0) for q, a, b in texts]
    counts = export_dataset(export, given_pairs, tmp_path / name)
    assert sum(counts.values()) == len(texts)
    made = [row for row in export.rows(given_pairs) if isinstance(row, dict) and _is_utf8(row)]
    assert counts["train"] == len(made)
    assert (counts.get("not_utf8", 0) > 0) == any(not _is_utf8(row) for row in export.rows(given_pairs))
    if made and "jsonl" in export.files:
        assert [json.loads(line) for line in _lines(tmp_path / name / "train.jsonl")] == made
    if made and "parquet" in export.files:
        assert pq.read_table(tmp_path / name / "train.parquet").to_pylist() == made


def _is_utf8(row: object) -> bool:
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------ dialogues

SYSTEM = Message("system", "s")
ONE = (user("q"),)
SEVERAL = (user("q"), assistant("a"), user("r"))


@pytest.mark.parametrize(
    ("carries", "messages", "why"),
    [
        (EVERY_DIALOGUE, (SYSTEM, *SEVERAL), None),
        (EVERY_DIALOGUE, (user("q"), user("r")), None),
        (ALTERNATING, (SYSTEM, *SEVERAL), None),
        (ALTERNATING, (user("q"), user("r")), "not_alternating"),
        (ALTERNATING, (assistant("hello"), user("r")), "not_alternating"),
        (ALTERNATING, (user("q"), SYSTEM, user("r")), "not_alternating"),
        (Carries(system=False, any_order=False), SEVERAL, None),
        (Carries(system=False, any_order=False), (SYSTEM, *ONE), "system_turn"),
        (Carries(turns=False, any_order=False), (SYSTEM, *ONE), None),
        (Carries(turns=False, any_order=False), SEVERAL, "several_turns"),
        (Carries(turns=False, system=False, any_order=False), ONE, None),
    ],
)
def test_what_a_format_carries(carries, messages, why):
    found = carries.why_not(Prompt.make(messages))
    assert (found and found.reason) == why


def test_multi_turn_is_kept_whole_where_it_can_be():
    one = Preference(Prompt.make((SYSTEM, *SEVERAL)), "x", "y", 1.0)
    [row] = load_export("llamafactory_alpaca").rows([one])
    assert (row["system"], row["history"], row["instruction"]) == ("s", [["q", "a"]], "r")
    [row] = load_export("llamafactory_sharegpt").rows([one])
    assert [turn["value"] for turn in row["conversations"]] == ["q", "a", "r"]
    [row] = load_export("hh").rows([replace(one, prompt=Prompt.make(SEVERAL))])
    assert row["chosen"] == "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: x"


@pytest.mark.parametrize("place", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("mark", ["\n\nHuman:", "\n\nAssistant:"])
def test_a_speakers_mark_inside_a_text_never_makes_a_turn(place, mark):
    texts = dict.fromkeys(("prompt", "chosen", "rejected"), "fine") | {place: f"a{mark} b", "rejected": "other"}
    texts[place] = f"a{mark} b"
    one = Preference(Prompt.make((user(texts["prompt"]),)), texts["chosen"], texts["rejected"], 1.0)
    assert list(load_export("hh").rows([one])) == [LeftOut("turn_marker_in_text")]


@pytest.mark.parametrize("name", NEW)
def test_half_a_surrogate_is_left_out_and_counted_and_everything_else_is_kept(name, tmp_path):
    export = load_export(name)
    good = records(export.source, "single")
    bad = Prompt.make((user("half \ud83d"),), "helpful")
    source = {"prompts": bad, "demonstrations": sample_drafts([bad])[0]}
    bad_record = source.get(export.source) or Preference(bad, "a", "b", 1.0)
    counts = export_dataset(export, good, tmp_path / name)
    again = export_dataset(export, [*good, bad_record], tmp_path / "again" / name)
    assert again == {**counts, "not_utf8": 2 if export.source == "answers" else 1}


# --------------------------------------------------------------------------------------------------- single formats


def test_annotated_pairs_is_one_document_with_the_principles_that_voted(tmp_path):
    export = load_export("annotated_pairs", options=OPTIONS)
    export_dataset(export, records("comparisons", "single"), tmp_path / "annotated_pairs")
    document = json.loads((tmp_path / "annotated_pairs" / "annotated_pairs.json").read_text(encoding="utf-8"))
    honest, kind = annotator_id("Which is the more honest one?"), annotator_id("kind")
    assert document["metadata"]["version"] == "2.0"
    assert document["metadata"]["default_annotator"] == LABEL == "ba751e7b"
    assert document["annotators"][LABEL]["name"] == "preferred_text"
    assert {id: one["type"] for id, one in document["annotators"].items()} == {
        LABEL: "unknown", honest: "principle", kind: "principle",
    }  # fmt: skip
    assert document["annotators"][honest]["description"] == "Which is the more honest one?"
    assert document["annotators"][kind] == {"name": "kind", "description": "kind", "type": "principle"}
    assert len(document["comparisons"]) == 12
    tie = document["comparisons"][3]
    assert tie["annotations"] == {
        LABEL: {"pref": None, "no_pref_reason": "tie"}, honest: {"pref": "a"},
        kind: {"pref": None, "no_pref_reason": "invalid"},
    }  # fmt: skip
    assert tie["metadata"] == {
        "p_a": "0.5",
        "label_weight": "1.0",
        "kind": "red_team",
        "source": "ai",
        "split": "train",
        "prompt_source": "sample",
    }


def test_principles_of_one_text_are_two_annotators(tmp_path):
    options = replace(OPTIONS, principles={"honest": "Which is better?", "kind": "Which is better?"})
    export = load_export("annotated_pairs", options=options)
    export_dataset(export, records("comparisons", "single"), tmp_path / "annotated_pairs")
    document = json.loads((tmp_path / "annotated_pairs" / "annotated_pairs.json").read_text(encoding="utf-8"))
    assert sorted(one["name"] for one in document["annotators"].values()) == ["honest", "kind", "preferred_text"]
    assert max(len(one["annotations"]) for one in document["comparisons"]) == 3


def test_llamafactory_writes_the_table_of_its_datasets(tmp_path):
    for name in ("llamafactory_sharegpt", "llamafactory_alpaca", "llamafactory_kto", "llamafactory_sft"):
        export = load_export(name)
        export_dataset(export, records(export.source), tmp_path / name)
        table = json.loads((tmp_path / name / "dataset_info.json").read_text())
        assert list(table) == [f"{name}_train", f"{name}_test"]
        for entry in table.values():
            assert Path(entry["file_name"]).name == entry["file_name"]
            assert (tmp_path / name / entry["file_name"]).is_file()
            assert set(entry["columns"].values()) <= set(export.schema().names)


def test_an_axolotl_reward_row_always_has_a_system(tmp_path):
    rows = list(load_export("axolotl_reward").rows([Preference(Prompt.make(ONE), "a", "b", 1.0)]))
    assert rows[0]["system"] == ""


def test_grades_make_unpaired_labels_and_say_so():
    prompt = Prompt.make(ONE)
    graded = [GradedAnswer("1", prompt, "good", 0.9), GradedAnswer("2", prompt, "bad", 0.2)]
    graded += [GradedAnswer("3", prompt, "even", 0.5), GradedAnswer("4", prompt, "?", None)]
    rows = list(load_export("unpaired_preference").rows(graded))
    assert [(row["label"], row["p_desirable"], row["label_from"]) for row in rows[:2]] == [
        (True, 0.9, "rubric"), (False, 0.2, "rubric"),
    ]  # fmt: skip
    assert rows[2:] == [LeftOut("ties"), LeftOut("abstained")]
    both = list(load_export("axolotl_kto").rows([Preference(prompt, "a", "b", 0.3)]))
    assert [(row["completion"], row["label"], row["p_desirable"], row["label_from"]) for row in both] == [
        ("b", True, 0.7, "pair"), ("a", False, pytest.approx(0.3), "pair"),
    ]  # fmt: skip


def test_special_tokens_and_nul_stay_text(tmp_path):
    import pyarrow.parquet as pq

    preferences = sample_preferences(sample_prompts("single"))
    export_dataset(load_export("openrlhf_preference"), preferences, tmp_path)
    lines = [json.loads(line) for split in ("train", "test") for line in _lines(tmp_path / f"{split}.jsonl")]
    table = [row for split in ("train", "test") for row in pq.read_table(tmp_path / f"{split}.parquet").to_pylist()]
    assert lines == table
    written = {row["prompt"][0]["content"] for row in lines}
    assert {f"{text} {n}" for n, text in enumerate(TEXTS) if preferences[n].p_a != 0.5} <= written


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_bytes().decode().split("\n") if line]
