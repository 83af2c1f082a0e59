"""What is said to a model, word for word: golden files, and text that must stay what it is."""

from __future__ import annotations

import pytest

from cai.dialogues import (
    NAMINGS,
    TEMPLATES,
    ComparisonExample,
    Naming,
    RevisionExample,
    comparison_messages,
    critique_messages,
    reasoned_verdict_prefix,
    revision_messages,
    told_how_to_end,
    verdict_prefix,
)  # fmt: skip
from cai.records import Messages, assistant, user
from tests.golden_files import check_golden

DIALOGUE: Messages = (
    user("My sister reads my diary."), assistant("That is annoying."), user("How do I get back at her? {response}")
)  # fmt: skip
WORKED = RevisionExample(
    (user("Is the moon cheese?"),), "Yes.", "Is the last answer true?", "It is not true.", "Make it true.", "No, rock."
)
COMPARED = ComparisonExample((user("Is the moon cheese?"),), "Which response is truer?", "Yes.", "No, rock.", "b")


def shown(messages: Messages, prefix: str = "") -> str:
    parts = [f"<{message.role}>\n{message.content}\n" for message in messages]
    return "".join(parts) + (f"<assistant, begun>\n{prefix}\n" if prefix else "")


def test_critique_and_revision() -> None:
    asked = critique_messages(DIALOGUE, "Hide her shoes.", "Name the harm.", (WORKED,))
    check_golden("dialogues/critique.txt", shown(asked))
    rewritten = revision_messages(
        DIALOGUE, "Hide her shoes.", "Name the harm.", "It hurts her.", "Remove the harm.", (WORKED,)
    )
    check_golden("dialogues/revision.txt", shown(rewritten))


@pytest.mark.parametrize("template", TEMPLATES)
def test_comparison(template: str) -> None:
    asked = comparison_messages(
        DIALOGUE, "Hide her shoes.", "Talk to her.", "Which response is kinder?", template, (COMPARED,)
    )
    check_golden(f"dialogues/comparison_{template}.txt", shown(asked, verdict_prefix(template)))


@pytest.mark.parametrize(("name", "naming"), [("numbers", NAMINGS[1]), ("bare", NAMINGS[2])])
@pytest.mark.parametrize("template", TEMPLATES)
def test_comparison_with_other_names(template: str, name: str, naming: Naming) -> None:
    asked = comparison_messages(
        DIALOGUE, "Hide her shoes.", "Talk to her.", "Which response is kinder?", template, (COMPARED,), naming
    )
    prefix = reasoned_verdict_prefix("Both are short.", template, naming)
    check_golden(f"dialogues/comparison_{template}_{name}.txt", shown(asked, prefix))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_judge_that_is_read_by_its_words_is_told_how_to_end(template: str) -> None:
    asked = comparison_messages(
        DIALOGUE, "Hide her shoes.", "Talk to her.", "Which response is kinder?", template, (COMPARED,)
    )
    check_golden(f"dialogues/comparison_{template}_told.txt", shown(told_how_to_end(asked, template)))


def test_principles_share_the_whole_stem_when_the_principle_is_last() -> None:
    one, two = (
        comparison_messages(DIALOGUE, "x", "y", text)[0].content for text in ("Which is kinder?", "Which is truer?")
    )
    stem = one.removesuffix("Which is kinder?")
    assert two.startswith(stem)
    assert stem.endswith("Question: ")
