"""Yes and no to one answer: what is asked, what is read, and what becomes of it."""

from __future__ import annotations

import math

import pytest

from cai.constitution import Constitution, Principle
from cai.constitution.principles import Scope
from cai.dialogues import YES_NOS, YesNo
from cai.errors import ParseError
from cai.judge_records import Grade, Graded
from cai.preferences import RubricFigures, p_yes
from cai.records import Candidates, ChoiceRequest, ChoiceScores, Completion, Failure, Prompt, user
from cai.stages.rubric import Rubric
from cai.stages.verdicts import read_yes_no
from tests.golden_files import check_golden

PRINCIPLES = (
    Principle("kind", comparison="Kinder?", rubric="Is it kind? {response}"),
    Principle("true", comparison="Truer?", rubric="Is it true?", weight=3.0),
    Principle("helpful only", comparison="Better?", rubric="Is it useful?", applies_to=Scope(kinds=("helpful",))),
)
CONSTITUTION = Constitution("test", PRINCIPLES)
PROMPT = Prompt.make((user("Hello {response}"),))
ROW = Candidates(PROMPT, ("one", "other", "third")).to_json()


def test_each_answer_is_asked_about_by_itself_under_what_reaches_the_prompt() -> None:
    stage = Rubric(CONSTITUTION)
    answers = list(stage.read(ROW))
    assert [one.response for one in answers] == ["one", "other", "third"]
    requests = stage.requests(answers[1])
    assert [type(one) for one in requests] == [ChoiceRequest] * 2
    assert requests[0].prefix == "Answer:" and requests[0].choices == (" Yes", " No")  # type: ignore[union-attr]
    check_golden("dialogues/rubric.txt", requests[0].messages[0].content + "\n")
    texts = [one.messages[0].content for one in requests]
    assert "third" not in texts[0] and texts[0].split("Question: ")[0] == texts[1].split("Question: ")[0]


def test_answers_of_one_prompt_are_graded_under_the_same_drawn_rubrics() -> None:
    stage = Rubric(CONSTITUTION, 1)
    asked = {tuple(one.id for one in stage.principles(answer)) for answer in stage.read(ROW)}
    assert len(asked) == 1 and len(asked.pop()) == 1


def test_grades_are_kept_raw_and_read_back() -> None:
    stage = Rubric(CONSTITUTION)
    answer = next(iter(stage.read(ROW)))
    scores = [ChoiceScores((math.log(0.6), math.log(0.2)), 9), ChoiceScores((math.log(0.01), math.log(0.04)), 9)]
    graded = stage.parse(answer, scores)  # type: ignore[arg-type]
    assert [(one.principle_id, round(one.mass, 3)) for one in graded.grades] == [("kind", 0.8), ("true", 0.05)]
    assert Graded.from_json(graded.to_json()) == graded and graded.id != answer.prompt.id
    assert p_yes(graded) == pytest.approx(0.75)
    assert p_yes(graded, 0.0, {"kind": 1.0, "true": 3.0}) == pytest.approx((0.75 + 3 * 0.2) / 4)
    with pytest.raises(ParseError, match=r"abstained: no rubric has mass 0\.9"):
        p_yes(graded, 0.9)
    with pytest.raises(ParseError, match="gone"):
        stage.parse(answer, [Failure("gone"), scores[0]])


def test_without_log_probabilities_yes_and_no_are_counted() -> None:
    stage = Rubric(CONSTITUTION, fallback_samples=4)
    answer = next(iter(stage.read(ROW)))
    requests = stage.requests(answer)
    assert len(requests) == 8 == len({one.seed for one in requests})  # type: ignore[union-attr]
    texts = [" Yes", " Yes.", " No", "It depends"] + ["maybe"] * 4
    graded = stage.parse(answer, [Completion(text, "stop", 1, 1) for text in texts])
    assert [one.counts for one in graded.grades] == [(2, 1), (0, 0)]
    assert [one.mass for one in graded.grades] == [0.75, 0.0]
    assert p_yes(graded) == pytest.approx(3 / 5)
    assert Graded.from_json(graded.to_json()) == graded


def test_a_judge_that_refuses_to_grade_is_counted_as_that() -> None:
    stage = Rubric(CONSTITUTION, fallback_samples=2)
    answer = next(iter(stage.read(ROW)))
    figures = RubricFigures()
    for text in ("I'm sorry, but I can't help with that.", "perhaps"):
        graded = stage.parse(answer, [Completion(text, "stop", 1, 1)] * 4)
        assert Graded.from_json(graded.to_json()) == graded
        figures.add(graded, 0.5)
    assert {why: sum(kinds.values()) for why, kinds in figures.to_json()["abstained_why"].items()} == {
        "refused": 1, "unparsed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" Yes", True), ("yes.", True), ("No, it does not", False), ("Answer: Yes", True), ("**No**", False),
        ("(Yes)", True), ("The answer is no.", False), ("Yes and no", None), ("yes/no", None), ("Yes, or no?", None),
        ("No one is harmed", None), ("No harm is done", None), ("no-one", None), ("Yes? Hardly.", None),
        ("Yes\nIt does.", True), ("No It lies.", False), ("no it does not", False), ("Yes it does", True),
        ("Not at all", None), ("Nothing", None), ("yesterday", None), ("I think yes", None), ("", None),
    ],
)  # fmt: skip
def test_yes_and_no(text: str, read: bool | None) -> None:
    assert read_yes_no(text) is read


def graded(p: float, mass: float = 1.0, kind: str = "red_team") -> Graded:
    prompt = Prompt.make((user("Hello"),), kind)  # type: ignore[arg-type]
    return Graded(prompt, "one", (Grade("kind", math.log(mass * p), math.log(mass * (1 - p)), mass),))


def test_figures_are_by_principle_and_abstentions_by_kind() -> None:
    figures = RubricFigures()
    for answer in (graded(0.8), graded(0.6), graded(0.5, 0.1), graded(0.5, 0.1, "helpful")):
        figures.add(answer, 0.5)
    figures.add_unanswered("helpful", "not answered")
    found = figures.to_json()
    assert found["kinds"] == {"helpful": {"answers": 2, "abstained": 2}, "red_team": {"answers": 3, "abstained": 1}}
    assert found["abstained_why"] == {"low mass": {"helpful": 1, "red_team": 1}, "not answered": {"helpful": 1}}
    principle = found["principles"]["kind"]
    assert (principle["asked"], principle["counted"]) == (4, 2)
    assert (principle["p_yes"], principle["mass"]) == (pytest.approx(0.7), pytest.approx(0.55))


@pytest.mark.parametrize("names", YES_NOS, ids=str)
def test_every_way_to_say_it_is_asked_for(names: YesNo) -> None:
    stage = Rubric(CONSTITUTION, yes_no=names)
    [request, _] = stage.requests(next(iter(stage.read(ROW))))
    assert (request.prefix, request.choices) == (names.prefix, names.choices)  # type: ignore[union-attr]
