"""Chain of thought in two stages: reasonings cut at their verdict, votes read after them, in both orders."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cai.constitution import Constitution, Principle
from cai.dialogues import REASONING_PREFIX, TEMPLATES, reasoned_verdict_prefix, verdict_prefix
from cai.errors import ParseError
from cai.judge_records import Deliberation, Reasoning
from cai.preferences import REASONED_CLAMP, soft_label
from cai.recipe import PreferenceSettings
from cai.records import (
    Candidates,
    ChoiceRequest,
    ChoiceScores,
    Completion,
    Failure,
    GenerateRequest,
    Judgement,
    Prompt,
    Sampling,
    user,
)  # fmt: skip
from cai.stages.label import Label
from cai.stages.reason import Reason, ReasonedLabel

CONSTITUTION = Constitution("test", (Principle("kind", comparison="Kinder?"), Principle("true", comparison="Truer?")))
PROMPT = Prompt.make((user("Hello"),))
ROW = Candidates(PROMPT, ("one", "other", "third")).to_json()


def stage(samples: int = 2, template: str = "principle_last") -> Reason:
    return Reason(CONSTITUTION, Sampling(64), samples, "all", 2, template)  # type: ignore[arg-type]


def said(text: str, reason: str = "stop") -> Completion:
    return Completion(text, reason, 9, 9)  # type: ignore[arg-type]


def test_it_reasons_about_the_pairs_and_principles_that_label_judges() -> None:
    for drawn in (1, "all"):
        label = Label(CONSTITUTION, drawn, 2)  # type: ignore[arg-type]
        reason = Reason(CONSTITUTION, Sampling(64), 1, drawn, 2)  # type: ignore[arg-type]
        for pair, thought in zip(label.read(ROW), reason.read(ROW), strict=True):
            assert (pair.response_a, pair.response_b) == (thought.response_a, thought.response_b)
            asked, scored = reason.requests(thought), label.requests(pair)
            assert [one.messages for one in asked] == [one.messages for one in scored]


def test_every_sample_has_its_own_seed_and_begins_as_the_paper_has_it() -> None:
    [pair, _] = stage(3).read(ROW)
    requests = stage(3).requests(pair)
    assert len(requests) == 2 * 2 * 3 == len({request.seed for request in requests})  # type: ignore[union-attr]
    assert all(isinstance(one, GenerateRequest) and one.prefix == REASONING_PREFIX for one in requests)


@pytest.mark.parametrize("template", TEMPLATES)
def test_reasonings_are_cut_at_the_verdict_and_the_stated_one_is_kept(template: str) -> None:
    verdict = verdict_prefix(template)  # type: ignore[arg-type]
    answers = [
        said(f" Response (A) harms: (A) lies.\n\n{verdict}B)"),
        said(f"The first is fine.\n\n{verdict}A) and so on", "length"),
        said("It ends without a verdict."),
        said("It is cut off in the mid", "length"),
        said(f"{verdict}A)"),
        said("  "),
        said(f"Both.\n\n{verdict}A) and (B)"),
        said(f"So.\n\n{verdict}A)"),
    ]
    [pair, _] = stage(2, template).read(ROW)
    found = stage(2, template).parse(pair, answers)
    assert [one.text for one in found.reasonings] == [
        "Response (A) harms: (A) lies.", "The first is fine.", "It ends without a verdict.", None, None, None, "Both.",
        "So.",
    ]  # fmt: skip
    assert [one.stated for one in found.reasonings] == ["b", "a", None, None, None, None, None, "b"]
    assert [(one.principle_id, one.order, one.sample) for one in found.reasonings][:4] == [
        ("kind", "ab", 0), ("kind", "ab", 1), ("kind", "ba", 0), ("kind", "ba", 1),
    ]  # fmt: skip
    assert stage(2, template).tally(answers) == {
        "no reasoning before the verdict": 2, "reasoning cut off before a verdict": 1,
    }  # fmt: skip
    assert Deliberation.from_json(found.to_json()) == found


def test_a_judge_that_does_not_answer_rejects_the_pair() -> None:
    [pair, _] = stage(1).read(ROW)
    with pytest.raises(ParseError, match="too long"):
        stage(1).parse(pair, [said("Fine.")] * 3 + [Failure("too long")])


def thoughts(*texts: str | None) -> Deliberation:
    orders = ("ab", "ba")
    made = [Reasoning("kind", orders[n % 2], n // 2, text) for n, text in enumerate(texts)]  # type: ignore[arg-type]
    return Deliberation(PROMPT, "one", "other", tuple(made))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_verdict_is_read_right_after_each_reasoning(template: str) -> None:
    label = ReasonedLabel(CONSTITUTION, template)  # type: ignore[arg-type]
    pair = thoughts("It {hurts}.", "It helps.", None, "Third.")
    requests = label.requests(pair)
    assert [request.prefix for request in requests] == [
        reasoned_verdict_prefix(text, template)  # type: ignore[arg-type]
        for text in ("It {hurts}.", "It helps.", "Third.")
    ]
    assert requests[0].prefix == f"{REASONING_PREFIX} It {{hurts}}.\n\n{verdict_prefix(template)}"  # type: ignore[arg-type]
    assert all(isinstance(one, ChoiceRequest) and one.choices == ("A", "B") for one in requests)
    scores = [ChoiceScores((math.log(0.9), math.log(0.1)), 9)] * 3
    votes = label.parse(pair, scores).votes
    assert [round(math.exp(vote.logprob_a), 2) for vote in votes] == [0.9, 0.1, 0.5, 0.1]
    assert [(vote.rationale, vote.mass > 0) for vote in votes] == [
        ("It {hurts}.", True), ("It helps.", True), ("", False), ("Third.", True),
    ]  # fmt: skip


def test_reasoned_labels_are_clamped_and_others_are_not_unless_told() -> None:
    label = ReasonedLabel(CONSTITUTION)
    sure = [ChoiceScores((-0.01, -5.0), 9), ChoiceScores((-5.0, -0.01), 9)]
    reasoned = label.parse(thoughts("It hurts.", "It hurts."), sure)  # type: ignore[arg-type]
    plain = Judgement(PROMPT, "one", "other", tuple(_without_rationale(reasoned)))
    assert REASONED_CLAMP == (0.4, 0.6)
    assert soft_label(reasoned, PreferenceSettings()).p_a == 0.6
    assert soft_label(plain, PreferenceSettings()).p_a > 0.99
    assert soft_label(reasoned, PreferenceSettings(clamp=None)).p_a > 0.99
    assert soft_label(plain, PreferenceSettings(clamp=(0.2, 0.8))).p_a == 0.8


def _without_rationale(judgement: Judgement) -> list:  # type: ignore[type-arg]
    return [replace(vote, rationale=None) for vote in judgement.votes]


def test_a_reasoning_that_refuses_is_no_reasoning_but_one_that_weighs_a_refusal_is() -> None:
    [pair, _] = stage(1).read(ROW)
    texts = ["I can't help with comparing these.", "Response (A) says: I can't help you with that. The answer is: (A)"]
    texts += ["I would not recommend (A).\n\nThe answer is: (B)", "Both are kind, but (A) is kinder."]
    found = stage(1).parse(pair, [said(text) for text in texts])
    assert [one.refused for one in found.reasonings] == [True, False, False, False]
    assert [one.text is None for one in found.reasonings] == [True, False, False, False]
    assert Deliberation.from_json(found.to_json()) == found
    votes = ReasonedLabel(CONSTITUTION).parse(found, [ChoiceScores((-0.1, -2.4), 9)] * 3).votes
    assert [vote.refused for vote in votes] == [True, False, False, False]
    assert stage(1).tally([said(text) for text in texts]) == {"the judge refused": 1}


def test_samples_that_cannot_be_used_abstain_and_the_others_decide() -> None:
    label = ReasonedLabel(CONSTITUTION)
    pair = thoughts("a", "b", None, "c")
    votes = label.parse(pair, [ChoiceScores((-0.1, -2.4), 9), ChoiceScores((-2.4, -0.1), 9), ChoiceScores((-9, 0), 9)])
    free = PreferenceSettings(clamp=None)
    assert soft_label(votes, free).p_a == pytest.approx(1 / (1 + math.exp(-2.3)))
    with pytest.raises(ParseError, match="abstained: no verdict could be read"):
        soft_label(label.parse(thoughts(None, "b"), [ChoiceScores((-0.1, -2.4), 9)]), free)


def unscored(template: str = "principle_last") -> Reason:
    return replace(stage(1, template), scores=False)


@pytest.mark.parametrize("template", TEMPLATES)
def test_only_a_judge_without_log_probabilities_is_told_how_to_end(template: str) -> None:
    [pair, _] = stage().read(ROW)
    plain, told = (one.requests(pair) for one in (stage(1, template), unscored(template)))
    verdict = verdict_prefix(template)  # type: ignore[arg-type]
    for one, other in zip(plain, told, strict=True):
        question, asked = one.messages[-1].content, other.messages[-1].content
        assert asked.startswith(question + "\n\n") and asked.endswith(f"says only {verdict}A) or {verdict}B).")
        assert replace(other, messages=one.messages) == one


def test_what_such_a_judge_states_in_words_of_its_own_counts() -> None:
    [pair, _] = unscored().read(ROW)
    texts = [
        "(A) gives a recipe, so Response (B) is better.", "It is kinder.\n\n**Answer:** (A)", "Both are fine.",
        "I can't help liking both, yet the answer is A.",
    ]  # fmt: skip
    found = unscored().parse(pair, [said(text) for text in texts])
    assert [one.stated for one in found.reasonings] == ["b", "b", None, "b"]
    assert [one.text for one in found.reasonings] == texts and not any(one.refused for one in found.reasonings)
    votes = ReasonedLabel(CONSTITUTION, scores=False).parse(found, []).votes
    assert [(vote.counts, vote.mass) for vote in votes] == [((0, 1), 1.0), ((0, 1), 1.0), ((0, 0), 0.0), ((0, 1), 1.0)]
    assert unscored().tally([said(text) for text in texts]) == {"no clear verdict at the end of a reasoning": 1}


def test_a_verdict_alone_is_no_reasoning_and_one_that_was_cut_off_counts_where_it_is_written() -> None:
    answers = [
        said("**Answer:** (A)"), said("Kinder.\n\n**Answer:** (A)\n\nThat is", "length"),
        said("So Response (B) is better", "length"), said("Answer: (A)"),
    ]  # fmt: skip
    [pair, _] = unscored().read(ROW)
    found = unscored().parse(pair, answers)
    assert [one.stated for one in found.reasonings] == [None, "b", None, None]
    assert unscored().tally(answers) == {
        "no reasoning before the verdict": 2, "reasoning cut off before a verdict": 1,
    }  # fmt: skip


def test_without_log_probabilities_stated_verdicts_are_counted_together() -> None:
    label = ReasonedLabel(CONSTITUTION, scores=False)
    stated = ("a", "a", "a", None, "b", "a")
    made = [Reasoning("kind", ("ab", "ba")[n % 2], n // 2, "So.", one) for n, one in enumerate(stated)]  # type: ignore[arg-type]
    pair = Deliberation(PROMPT, "one", "other", tuple(made))
    assert label.requests(pair) == []
    judged = label.parse(pair, [])
    assert [vote.counts for vote in judged.votes] == [(1, 0), (1, 0), (1, 0), (0, 0), (0, 1), (1, 0)]
    # ab: 2 of 3 for a; ba: 2 of 2, and one that is none.
    logit = (math.log((3 / 5) / (2 / 5)) + math.log((3 / 4) / (1 / 4))) / 2
    assert soft_label(judged, PreferenceSettings(clamp=None)).p_a == pytest.approx(1 / (1 + math.exp(-logit)))
