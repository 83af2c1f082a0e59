"""Sampled verdicts: what is read as one, what is not, and that a judge who must write the beginning has room to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cai.constitution import Constitution, Principle
from cai.dialogues import NAMINGS, TEMPLATES, ComparisonExample, Naming, verdict_prefix
from cai.records import ChoiceRequest, ChoiceScores, Completion, GenerateRequest, Judgement, Prompt, Vote, user
from cai.stages.label import VERDICT_TOKENS, Label, read_verdict


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A)", "A"),
        ("B) is less harmful.", "B"),
        ("A", "A"),
        (" B\n\nHuman: and now", "B"),
        ("A. It names the risk.", "A"),
        ("B, because it is kinder", "B"),
        ("A: it is kinder", "A"),
        ("(A)", "A"),
        ("\n(B) is better than (A)", "B"),
        ("(B", "B"),
        ("The answer is: (A)", "A"),
        ("The answer is: (B", "B"),
        ("the answer is B.", "B"),
        ("Answer: (A). It is kinder.", "A"),
        ("Answer: B", "B"),
        ("**A**", "A"),
        ("**Answer:** (B)", "B"),
        ("A, A is kinder", "A"),
        ("(A), while (B) helps with harm", "A"),
        ("(B) A kinder answer.", "B"),
        ("(A) because (B) is rude", "A"),
        ("(A) is not harmful. (B) is.", "A"),
        ("(A) is worse than (B)", None),
        ("(A) is clearly the worse one", None),
        ("(A) is not the better one", None),
        ("(A)? No, (B).", None),
        ("(A) - no wait, (B)", None),
        ("(A) or maybe (B)", None),
        ("(A). Wait, it is (B)", None),
        ("(A). It is no worse than (B)", "A"),
        ("(A). No, rather (B)", None),
        ("A, not B", "A"),
        ("(B), not (A)", "B"),
        ("A better choice is B", None),
        ("A is better", None),
        ("B or A", None),
        ("A and B are equal", None),
        ("A, B", None),
        ("A, or B", None),
        ("A/B", None),
        ("(A) and (B) are equal.", None),
        ("(A)/(B)", None),
        ("both", None),
        ("Both A and B", None),
        ("Neither.", None),
        ("a)", None),
        ("a", None),
        ("AB", None),
        ("A's tone is kinder", None),
        ("Answers differ: A", None),
        ("The answer is: A good one", None),
        ("The answer is not (A)", None),
        ("I think (A)", None),
        ("C)", None),
        ("()", None),
        ("", None),
    ],
)
def test_verdicts(text: str, label: str | None) -> None:
    assert read_verdict(text) == label


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_templates_own_beginning_may_be_repeated(template: str) -> None:
    prefix = verdict_prefix(template)  # type: ignore[arg-type]
    assert [read_verdict(f"{prefix}{label}){rest}") for label in "AB" for rest in ("", " Because")] == [*"AABB"]


def stage(samples: int) -> Label:
    principle = Principle("kind", comparison="Which is kinder?")
    return Label(Constitution("test", (principle,)), fallback_samples=samples)


PAIR = Judgement(Prompt.make((user("Hello"),)), "one", "other", ())


def test_samples_are_counted_and_unread_ones_lower_the_mass() -> None:
    label = stage(5)
    requests = label.requests(PAIR)
    assert len(requests) == 10 and len({request.seed for request in requests}) == 10  # type: ignore[union-attr]
    assert all(isinstance(one, GenerateRequest) and one.sampling.max_tokens >= 12 for one in requests)
    texts = ["A)", "The answer is: (A", "A better choice", "both", "B."] + ["B or A"] * 5
    answers = [Completion(text, "length", 9, VERDICT_TOKENS) for text in texts]
    ab, ba = label.parse(PAIR, answers).votes  # type: ignore[arg-type]
    assert (ab.order, ab.mass) == ("ab", 3 / 5) and (ba.order, ba.mass) == ("ba", 0.0)
    assert math.exp(ab.logprob_a) == pytest.approx(3 / 5) and math.exp(ab.logprob_b) == pytest.approx(2 / 5)
    assert ba.logprob_a == ba.logprob_b == pytest.approx(math.log(1 / 2))


NO = "I'm sorry, but I can't choose between these."


def test_a_judge_that_says_no_is_told_from_one_that_says_nothing_clear() -> None:
    texts = [NO, "Hm.", "I must decline.", "Well...", "So?", "Both."]
    ab, ba = stage(3).parse(PAIR, [Completion(text, "stop", 9, 9) for text in texts]).votes
    assert (ab.refused, ab.mass, ba.refused, ba.mass) == (True, 0.0, False, 0.0)
    assert Vote.from_json(ab.to_json()) == ab and "refused" not in ba.to_json()
    texts = [NO, "A)", "(B)", "B)", "B)", "B)"]
    ab, ba = stage(3).parse(PAIR, [Completion(text, "stop", 9, 9) for text in texts]).votes
    assert not ab.refused and ab.counts == (1, 1), "what could be read counts"


def test_with_log_probabilities_nothing_is_sampled() -> None:
    assert [type(one) for one in stage(0).requests(PAIR)] == [ChoiceRequest] * 2


def test_counts_are_kept_for_the_answers_whatever_the_order() -> None:
    label = stage(4)
    texts = ["A)", "A)", "A)", "what?", "A)", "B)", "B)", "B)"]
    ab, ba = label.parse(PAIR, [Completion(text, "stop", 9, 3) for text in texts]).votes
    assert (ab.counts, ba.counts) == ((3, 0), (3, 1))
    assert math.exp(ab.logprob_a) == pytest.approx(4 / 5) and math.exp(ba.logprob_a) == pytest.approx(4 / 6)
    assert Vote.from_json(ba.to_json()) == ba and "counts" in ba.to_json()


def test_a_vote_from_log_probabilities_is_written_as_before() -> None:
    ab, _ = stage(0).parse(PAIR, [ChoiceScores((-0.1, -3.0), 9)] * 2).votes
    assert ab.counts is None and "counts" not in ab.to_json() and Vote.from_json(ab.to_json()) == ab


@pytest.mark.parametrize("naming", NAMINGS, ids=str)
@pytest.mark.parametrize("template", TEMPLATES)
def test_other_names_change_heads_examples_and_choices_alike(template: str, naming: Naming) -> None:
    worked = ComparisonExample((user("Hi"),), "Which is kinder?", "no", "yes", "b")
    label = replace(stage(0), template=template, examples=(worked,), naming=naming)  # type: ignore[arg-type]
    ab, ba = label.requests(PAIR)
    assert isinstance(ab, ChoiceRequest) and ab.choices == naming.choices
    question, verdict, asked = (message.content for message in ab.messages)
    one, two = naming.shown
    assert question.index(one) < question.index("no") < question.index(two) < question.index("yes")
    assert asked.index("one") < asked.index("other")
    assert verdict.startswith(ab.prefix + naming.choices[1]) and verdict.endswith(two)
    assert ba.messages[-1].content.index("other") < ba.messages[-1].content.index("one")


def test_the_default_names_are_asked_for_as_ever() -> None:
    [request, _] = stage(0).requests(PAIR)
    assert (request.prefix, request.choices) == ("Answer: (", ("A", "B"))  # type: ignore[union-attr]
    assert "Response (A): one\n\nResponse (B): other" in request.messages[-1].content
