"""Labels in a whole run: what a change of their settings asks, reasoning that resumes, rankings, rubrics, the mix."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cai.cli.label_lines import _mix, rubric_lines
from cai.embedded import people_path
from cai.errors import ConfigError, EngineError, InputError, RunError
from cai.judge_records import Deliberation, Graded, Ranking
from cai.pipeline import label_work
from cai.pipeline.status import run_status
from cai.preferences import REASONED_CLAMP
from cai.prompts.splits import opening_turn
from cai.recipe_files import load_recipe, parse_sets, write_recipe
from cai.records import Json, Judgement, Preference
from cai.storage.run import Run, read_rows
from tests.models.loopback import Loopback, chat_answer
from tests.pipeline.runs import all_files, calls, fake_run, write_prompts
from tests.pipeline.test_run_recipe import constitution_file, invoke


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path, red_team=12, helpful=4)


def preferences(run: Path) -> list[Preference]:
    return [Preference.from_json(row) for row in read_rows(run / "preferences.jsonl")]


def human_file(folder: Path, count: int = 60, name: str = "human.jsonl") -> Path:
    path = folder / name
    rows = [
        {"prompt": f"How do I knit a scarf of {n} rows?", "chosen": "gladly", "rejected": "no"} for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------- what changes ask of the model

ARITHMETIC: dict[str, dict[str, Any]] = {
    "clamp": {"preferences__clamp": [0.45, 0.55]},
    "temperature": {"preferences__temperature": 3.0},
    "tie band": {"preferences__tie_band": 0.2},
    "mass floor": {"preferences__mass_floor": 0.96},
    "weight": {"preferences__weight": "certainty"},
    "human share": {"preferences__human_share": 0.5},
}


@pytest.mark.parametrize("what", ARITHMETIC)
@pytest.mark.parametrize("reasoned", [0, 1], ids=["plain", "reasoned"])
def test_changing_what_is_made_of_votes_asks_nothing(tmp_path: Path, prompts: Path, what: str, reasoned: int) -> None:
    more: dict[str, Any] = {
        "preferences__human": [str(human_file(tmp_path))], "preferences__human_share": 0.2, "max_rejected": 1.0,
        "label__reasoning_samples": reasoned, "export__formats": ["preference"], "export__files": ["jsonl"],
    }  # fmt: skip
    fake_run(tmp_path / "run", prompts, **more)
    before = (tmp_path / "run" / "preferences.jsonl").read_bytes()
    log = tmp_path / "log"
    change = ARITHMETIC[what]
    if what == "mass floor":
        with pytest.raises(RunError, match="abstained"):
            fake_run(tmp_path / "run", prompts, f"fake?log={log}", **{**more, **change})
    else:
        summary = fake_run(tmp_path / "run", prompts, f"fake?log={log}", **{**more, **change})
        ran = [one["step"] for one in summary["stages"] if one["ran"]]
        changed = (tmp_path / "run" / "preferences.jsonl").read_bytes() != before
        assert (changed, ran) == ((False, ["preferences"]) if what == "weight" else (True, ["preferences", "export"]))
    assert not log.exists() or log.read_text() == ""


def test_changing_a_principles_weight_asks_nothing_where_all_are_asked(tmp_path: Path, prompts: Path) -> None:
    mine = constitution_file(tmp_path)
    settings: dict[str, Any] = {"constitution": str(mine), "label__principles_per_pair": "all"}
    fake_run(tmp_path / "run", prompts, **settings)
    before = [one.p_a for one in preferences(tmp_path / "run")]
    value = yaml.safe_load(mine.read_text())
    value["principles"][0]["weight"] = 7.0
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    why = {row["step"]: row["why"] for row in run_status(tmp_path / "run") if row["stale"]}
    assert "label" not in why and why["preferences"].startswith("weights.")
    summary = fake_run(tmp_path / "run", prompts, **settings)
    steps = {one["step"] for one in summary["stages"] if one["ran"]}
    assert {"preferences"} <= steps and not {"reason", "label"} & steps
    assert "label" not in calls(summary)
    assert [one.p_a for one in preferences(tmp_path / "run")] != before


@pytest.mark.parametrize("asked", [2, "all"])
def test_weights_of_labels_alone_ask_nothing_and_make_only_labels_stale(
    tmp_path: Path, prompts: Path, asked: int | str
) -> None:
    """What is not named counts as before: by its weight where all are asked, evenly where a draw has followed it."""
    settings: dict[str, Any] = {
        "constitution": "minimal", "label__principles_per_pair": asked, "rubric__principles_per_answer": "all",
        "export__formats": ["preference", "unpaired_preference"], "max_rejected": 1.0, "audit__items": 6,
    }  # fmt: skip
    first = fake_run(tmp_path / "run", prompts, **settings)
    kto = tmp_path / "run" / "datasets" / "unpaired_preference" / "train.jsonl"
    assert first["audit"] is not None and calls(first)["critique-1"] > 0
    before, graded = [one.p_a for one in preferences(tmp_path / "run")], kto.read_text()
    log = tmp_path / "log"
    own = {"no-harm": 0.5, "useful": 6.0}
    summary = fake_run(tmp_path / "run", prompts, f"fake?log={log}", **settings, preferences__weights=own)
    assert not log.exists() or log.read_text() == ""
    assert [one["step"] for one in summary["stages"] if one["ran"]] == ["preferences", "audit", "export"]
    judged = [Judgement.from_json(row) for row in read_rows(tmp_path / "run" / "label.jsonl")]
    wanted = []
    for judgement in judged:
        p = {id: _p(judgement, id) for id in {vote.principle_id for vote in judgement.votes}}
        assert len(p) == (3 if asked == "all" else 2)
        wanted.append(
            sum((own | {"honest": 1.0})[id] * one for id, one in p.items()) / sum(own.get(id, 1.0) for id in p)
        )
    assert [one.p_a for one in preferences(tmp_path / "run")] == pytest.approx(wanted)
    assert wanted != pytest.approx(before) and kto.read_text() != graded
    log.unlink(missing_ok=True)
    fake_run(tmp_path / "run", prompts, f"fake?log={log}", **settings)
    assert [one.p_a for one in preferences(tmp_path / "run")] == before and kto.read_text() == graded
    assert not log.exists() or log.read_text() == ""


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({"no-harn": 2.0}, "has no principle 'no-harn' with a comparison or a rubric; did you mean 'no-harm'?"),
        ({"no-harm": 0}, "preferences.weights.no-harm: expected a number over 0 and up to 1,000,000, found 0"),
        ({"no-harm": -1.0}, "found -1"), ({"no-harm": float("inf")}, "found inf"),
        ({"no-harm": float("nan")}, "found nan"),
        ({"no-harm": "2"}, "preferences.weights.no-harm: expected a number, found '2'"),
        ({"no-harm": True}, "preferences.weights.no-harm: expected a number, found True"),
        (2.0, "a block of names, each with a number, found 2.0"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_are_refused_before_anything_is_asked(
    tmp_path: Path, prompts: Path, weights: Any, error: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        fake_run(tmp_path / "run", prompts, constitution="minimal", preferences__weights=weights)
    assert error in str(refused.value) and not (tmp_path / "run").exists()


def test_weights_of_labels_can_be_set_by_name_or_as_one_object(tmp_path: Path) -> None:
    by_name = load_recipe("rl-cai", parse_sets(["preferences.weights.no-harm=3", "preferences.weights.useful=0.5"]))
    whole = load_recipe("rl-cai", parse_sets(['preferences.weights={"no-harm": 3, "useful": 0.5}']))
    assert by_name == whole and by_name.preferences.weights == {"no-harm": 3.0, "useful": 0.5}
    write_recipe(whole, tmp_path / "recipe.yaml")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == whole


def test_weights_count_for_a_prompt_all_of_whose_principles_are_asked(tmp_path: Path) -> None:
    """Two principles a pair: three reach helpful prompts, which draw by weight; two reach the others, which weigh."""
    prompts = write_prompts(tmp_path, red_team=6, helpful=6)
    forms = {"critique": "Harm?", "revision": "Mend it."}
    principles: list[dict[str, Any]] = [
        {"id": "a", "comparison": "A?", "weight": 9.0, **forms}, {"id": "b", "comparison": "B?", **forms},
        {"id": "c", "comparison": "C?", "applies_to": {"kinds": ["helpful"]}, **forms},
    ]  # fmt: skip
    mine = tmp_path / "scoped.yaml"
    mine.write_text(yaml.safe_dump({"name": "scoped", "principles": principles}, sort_keys=False))
    kinds = ["red_team", "helpful"]
    fake_run(tmp_path / "run", prompts, constitution=str(mine), label__principles_per_pair=2, sample__kinds=kinds)
    judged = [Judgement.from_json(row) for row in read_rows(tmp_path / "run" / "label.jsonl")]
    for judgement, made in zip(judged, preferences(tmp_path / "run"), strict=True):
        p = {id: _p(judgement, id) for id in {vote.principle_id for vote in judgement.votes}}
        weights = {"a": 9.0, "b": 1.0} if judgement.prompt.kind == "red_team" else dict.fromkeys(p, 1.0)
        assert len(p) == 2
        wanted = sum(weights[id] * one for id, one in p.items()) / sum(weights.values())
        assert made.p_a == pytest.approx(wanted)


def _p(judgement: Judgement, principle: str) -> float:
    import math

    logit = sum(vote.logit for vote in judgement.votes if vote.principle_id == principle) / 2
    return 1 / (1 + math.exp(-logit))


# ------------------------------------------------------------------------------------------------------- reasoning


def test_reasonings_are_kept_in_their_votes_and_labels_are_clamped(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts, label__reasoning_samples=2, label__principles_per_pair=2)
    assert calls(summary)["reason"] == 12 * 2 * 2 * 2
    thoughts = [Deliberation.from_json(row) for row in read_rows(tmp_path / "run" / "reason.jsonl")]
    judged = [Judgement.from_json(row) for row in read_rows(tmp_path / "run" / "label.jsonl")]
    for thought, judgement in zip(thoughts, judged, strict=True):
        assert thought.id == judgement.id and len(judgement.votes) == 2 * 2 * 2
        assert [one.text for one in thought.reasonings] == [vote.rationale for vote in judgement.votes]
        assert Counter((vote.order, vote.sample) for vote in judgement.votes) == {
            (order, n): 2 for order in ("ab", "ba") for n in (0, 1)
        }  # fmt: skip
    low, high = REASONED_CLAMP
    found = [one.p_a for one in preferences(tmp_path / "run")]
    assert all(low <= p <= high for p in found) and {low, high} & set(found)


def test_reasoning_goes_on_where_it_was_stopped_and_is_replayed_byte_for_byte(tmp_path: Path, prompts: Path) -> None:
    more = {"label__reasoning_samples": 2}
    with pytest.raises(EngineError, match="stopped after 20 answers"):
        fake_run(tmp_path / "one", prompts, judge="fake?crash=20", **more)
    [begun] = [row for row in run_status(tmp_path / "one") if "kept" in row]
    assert (begun["step"], begun["kept"], begun["expected"]) == ("reason", 20, 48)
    assert "begun: 20 of about 48 answers kept" in invoke("status", str(tmp_path / "one")).stdout
    summary = fake_run(tmp_path / "one", prompts, **more)
    reason = next(one for one in summary["stages"] if one["step"] == "reason")
    assert (reason["calls_made"], reason["calls_saved"]) == (28, 20)
    assert "kept" not in str(run_status(tmp_path / "one"))
    again = fake_run(tmp_path / "two", prompts, **more)
    assert calls(again) == {} and all_files(tmp_path / "one") == all_files(tmp_path / "two")


def test_another_reasoning_is_only_asked_where_it_is_new(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "run", prompts, label__reasoning_samples=1)
    assert calls(fake_run(tmp_path / "run", prompts, label__reasoning_samples=2)) == {"reason": 24, "label": 24}
    assert calls(fake_run(tmp_path / "run", prompts)) == {"label": 24}


def test_a_judge_without_log_probabilities_is_read_by_what_it_states(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(
        tmp_path / "run", prompts, judge="fake?scores=0", label__reasoning_samples=5, preferences__mass_floor=0.1
    )
    assert summary["label"]["verdicts"] == "the verdicts of 5 reasonings an order"
    assert "label" not in calls(summary)
    for row in read_rows(tmp_path / "run" / "label.jsonl"):
        assert all(sum(vote["counts"]) <= 1 for vote in row["votes"])
    assert 3.0 < summary["label"]["sampled"]["verdicts_a_vote"] <= 5.0


def test_a_hosted_judge_that_states_its_verdict_in_its_own_words_labels(tmp_path: Path, prompts: Path) -> None:
    """It takes the second answer, and only where it is told to end with a verdict does it state one at all."""
    pytest.importorskip("openai")

    def answer(path: str, body: Json) -> Json:
        told = "says only Answer: (A) or Answer: (B)." in body["messages"][-1]["content"]
        return chat_answer("Both speak of it.\n\nSo Response (B) is better." if told else "Both speak of it.")

    with Loopback() as server:
        server.answer = answer
        judge = f"openai/tiny@{server.url}"
        summary = fake_run(tmp_path / "run", prompts, judge=judge, label__reasoning_samples=1, max_rejected=0.0)
    rows = list(read_rows(tmp_path / "run" / "label.jsonl"))
    assert len(preferences(tmp_path / "run")) == len(rows) == 12
    assert {(vote["order"], tuple(vote["counts"]), vote["mass"]) for row in rows for vote in row["votes"]} == {
        ("ab", (0, 1), 1.0), ("ba", (1, 0), 1.0),
    }  # fmt: skip
    assert summary["label"]["verdicts"] == "the verdicts of 1 reasoning an order"


def test_sampled_votes_say_how_sure_they_are(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts, judge="fake?scores=0", preferences__weight="certainty")
    weights = [one.weight for one in preferences(tmp_path / "run")]
    assert all(0.5 < weight < 1.0 for weight in weights)
    assert summary["label"]["verdicts"] == "8 samples an order"
    assert 0.2 < summary["label"]["sampled"]["interval_width"] < 0.8


# --------------------------------------------------------------------------------------------- rankings and rubrics


def ranked_run(folder: Path, prompts: Path, pairs: int | str, **settings: Any) -> tuple[Json, list[Ranking]]:
    summary = fake_run(folder, prompts, sample__num_samples=4, label__pairs=pairs, until="rankings", **settings)
    return summary, [Ranking.from_json(row) for row in read_rows(folder / "rankings.jsonl")]


def test_four_answers_and_four_comparisons_make_a_ranking_of_every_prompt(tmp_path: Path, prompts: Path) -> None:
    summary, found = ranked_run(tmp_path / "run", prompts, 4)
    candidates = {row["prompt"]["id"]: row["responses"] for row in read_rows(tmp_path / "run" / "sample.jsonl")}
    assert len(found) == 12 and calls(summary)["label"] == 12 * 4 * 2
    for one in found:
        assert sorted(one.responses) == sorted(candidates[one.prompt.id]) and one.comparisons == 4
        assert sorted(one.ranks) == [1, 2, 3, 4]
        assert one.scores[one.ranks.index(1)] == max(one.scores) and sum(one.scores) == pytest.approx(0, abs=1e-4)


def test_how_common_ties_are_is_read_from_prompts_of_the_whole_run(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def strength(some: Any) -> float:
        asked.append([one.prompt.id for one in some])
        return 0.5

    monkeypatch.setattr(label_work, "FITTED", 4)
    monkeypatch.setattr(label_work, "tie_strength", strength)
    _, found = ranked_run(tmp_path / "run", prompts, 4)
    [drawn] = asked
    assert len(drawn) == 4 and not {*drawn} <= {one.prompt.id for one in found[:4]}


def test_all_pairs_tell_circles_and_more_pairs_keep_the_fewer(tmp_path: Path, prompts: Path) -> None:
    ranked_run(tmp_path / "run", prompts, 4)
    summary, _ = ranked_run(tmp_path / "run", prompts, "all")
    assert calls(summary) == {"label": 12 * 2 * 2}
    figures = summary["label"]
    assert figures["triples"] == 12 * 4 and 0 < figures["cyclic_share"] < 0.5


def test_too_few_comparisons_are_no_ranking_and_are_counted(tmp_path: Path, prompts: Path) -> None:
    summary, found = ranked_run(tmp_path / "run", prompts, 2)
    step = next(one for one in summary["stages"] if one["step"] == "rankings")
    assert found == [] and sum(step["left_out"].values()) == 12
    assert any("do not connect" in reason or "two answers" in reason for reason in step["left_out"])


def test_two_answers_need_no_ranking(tmp_path: Path, prompts: Path) -> None:
    summary = fake_run(tmp_path / "run", prompts)
    assert "rankings" not in {one["step"] for one in summary["stages"]}


def test_rubrics_have_a_file_of_their_own_and_touch_nothing_else(tmp_path: Path, prompts: Path) -> None:
    fake_run(tmp_path / "one", prompts)
    summary = fake_run(tmp_path / "two", prompts, rubric__principles_per_answer="all")
    assert calls(summary) == {"rubric": 12 * 2 * 16}
    rows = [Graded.from_json(row) for row in read_rows(tmp_path / "two" / "rubric.jsonl")]
    assert len(rows) == 24 and all(len(one.grades) == 16 for one in rows)
    one, two = all_files(tmp_path / "one"), all_files(tmp_path / "two")
    card = "datasets/README.md"
    assert one.pop(card) != two[card], "the card tells of the step"
    assert {name: two[name] for name in one} == one
    assert summary["rubric"]["answers"] == 24 and len(summary["rubric"]["principles"]) == 16
    assert rubric_lines(summary["rubric"])[-1].strip() == f"read from {summary['rubric']['verdicts']}"
    assert summary["rubric"]["verdicts"] == "log-probabilities of 'Yes' and 'No', one token each"
    shown = invoke("show", str(tmp_path / "two"), "rubric", "-n", "1").stdout
    assert shown.count("p(yes)") == 16


def test_answers_that_were_never_graded_are_counted_as_abstained(tmp_path: Path, prompts: Path) -> None:
    judge = {"judge": "fake?fail=0.3", "max_rejected": 1.0}
    summary = fake_run(tmp_path / "run", prompts, rubric__principles_per_answer=1, **judge)
    lost = len(list(read_rows(tmp_path / "run" / "rubric.rejected.jsonl")))
    assert summary["rubric"]["kinds"] == {"red_team": {"answers": 24, "abstained": lost}} and lost > 0


def test_a_constitution_without_rubrics_cannot_be_graded_by_and_that_is_told_first(
    tmp_path: Path, prompts: Path
) -> None:
    mine = constitution_file(tmp_path)
    value = yaml.safe_load(mine.read_text())
    value["principles"][1].pop("rubric")
    mine.write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(InputError, match="has no 'rubric', which this run needs"):
        fake_run(tmp_path / "run", prompts, constitution=str(mine), rubric__principles_per_answer=1)
    assert not (tmp_path / "run").exists()
    assert calls(fake_run(tmp_path / "run", prompts, constitution=str(mine)))["label"] > 0


# ---------------------------------------------------------------------------------------------- abstentions and mix


def test_pairs_without_an_answer_are_counted_by_kind_and_by_reason(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, red_team=40, helpful=40)
    summary = fake_run(tmp_path / "run", prompts, judge="fake?fail=0.1", sample__kinds=["red_team", "helpful"])
    figures = summary["label"]
    step = next(one for one in summary["stages"] if one["step"] == "label")
    assert (
        step["rejected"] == sum(figures["abstained"].values()) == sum(figures["abstained_why"]["not answered"].values())
    )
    rejected = Counter(row["record"]["prompt"]["kind"] for row in read_rows(tmp_path / "run" / "label.rejected.jsonl"))
    assert figures["abstained"] == rejected and len(rejected) == 2
    assert {kind: one["pairs"] for kind, one in figures["kinds"].items()} == {"red_team": 40, "helpful": 40}
    assert figures["pairs"] == 80 == len(preferences(tmp_path / "run")) + step["rejected"]


def test_what_nobody_could_read_is_printed_by_kind(tmp_path: Path, prompts: Path) -> None:
    out = tmp_path / "run"
    done = invoke(
        "run", "--model", "fake", "--judge", "fake?fail=0.2", "--prompts", str(prompts), "--out", str(out),
        "--set", "train=[]", "--set", "sample.policy=base", "--set", "max_rejected=1.0", "--set", "critique.rounds=1",
    )  # fmt: skip
    assert done.exit_code == 0
    [line] = [line for line in done.stdout.splitlines() if line.startswith("abstained")]
    count = json.loads((out / "metrics" / "label.json").read_text())["abstained"]["red_team"]
    assert f"{count} of 12 red_team ({count} not answered)" in line
    assert "read from log-probabilities of (A) and (B), one token each" in done.stdout


def test_human_labels_are_mixed_in_by_the_stated_share_and_keep_their_source(tmp_path: Path, prompts: Path) -> None:
    human = human_file(tmp_path, 200)
    summary = fake_run(tmp_path / "run", prompts, preferences__human=[str(human)], preferences__human_share=0.4)
    found = preferences(tmp_path / "run")
    counts = Counter(one.source for one in found)
    assert counts["ai"] == 12 and counts["human"] / len(found) == pytest.approx(0.4, abs=0.06)
    assert [one.source for one in found] == ["ai"] * 12 + ["human"] * counts["human"]
    entry = Run.existing(tmp_path / "run").steps["preferences"]
    assert entry["rows"] == len(found) and entry["human"][str(human)]["kept"] == 200
    assert sum(one["human"] for one in entry["mix"]["splits"].values()) == counts["human"]
    assert summary["label"]["pairs"] == 12, "the judge's figures are its own"
    exported = [
        json.loads(line) for line in (tmp_path / "run/datasets/preference/train.jsonl").read_text().splitlines()
    ]
    assert {row["source"] for row in exported} == {"ai", "human"}


def test_a_human_pair_in_two_files_counts_once_by_the_mean_of_its_labels(tmp_path: Path, prompts: Path) -> None:
    first, again = human_file(tmp_path, 6), human_file(tmp_path, 8, "again.jsonl")
    rows = [json.loads(line) for line in again.read_text().splitlines()]
    rows[0] |= {"chosen": rows[0]["rejected"], "rejected": rows[0]["chosen"]}
    again.write_text("".join(json.dumps(one) + "\n" for one in rows))
    fake_run(tmp_path / "run", prompts, preferences__human=[str(first), str(again)], until="preferences")
    people = [one for one in preferences(tmp_path / "run") if one.source == "human"]
    assert len(people) == 8 and sorted(one.p_chosen for one in people) == [0.5, *[1.0] * 7]
    entry = Run.existing(tmp_path / "run").steps["preferences"]
    assert "preferences.human: 6 pairs are there twice, and counted once" in entry["notes"]
    assert sum(one["available"] for one in entry["mix"]["splits"].values()) == 8


def model_file(folder: Path, count: int = 10) -> Path:
    """Pairs of our own format whose rows say that a model ranked them."""
    path = folder / "model.jsonl"
    rows = [
        {"prompt": f"How do I sew {n} hems?", "response_a": "so", "response_b": "no", "p_a": 0.9, "source": "ai"}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("people", [0, 6])
def test_labels_of_human_files_that_a_model_gave_are_not_told_as_human(
    tmp_path: Path, prompts: Path, people: int
) -> None:
    files = [str(model_file(tmp_path, 1 if people else 10)), *([str(human_file(tmp_path, people))] if people else [])]
    summary = fake_run(tmp_path / "run", prompts, preferences__human=files)
    found, entry = preferences(tmp_path / "run"), Run.existing(tmp_path / "run").steps["preferences"]
    by_model, drawn = (1, 7) if people else (10, 10)
    assert Counter(one.source for one in found) == {"ai": 12 + by_model} | ({"human": people} if people else {})
    assert entry["mix"]["by_model"] == by_model and entry["mix"]["share"] == pytest.approx(drawn / (12 + drawn))
    said = {
        0: "10 of the 10 labels mixed in say that a model ranked them (source: ai), and count as AI labels, "
           "not as people's",
        6: "1 of the 7 labels mixed in says that a model ranked it (source: ai), and counts as an AI label, "
           "not as a person's",
    }[people]  # fmt: skip
    assert f"preferences.human: {said}" in entry["notes"]
    [line] = _mix(summary["label"]["mix"])
    assert line.split(" (")[0] == "mix          12 labels of this run's judge and " + (
        "7 from preferences.human, 1 of which says that a model ranked it"
        if people
        else "10 from preferences.human, all of which say that a model ranked them"
    )
    card = (tmp_path / "run/datasets/README.md").read_text(encoding="utf-8")
    assert f"Of the labels whose `source` is `ai`, {by_model} came with their pairs" in card
    assert ("labels were given by people" in card) is bool(people)


def test_pairs_beyond_the_share_that_a_model_ranked_are_not_told_as_human(tmp_path: Path, prompts: Path) -> None:
    share = {"preferences__human": [str(model_file(tmp_path, 40))], "preferences__human_share": 0.1}
    fake_run(tmp_path / "run", prompts, until="preferences", **share)
    left_out = Run.existing(tmp_path / "run").steps["preferences"]["left_out"]
    assert left_out and all(why.endswith(" pairs of preferences.human beyond the share") for why in left_out)


def test_labels_that_a_model_gave_before_the_run_are_exported_without_votes(tmp_path: Path, prompts: Path) -> None:
    """They have no votes and no grades in the run, and are held against files that must stay unseen, like people's."""
    formats = {"export__formats": ["native", "unpaired_preference"], "export__files": ["jsonl"]}
    settings: dict[str, Any] = {"constitution": "minimal", "rubric__principles_per_answer": "all", **formats}
    run, bench = tmp_path / "run", tmp_path / "bench.txt"
    fake_run(run, prompts, preferences__human=[f"{model_file(tmp_path)}?split=train"], **settings)
    found = {
        name: [row for path in (run / "datasets" / name).glob("t*.jsonl") for row in read_rows(path)]
        for name in ("native", "unpaired_preference")
    }
    assert len(found["native"]) == 22 and sum(not row["votes"] for row in found["native"]) == 10
    assert Counter(row["label_from"] for row in found["unpaired_preference"])["pair"] == 20
    bench.write_text("How do I sew 3 hems?\n", encoding="utf-8")
    done = invoke("export", str(run), "--format", "preference", "--decontaminate", str(bench), "--json")
    assert json.loads(done.stdout)["formats"]["preference"]["left_out"]["contaminated"] == 1


def test_who_rows_name_as_annotator_is_counted_by_label(tmp_path: Path, prompts: Path) -> None:
    annotated = tmp_path / "ae.json"
    rows = [
        {"instruction": f"Sew {n}?", "output_1": "a", "output_2": "b", "preference": 1, "annotator": "gpt-4"}
        for n in range(9)
    ]
    del rows[0]["annotator"]
    annotated.write_text(json.dumps([*rows, rows[1] | {"annotator": "me"}]), encoding="utf-8")
    fake_run(tmp_path / "run", prompts, preferences__human=[str(annotated), str(human_file(tmp_path, 5))])
    entry = Run.existing(tmp_path / "run").steps["preferences"]
    assert entry["mix"]["annotators"] == {"gpt-4": 8, "me": 1} and entry["mix"]["by_model"] == 0
    assert [one["used"] for one in entry["human"].values()] == [9, 5]
    card = (tmp_path / "run/datasets/README.md").read_text(encoding="utf-8")
    assert "14 labels count as given by people, of which 8 say that `gpt-4` ranked them, 1 that `me` did." in " ".join(
        card.split()
    )
    assert "| `ae.json` | 10 | 9 | 9 | – |" in card and "| `human.jsonl` | 5 | 5 | 5 | – |" in card


def test_human_pairs_that_lack_on_one_side_and_are_too_many_on_the_other_are_told_by_side(
    tmp_path: Path, prompts: Path
) -> None:
    many, few = human_file(tmp_path, 40), human_file(tmp_path, 1, "few.jsonl")
    few.write_text(few.read_text().replace("scarf", "shawl"))
    done = invoke(
        "run", "--model", "fake", "--prompts", f"{prompts}?split=test", "--out", str(tmp_path / "run"),
        "--set", f'preferences.human=["{many}?split=train", "{few}?split=test"]', "--until", "preferences",
        "--set", "preferences.human_share=0.5", "--set", "train=[]", "--set", "sample.policy=base",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "left out: 40 human train pairs beyond the share" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("mix ")]
    assert line.endswith("50.0% asked on each side of the split; 11 more test pairs would be needed)")


def test_a_human_share_of_no_human_pairs_is_noted(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    summary = fake_run(tmp_path / "run", prompts, until="respond", preferences__human_share=0.4)
    said = "preferences.human_share changes nothing without preferences.human, the files of pairs that people ranked"
    assert summary["notes"] == [said]
    human = {"preferences__human": [str(human_file(tmp_path))], "preferences__human_share": 0.4}
    assert fake_run(tmp_path / "run", prompts, until="respond", **human)["notes"] == []
    command = ["plan", "--model", "fake", "--prompts", str(prompts), "--out", str(tmp_path / "new"), "--probe", "0"]
    plan = invoke(*command, "--set", "preferences.human_share=0.4", "--until", "respond")
    assert said in plan.stdout


def test_no_prompt_is_on_both_sides_of_the_split(tmp_path: Path, prompts: Path) -> None:
    human = tmp_path / "same.jsonl"
    rows = [{**json.loads(line), "chosen": "gladly", "rejected": "no"} for line in prompts.read_text().splitlines()]
    human.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fake_run(tmp_path / "run", prompts, preferences__human=[f"{human}?split=test"])
    found = preferences(tmp_path / "run")
    sides = {}
    for one in found:
        assert sides.setdefault(opening_turn(one.prompt.messages), one.prompt.split) == one.prompt.split
    assert Counter(one.source for one in found) == {"ai": 12, "human": 16}
    assert {one.prompt.split for one in found} == {"train", "test"}


def test_a_prompt_that_one_human_file_holds_out_is_on_no_other_side(tmp_path: Path, prompts: Path) -> None:
    one, other = human_file(tmp_path, 6, "one.jsonl"), human_file(tmp_path, 2, "other.jsonl")
    other.write_text(other.read_text().replace("gladly", "with pleasure"))
    fake_run(tmp_path / "run", prompts, preferences__human=[f"{one}?split=train", f"{other}?split=test"])
    sides = Counter(
        (pair.prompt.messages[0].content, pair.prompt.split)
        for pair in preferences(tmp_path / "run")
        if pair.source == "human"
    )
    asked = [f"How do I knit a scarf of {n} rows?" for n in range(6)]
    assert sides == {(text, "test"): 2 for text in asked[:2]} | {(text, "train"): 1 for text in asked[2:]}


def test_the_worlds_ranked_answers_are_mixed_in_by_name_and_never_drown_the_judges(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embedded").write_text("no file of pairs")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: rl-cai\npreferences: {human: [embedded]}\n")
    assert load_recipe(str(recipe)).preferences.human == ("embedded",)
    monkeypatch.chdir(tmp_path)
    fake_run(tmp_path / "run", prompts, preferences__human=["embedded?tags=x"], preferences__human_share=0.33)
    found = preferences(tmp_path / "run")
    counts = Counter(one.source for one in found)
    assert counts["ai"] == 12 and 4 <= counts["human"] <= 8
    ranked = {json.loads(line)["chosen"] for line in people_path().read_text(encoding="utf-8").splitlines()}
    assert all(one.chosen in ranked for one in found if one.source == "human")
    mix = Run.existing(tmp_path / "run").steps["preferences"]["mix"]
    card = (tmp_path / "run/datasets/README.md").read_text(encoding="utf-8")
    assert f"{counts['human']} labels were given by the rules of the embedded world" in card
    assert mix["by"] == "rules" and "by the embedded world's rules" in _mix(mix)[0]


def test_a_bad_human_file_is_told_before_anything_is_asked(tmp_path: Path, prompts: Path) -> None:
    human = human_file(tmp_path)
    human.write_text(human.read_text() + '{"prompt": "x", "chosen": "y"}\n')
    log = tmp_path / "log"
    with pytest.raises(InputError, match=r"human\.jsonl:61: no column 'rejected'"):
        fake_run(tmp_path / "run", prompts, f"fake?log={log}", preferences__human=[str(human)])
    assert not log.exists() and not (tmp_path / "run").exists()


def test_an_edited_human_file_makes_the_labels_stale_and_nothing_else(tmp_path: Path, prompts: Path) -> None:
    human = human_file(tmp_path)
    fake_run(tmp_path / "run", prompts, preferences__human=[str(human)])
    human_file(tmp_path, 61)
    why = {row["step"]: row["why"] for row in run_status(tmp_path / "run") if row["stale"]}
    assert set(why) == {"preferences", "export"} and "human" in why["preferences"]
    assert calls(fake_run(tmp_path / "run", prompts, preferences__human=[str(human)])) == {}


def test_human_files_in_a_recipe_are_found_beside_it(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    human_file(tmp_path / "here")
    recipe = tmp_path / "here" / "mine.yaml"
    recipe.write_text(
        "extends: rl-cai\nmodel: fake\ntrain: []\nsample: {policy: base}\nprompts: [../prompts.jsonl]\n"
        "preferences: {human: ['human.jsonl?kind=helpful'], human_share: 0.3}\n"
    )
    monkeypatch.chdir(tmp_path)
    done = invoke("run", "--recipe", "here/mine.yaml", "--out", "run")
    assert done.exit_code == 0 and "% human, 30.0% asked" in done.stdout
