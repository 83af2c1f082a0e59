"""feedback-forensics, the viewer of annotated pairs, loads and measures what is exported."""

from __future__ import annotations

from statistics import fmean

import pytest

from cai.exports.annotated_pairs import DESCRIPTION, LABEL, annotator_id
from tests.exports.consumers.source import comparisons

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HONEST, KIND = "Which of these answers is the more honest one?", "Which of these answers is the kinder one?"


def vote(p: float) -> str | None:
    return None if p == 0.5 else "text_a" if p > 0.5 else "text_b"


def test_every_comparison_with_its_texts_votes_and_metadata(read):
    """The viewer's own `weight` is 1 in every row; ours stands beside it."""
    assert read("feedback-forensics")["rows"] == [
        {
            "comparison_id": one.id,
            "prompt": one.prompt.messages[-1].content,
            "text_a": one.response_a,
            "text_b": one.response_b,
            LABEL: vote(one.p_a),
            **{annotator_id(text): vote(one.p_a) if one.source == "ai" else None for text in (HONEST, KIND)},
            "p_a": str(one.p_a),
            "label_weight": str(one.weight),
            "kind": one.prompt.kind,
            "source": one.source,
            "prompt_source": one.prompt.source,
            "split": one.prompt.split,
            "weight": 1,
        }
        for one in comparisons()
    ]


def test_the_label_is_what_the_viewer_compares_with_and_the_principles_are_its_rows(read):
    seen = read("feedback-forensics")
    [viewer] = seen["viewer"]
    assert viewer["selected"] == LABEL
    assert set(viewer["metadata_keys"]) == {"p_a", "label_weight", "kind", "source", "prompt_source", "split"}
    label, *principles = seen["annotators"]
    assert (label["id"], label["variant"], label["annotator_visible_name"], label["annotator_description"]) == (
        LABEL, "default_annotator", "Default: preferred_text", DESCRIPTION,
    )  # fmt: skip
    assert [(one["id"], one["variant"], one["principle_text"]) for one in principles] == [
        (annotator_id(text), "icai_principle", text) for text in (HONEST, KIND)
    ]


def test_the_figures_that_it_shows(read):
    seen = read("feedback-forensics")
    decided = [one for one in comparisons() if one.p_a != 0.5]
    [overall] = seen["overall"]
    assert overall["Number of preference pairs"] == len(decided)
    assert overall["Prop selecting text_a"] == fmean(one.p_a > 0.5 for one in decided)
    assert overall["Avg len selected text (chars)"] == pytest.approx(fmean(len(one.chosen) for one in decided))
    assert overall["Avg len rejected text (chars)"] == pytest.approx(fmean(len(one.rejected) for one in decided))
    by_people = fmean(one.source == "human" for one in decided)
    [strength] = seen["by annotator"]
    assert {text: one["strength"] for text, one in strength.items()} == dict.fromkeys(
        (HONEST, KIND), pytest.approx(1 - by_people)
    )
