"""Which votes and grades of a run count in its exports, and how much each."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import pytest

from cai.judge_records import Grade, Graded
from cai.pipeline.export_run import ExportRequest, export_run
from cai.records import Judgement, Vote
from tests.exports.sample_run import rewrite, sample_preferences, sample_prompts, write_sample_run

PREFERENCES = [one for one in sample_preferences(sample_prompts("single")) if one.source == "ai"]


def sample(folder: Path, rows: dict[str, list[Graded] | list[Judgement]]) -> Path:
    """A run in which every answer is graded under both principles, of which `kind` counts three times."""
    run = write_sample_run(folder / "run", "single", rubric=True)
    for name, old, new in (
        ("recipe", "principles_per_answer: 1", "principles_per_answer: all"),
        ("constitution", "- id: kind\n", "- id: kind\n    weight: 3\n"),
    ):
        path = run / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    for step, records in rows.items():
        rewrite(run, step, "".join(json.dumps(one.to_json()) + "\n" for one in records))
    return run


def exported(run: Path, name: str) -> list[dict[str, object]]:
    export_run(run, ExportRequest((name,)))
    files = [run / "exports" / name / f"{split}.jsonl" for split in ("train", "test")]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]


def graded(honest: float, kind: float, mass: float) -> list[Graded]:
    """Every answer with its probability of yes under both principles, `honest` with that much mass."""
    grades = tuple(
        Grade(name, log(p), log(1 - p), of) for name, p, of in (("honest", honest, mass), ("kind", kind, 1.0))
    )
    return [Graded(one.prompt, text, grades) for one in PREFERENCES for text in (one.response_a, one.response_b)]


def test_a_label_is_the_mean_of_grades_weighted_by_principle(tmp_path):
    rows = exported(sample(tmp_path, {"rubric": graded(0.9, 0.2, mass=1.0)}), "unpaired_preference")
    labels = [(one["label"], one["p_desirable"]) for one in rows if one["label_from"] == "rubric"]
    assert labels == [(False, pytest.approx((0.9 + 3 * 0.2) / 4))] * 2 * len(PREFERENCES)


@pytest.mark.parametrize(("mass", "p"), [(0.49, 0.4), (0.51, (0.9 + 3 * 0.4) / 4)])
def test_a_grade_under_the_floor_of_mass_does_not_count(mass, p, tmp_path):
    rows = exported(sample(tmp_path, {"rubric": graded(0.9, 0.4, mass)}), "unpaired_preference")
    labels = [(one["label"], one["p_desirable"]) for one in rows if one["label_from"] == "rubric"]
    assert labels == [(p >= 0.5, pytest.approx(p))] * 2 * len(PREFERENCES)


@pytest.mark.parametrize(
    ("mass", "honest"), [(0.49, {"pref": None, "no_pref_reason": "invalid"}), (0.51, {"pref": "a"})]
)
def test_a_vote_under_the_floor_of_mass_is_no_preference_of_its_principle(mass, honest, tmp_path):
    votes = tuple(
        Vote(name, order, 0, log(p), log(1 - p), of)
        for name, p, of in (("honest", 0.9, mass), ("kind", 0.2, 1.0))
        for order in ("ab", "ba")
    )
    judged = [Judgement(one.prompt, one.response_a, one.response_b, votes) for one in PREFERENCES]
    run = sample(tmp_path, {"label": judged})
    export_run(run, ExportRequest(("annotated_pairs",)))
    document = json.loads((run / "exports/annotated_pairs/annotated_pairs.json").read_text(encoding="utf-8"))
    ids = {one["name"]: id for id, one in document["annotators"].items()}
    found = [[one["annotations"][ids[name]] for name in ("honest", "kind")] for one in document["comparisons"]
             if one["metadata"]["source"] == "ai"]  # fmt: skip
    assert found == [[honest, {"pref": "b"}]] * len(PREFERENCES)
