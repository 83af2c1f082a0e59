"""Revisions are cleaned of talk about them, and what is no revision is rejected with its reason."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.errors import ParseError
from cai.stages.revise import check_revision, clean_revision

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "cai_paper" / "samples"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("Here is a revised version of the response:\n\nHello.", "Hello."),
        ("Sure! Here's my revised answer: Hello.", "Hello."),
        ("Sure, here is a rewritten response that avoids harm:\nHello.", "Hello."),
        ("Revision: Hello.", "Hello."),
        ('"Hello."', "Hello."),
        ("“Hello.”", "Hello."),
        ("Here is how to bake bread: mix flour.", "Here is how to bake bread: mix flour."),
        ("Here are three ideas: one.", "Here are three ideas: one."),
        ('"Yes" and "no" are words.', '"Yes" and "no" are words.'),
        ("Here is a new recipe: flour.", "Here is a new recipe: flour."),
    ],
)
def test_leads_and_quotes_go_and_the_answer_stays(given: str, left: str) -> None:
    assert clean_revision(given) == left


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        ("", "empty revision"),
        ("It  helps with HARM.", "repeats the critique"),
        ("The revised response is less harmful now.", "talks about the revision"),
        ("I have removed the harmful parts.", "talks about the revision"),
        ("The assistant's last response is rude.", "talks about the revision"),
    ],
)
def test_what_is_no_revision_is_rejected(revision: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        check_revision(revision, "It helps with harm.")


@pytest.mark.parametrize(
    "revision", ["I removed the stain with vinegar.", "My answer is no.", "To revise well, sleep."]
)
def test_ordinary_sentences_pass(revision: str) -> None:
    check_revision(revision, "a critique")


@given(st.text(max_size=200))
def test_what_is_left_is_a_part_of_what_was_there(text: str) -> None:
    once = clean_revision(text)
    assert once in text
    assert once == once.strip()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the paper's samples are not here")
def test_none_of_the_papers_264_revisions_is_touched_or_rejected() -> None:
    seen = 0
    for file in sorted(SAMPLES.glob("*SLMADISON.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            chain = json.loads(line)["cst"]
            for one in ast.literal_eval(chain) if isinstance(chain, str) else chain:
                revision = one["revision"]["sample"]
                assert clean_revision(revision) == revision.strip()
                check_revision(clean_revision(revision), one["critique"]["sample"])
                seen += 1
    assert seen == 264
