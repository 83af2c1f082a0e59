"""Shipped constitutions and what the loader makes of them."""
# ruff: noqa: E501

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from cai.constitution import FORMS, load_constitution, shipped_names
from cai.constitution.lint import check_file
from cai.constitution.loading import SHIPPED
from cai.errors import InputError
from cai.records import assistant, user
from cai.schemas import FOLDER

BASE = "name: t\nprinciples:\n  - id: a\n    comparison: Which is better?\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_constitutions_are_clean_and_complete(name: str) -> None:
    constitution = load_constitution(name)
    assert constitution.name == name
    constitution.require_forms(FORMS)
    assert check_file(name)[1] == []
    assert {test.principle for test in constitution.tests} == {one.id for one in constitution.principles}
    assert len(constitution.revision_examples) >= 2 and constitution.comparison_examples
    assert any(one.response == one.revision for one in constitution.revision_examples), "a no-op example"
    assert any(one.response != one.revision for one in constitution.revision_examples)
    assert max(len(one.form(form).split()) for one in constitution.principles for form in FORMS) <= 30


@pytest.mark.parametrize("name", shipped_names())
def test_the_schema_comment_points_at_the_schema(name: str) -> None:
    path = SHIPPED / f"{name}.yaml"
    [comment] = re.findall(r"\A# yaml-language-server: \$schema=(.+)\n", path.read_text(encoding="utf-8"))
    assert (path.parent / comment).resolve() == (FOLDER / "constitution.json").resolve()


def test_harmlessness_has_sixteen_principles_and_speaks_of_harm_alone() -> None:
    families = Counter(one.tags[0] for one in load_constitution("harmlessness").principles)
    assert sum(families.values()) == 16
    assert families.keys() == {"harm", "legality", "insult", "privacy", "evasiveness", "preachiness"}
    assert families["preachiness"] >= 2 and families["evasiveness"] >= 2


def test_everything_in_a_file_is_carried(tmp_path: Path) -> None:
    path = written(tmp_path, """
name: full
language: pt-BR
principles:
  - id: a
    title: A title
    critique: >-
      One line
      and on.
    revision: |
      Two lines,
      kept.
    comparison: P?
    rubric: Q?
    weight: 2.5
    tags: [x, y]
    applies_to: {kinds: [helpful], except_tags: [z]}
    source: somewhere
examples:
  revision:
    - messages: [{role: user, content: U1}, {role: assistant, content: A1}, {role: user, content: U2}]
      response: R
      critique_request: CR
      critique: C
      revision_request: RR
  comparison:
    - {prompt: U, comparison: Q, response_a: A, response_b: B, better: b}
tests:
  - {prompt: U, better: B, worse: W, principle: a}
""")  # fmt: skip
    full = load_constitution(path)
    [one] = full.principles
    assert (one.critique, one.revision) == ("One line and on.", "Two lines,\nkept.")
    assert (one.weight, one.tags, one.source, one.line, one.column) == (2.5, ("x", "y"), "somewhere", 5, 5)
    assert one.applies_to.to_json() == {"kinds": ["helpful"], "tags": None, "except_tags": ["z"]}
    [example] = full.revision_examples
    assert example.messages == (user("U1"), assistant("A1"), user("U2"))
    assert example.revision == example.response == "R"
    assert full.comparison_examples[0].better == "b"
    assert full.tests[0].principle == "a"
    assert full.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (full.language, full.path) == ("pt-BR", path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{BASE}  - id: a\n    rubric: x\n", "5:9: the id 'a' is already used on line 3"),
        (f"{BASE}  - id: a\n    rubric: ''\n", "5:9: the id 'a' is already used on line 3 (and 1 more"),
        (
            f"{BASE}tests:\n  - {{prompt: a, better: b, worse: c, principle: aa}}\n",
            "6:49: no principle has the id 'aa'; did you mean 'a'?",
        ),
        (
            f"{BASE}tests:\n  - {{messages: [{{role: assistant, content: x}}], better: b, worse: c, principle: a}}\n",
            "6:17: the dialogue must end with a user turn",
        ),
        (f"{BASE}x: 1\ny: 2\n", "unknown key 'x' (allowed: name, description, language, principles, examples, tests) (and 1 more"),
    ],
)  # fmt: skip
def test_what_the_schema_cannot_say(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_constitution(written(tmp_path, text))
    assert says in str(caught.value)


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean 'harmlessness'"):
        load_constitution("harmlesness")
    with pytest.raises(InputError, match="these are shipped: harmlessness, helpful-honest-harmless, minimal, only-"):
        load_constitution("qqqq")
    written(tmp_path, BASE)
    monkeypatch.chdir(tmp_path)
    assert load_constitution("c.yaml").name == "t"
    with pytest.raises(InputError, match=r"d\.yaml: there is no such file$"):
        load_constitution("d.yaml")
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(InputError, match=r"mien\.yaml: there is no such file; did you mean 'mine\.yaml'"):
        load_constitution("mien.yaml")
