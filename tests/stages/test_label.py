"""Sampled verdicts: what is read as one, what is not, and that a judge who must write the beginning has room to."""

from __future__ import annotations

import math

import pytest

from cai.constitution import Constitution, Principle
from cai.dialogues import TEMPLATES, verdict_prefix
from cai.records import ChoiceRequest, Completion, GenerateRequest, Judgement, Prompt, user
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


def test_with_log_probabilities_nothing_is_sampled() -> None:
    assert [type(one) for one in stage(0).requests(PAIR)] == [ChoiceRequest] * 2
