"""Verdicts that judges state in words of their own: what is read as one, and what is too unclear to be."""

from __future__ import annotations

import re

import pytest

from cai.dialogues import TEMPLATES, verdict_prefix
from cai.stages.stated import stated_verdict

WEIGHED = "Response (A) tells how to do it, and names no risk. Response (B) declines and offers help.\n\n"
CLEAR = [
    ("Answer: (B)", "B"),
    ("Answer: B", "B"),
    ("Answer: B.", "B"),
    ("Answer: B because it is kinder.", "B"),
    ("Answer: (A)\n\n(B) is worse because it lies.", "A"),
    ("Answer: (B), because (A) gives a recipe.", "B"),
    ("Answer: (B) is less harmful than (A).", "B"),
    ("Answer: Response (B)", "B"),
    ("Answer: Response (B) is better.", "B"),
    ("**Answer:** (B)", "B"),
    ("**Answer: (B)**", "B"),
    ("**Answer:** **(B)**", "B"),
    ("Answer: **B**", "B"),
    ("`Answer: (B)`", "B"),
    ("### Final answer: (B)", "B"),
    ("**Final Verdict:** Response (B)", "B"),
    ("My choice: (A)", "A"),
    ("Better response: (A)", "A"),
    ("So the answer is: (A)", "A"),
    ("The answer is (A).", "A"),
    ("The answer is **(A)**", "A"),
    ("the answer is therefore Response (A).", "A"),
    ("Therefore, my final answer is B.", "B"),
    ("The better response is (A).", "A"),
    ("Thus the preferred answer is **Response (A)**.", "A"),
    ("It says more of the risk, so Response (B) is better.", "B"),
    ("Response (B) is better.", "B"),
    ("**Response (B)** is better.", "B"),
    ("Response B is clearly the better choice.", "B"),
    ("(B) is better", "B"),
    ("B is better.", "B"),
    ("Overall, I believe that Response (B) is the better response overall.", "B"),
    ("Response (B) is better than Response (A).", "B"),
    ("Response (B) is better because Response (A) gives a recipe.", "B"),
    ("Response (B) is better. It does no harm.", "B"),
    ("While Response (A) is longer, Response (B) is better.", "B"),
    ("Because it does no harm, Response (B) is preferable.", "B"),
    ("Response (A) is rude, so Response (B) is better.", "B"),
    ("Response (A) wins.", "A"),
    ("I would choose Response (A).", "A"),
    ("I'd go with (A)!", "A"),
    ("I prefer (B) over (A).", "B"),
    ("Is Response (A) better? No. Response (B) is better.", "B"),
    ("(B)", "B"),
    ("**B**", "B"),
    ("Response (B)", "B"),
    ("If facts counted most, the answer is (A). But kindness does.\n\nAnswer: (B)", "B"),
]
UNCLEAR = [
    "",
    "It ends without a verdict.",
    "Answer: neither.",
    "Answer: both",
    "Answer: (A) and (B)",
    "Answer: (A)/(B)",
    "Answer: A, B",
    "Answer: A better one could be found.",
    "Answer: (A) is worse, (B) is better.",
    "Answer: (A)\n\nOn reflection:\n\nAnswer: (B)",
    "Answer: (A)\n\nNo: Response (B) is better.",
    "Both responses are fine.",
    "Neither Response (A) nor Response (B) is better.",
    "Response (A) and Response (B) are equal.",
    "(A) or (B)",
    "It is hard to say whether Response (B) is better.",
    "I do not think that Response (B) is better.",
    "I don't believe, all in all, that (B) is better.",
    "One might say that Response (B) is better.",
    "Response (B) is not better.",
    "Response (B) is better?",
    "Response (B) is better written.",
    "Response (B) is better-written.",
    "Response (B) is better in tone.",
    "Response (B) is better, but not by much.",
    "Response (B) is better. However, it lies.",
    "Response (B) is better. Response (A) is more honest.",
    "Response (A) is better for experts, and Response (B) is better.",
    "(A) is better for experts, (B) is better.",
    "For experts Response (A), for others Response (B) is better.",
    "Response (A) is better. Response (B) is better.",
    "I choose (A). Response (B) is better.",
    "If you want facts, Response (A) is better.",
    "The answer is not (A).",
    "I wouldn't choose Response (A).",
    "The answer is (A) or (B).",
    "Response (A) says that the answer is (B).",
    "Response (B) is better.\n\nThis is what the question comes down to.",
    "Response (A) is harmful.",
    "Conclusion: Response (A) is harmful.",
    "Answer (A) is harmful.",
]


@pytest.mark.parametrize("before", ["", WEIGHED], ids=["alone", "reasoned"])
@pytest.mark.parametrize(("text", "label"), CLEAR)
def test_a_verdict_is_found_in_the_usual_forms(before: str, text: str, label: str) -> None:
    assert stated_verdict(before + text) == label
    swapped = re.sub(r"\b[AB]\b", lambda match: "BA"[match[0] == "B"], before + text)
    assert stated_verdict(swapped) == "BA"[label == "B"]


@pytest.mark.parametrize("before", ["", WEIGHED], ids=["alone", "reasoned"])
@pytest.mark.parametrize("text", UNCLEAR)
def test_what_is_unclear_is_no_verdict(before: str, text: str) -> None:
    assert stated_verdict(before + text) is None


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("label", ["A", "B"])
def test_the_form_that_is_asked_for_is_read_even_of_a_text_that_was_cut_off(template: str, label: str) -> None:
    asked = f"{WEIGHED}{verdict_prefix(template)}{label})"  # type: ignore[arg-type]
    for rest in ("", ".", " and so on, for it"):
        assert stated_verdict(asked + rest, ended=False) == stated_verdict(asked + rest) == label


def test_what_a_text_said_where_it_was_cut_off_was_not_its_end() -> None:
    for text in ("Response (B) is better", "The answer is (B)", "(B)"):
        assert stated_verdict(WEIGHED + text) == "B"
        assert stated_verdict(WEIGHED + text, ended=False) is None
    assert stated_verdict("**Answer:** (B)\n\nIt has", ended=False) == "B"
