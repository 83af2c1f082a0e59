"""Schema violations in plain words, at the line and column of the node that is wrong."""
# ruff: noqa: E501

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from cai.errors import InputError
from cai.schemas import FOLDER, load_schema, problems, validate
from cai.yaml_files import parse_yaml

HEAD = "name: t\nprinciples:\n  - id: a\n"
BASE = f"{HEAD}    comparison: Which is better?\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_schemas_are_schemas(path: object) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text()))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        (f"{BASE}    critque: x\n", 5, 5, "unknown key 'critque'; did you mean 'critique'?"),
        (f"{BASE}    zzqq: x\n", 5, 5, "unknown key 'zzqq' (allowed: id, title,"),
        (f"{HEAD}    comparison: 12\n", 4, 17, "must be a text, not the number 12; put it in quotes"),
        (f"{HEAD}    comparison: 1e3\n", 4, 17, "must be a text, not the number 1000.0; put it in quotes"),
        (f"{HEAD}    comparison: true\n", 4, 17, "must be a text, not true; put it in quotes"),
        (f"{HEAD}    comparison:\n", 4, 16, "must be a text, not empty"),
        (f"{HEAD}    comparison: ' '\n", 4, 17, "is blank"),
        (f"{HEAD}    critique: x\n", 3, 5, "needs 'critique' with 'revision' or 'comparison' or 'rubric'"),
        (f"{BASE}    weight: 0\n", 5, 13, "weight is 0; it must be above 0"),
        (f"{BASE}    weight: -2\n", 5, 13, "weight is -2; it must be above 0"),
        (f"{BASE}    weight: heavy\n", 5, 13, "must be a number, not the text 'heavy'"),
        (f"{BASE}    tags: harm\n", 5, 11, "must be a list, not the text 'harm'; write [harm]"),
        (f"{BASE}    tags: [a, a]\n", 5, 11, "the same entry twice"),
        (f"{BASE}    applies_to: {{kinds: [redteam]}}\n", 5, 26, "did you mean 'red_team'?"),
        (f"{BASE}    applies_to: all\n", 5, 17, "must be a mapping ('key: value'), not the text 'all'"),
        (f"{BASE}tests: [1]\n", 5, 9, "tests[1] must be a mapping ('key: value'), not the number 1"),
        ("name: t\n", 1, 1, "the file has no 'principles'"),
        ("name: t\nprinciples: []\n", 2, 13, "0 entries; at least 1"),
        ("name: t\nlanguage: English\nprinciples: [{id: a, rubric: x}]\n", 2, 11, "a language code"),
        ("name: t\nprinciples: [{id: a b, rubric: x}]\n", 2, 19, "use up to 80 letters"),
        ("name: t\nprinciples:\n  - id: |\n      a\n    rubric: x\n", 3, 9, "principles[1].id: 'a' with white space at its ends cannot be used; use"),
        ("name: t\nprinciples: [{id: ' a', rubric: x}]\n", 2, 19, "'a' with white space at its ends cannot be used"),
        ("name: t\nlanguage: \"en\\n\"\nprinciples: [{id: a, rubric: x}]\n", 2, 11, "'en' with white space at its ends"),
        ("name: t\n\"k\\ny\": 1\nprinciples: [{id: a, rubric: x}]\n", 2, 1, "unknown key 'k y' (allowed: name,"),
        (f"{BASE}tests:\n  - {{better: b, worse: c, principle: a}}\n", 6, 5, "needs 'prompt' or 'messages'"),
        (
            f"{BASE}tests:\n  - {{prompt: a, messages: [{{role: user, content: x}}], better: b, worse: c, principle: a}}\n",
            6, 5, "needs only one of 'prompt' or 'messages'",
        ),
    ],
)  # fmt: skip
def test_messages(text: str, line: int, column: int, says: str) -> None:
    [error] = problems(parse_yaml(text.encode(), "f.yaml"), load_schema("constitution"))
    assert says in error.message
    assert (error.line, error.column) == (line, column)


def test_problems_come_in_the_order_of_the_file() -> None:
    document = parse_yaml(f"{BASE}    weight: x\n    zzqq: 1\nlanguage: 5\n".encode(), "f.yaml")
    assert [error.line for error in problems(document, load_schema("constitution"))] == [5, 6, 7]
    with pytest.raises(InputError, match=r"f\.yaml:5:13"):
        validate(document, load_schema("constitution"))
