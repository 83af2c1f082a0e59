"""Every lint, on a file in which the fault is planted, and its silence on the file without it."""
# ruff: noqa: E501

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cai.constitution import load_constitution
from cai.constitution.lint import Finding, check_document, check_file, pieces, similarity
from cai.errors import InputError
from cai.yaml_files import parse_yaml

GOOD = """name: t
principles:
  - id: a
    critique: Say whether the last answer is unkind.
    revision: Rewrite it kindly.
    comparison: Which response is kinder?
  - id: b
    critique: Point out what is false in it.
    revision: Rewrite it without falsehoods.
    comparison: Which response is more honest?
"""


def found(text: str) -> list[Finding]:
    return check_document(parse_yaml(text.encode(), "f.yaml"))


def test_a_good_file_has_no_findings() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "level", "code", "line", "says"),
    [
        ("    comparison: Which response is more honest?\n", "", "error", "missing-form", 7,
         "'b' has no 'comparison'; if that is meant, say 'only_for: revision'"),
        ("    revision: Rewrite it without falsehoods.\n", "", "error", "missing-form", 7, "'b' has no 'revision'"),
        ("    critique: Point out what is false in it.\n    revision: Rewrite it without falsehoods.\n", "",
         "error", "missing-form", 7, "no 'critique' and no 'revision'; if that is meant, say 'only_for: comparison'"),
        ("more honest?", "kinder?", "warning", "near-duplicate", 10, "the comparison of 'b' is the same as that of 'a' on line 6"),
        ("id: b\n", "id: b\n    applies_to: {kinds: []}\n", "error", "unreachable", 8, "no prompt kind reaches 'b'"),
        ("id: b\n", "id: b\n    applies_to: {tags: []}\n", "error", "unreachable", 8, "no prompt reaches 'b'"),
        ("id: b\n", "id: b\n    applies_to: {tags: [x], except_tags: [x]}\n", "error", "contradictory-scope", 8, "'x' in both"),
        ("id: b\n", "id: b\n    applies_to: {tags: [x, y], except_tags: [x]}\n", "warning", "contradictory-scope", 8, "'x'"),
        ("id: b\n", "id: b\n    applies_to: {tags: [helpful]}\n", "warning", "kind-as-tag", 8, "kinds: [helpful]"),
        ("more honest?", "more honest, {response}?", "warning", "placeholder", 10, "'{response}'"),
        ("more honest?", "more honest?" + " really" * 90, "warning", "over-long", 10, "95 words"),
        ("name: t\n", "name: t\ntests: [{prompt: p, better: x, worse: x, principle: a}]\n", "error", "same-responses", 2, "same text"),
        ("name: t\n", "name: t\ntests: [{prompt: p, better: 'x ', worse: \"x\\n\", principle: a}]\n", "error", "same-responses", 2, "same text"),
        ("id: b\n", "id: a\n", "error", "invalid", 7, "the id 'a' is already used on line 3"),
        ("id: b\n", "id: b\n    weight: 0\n", "error", "invalid", 8, "must be above 0"),
        ("name: t\n", "name: t\ntests: [{prompt: p, better: x, worse: y, principle: c}]\n", "error", "invalid", 2, "no principle has the id 'c'"),
        ("name: t\n", "name: t\nexamples: {comparison: [{prompt: p, comparison: q, response_a: x, response_b: x, better: a}]}\n",
         "error", "same-responses", 2, "same text"),
        ("kinder?\n", "kinder?\n    rubric: Is it kind?\n", "warning", "missing-rubric", 8, "'b' has no 'rubric', and others have"),
        ("kinder?\n  - id: b\n", "kinder?\n    rubric: It is kind.\n  - id: b\n    rubric: Is it true?\n",
         "warning", "rubric-not-a-question", 7, "the rubric of 'a' is no question"),
    ],
)  # fmt: skip
def test_planted_faults(old: str, new: str, level: str, code: str, line: int, says: str) -> None:
    assert old in GOOD
    [finding] = found(GOOD.replace(old, new))
    assert (finding.level, finding.code, finding.line) == (level, code, line)
    assert says in finding.message


def test_what_the_schema_cannot_say_is_told_beside_what_it_says() -> None:
    tests = """tests:
  - {prompt: p, better: x, worse: y, principle: aa}
  - {messages: [{role: assistant, content: x}], better: x, worse: y, principle: a}
  - {prompt: p, better: x, worse: y, principle: b c}
  - {prompt: p, better: x, principle: zzz}
"""
    said = [(one.line, one.message) for one in found(f"nme: t\n{GOOD}{tests}")]
    assert said == [
        (1, "unknown key 'nme'; did you mean 'name'?"),
        (13, "no principle has the id 'aa'; did you mean 'a'?"),
        (14, "the dialogue must end with a user turn"),
        (
            15,
            "tests[3].principle: 'b c' cannot be used; use up to 80 letters, digits, '-', '_' and '.', beginning with a letter or digit",
        ),
        (16, "tests[4] has no 'worse'"),
        (16, "no principle has the id 'zzz'"),
    ]


@pytest.mark.parametrize("principles", ["5", "{a: {id: a}}", "[]", "[1, null, {id: 5}, {comparison: x}]"])
def test_where_no_principle_has_an_id_the_tests_are_not_blamed(principles: str) -> None:
    tests = "tests: [1, {prompt: p, better: x, worse: y, principle: a}, {messages: [2], principle: [a]}]\n"
    said = " ".join(one.message for one in found(f"name: t\nprinciples: {principles}\n{tests}"))
    assert "principles" in said and "tests[1] must be a mapping" in said and "no principle has" not in said


def test_a_value_that_cannot_be_read_is_told_beside_all_else(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    rest = f"{GOOD}    comparison: Which is dull?\ntests:\n  - {{prompt: p, better: x, worse: !t y, principle: c}}\n"
    path.write_text(f"zz: 1\n{rest}".replace("id: b\n", "id: b\n    weight: .nan\n    title: -.inf\n"))
    said = [(one.line, one.message) for one in check_file(path)[1]]
    assert said == [
        (1, "unknown key 'zz' (allowed: name, description, language, principles, examples, tests)"),
        (9, ".nan: infinity and not-a-number are not read; put it in quotes if it is a text"),
        (10, "-.inf: infinity and not-a-number are not read; put it in quotes if it is a text"),
        (14, "the key 'comparison' is here a second time; it is already on line 13"),
        (16, "tags ('!t') are not read; a text goes in quotes"),
        (16, "no principle has the id 'c'"),
    ]
    with pytest.raises(
        InputError, match=r"c.yaml:9:13: \.nan: infinity .* \(and 5 more: `cai constitution check` lists"
    ):
        load_constitution(path)
    path.write_text(GOOD.replace("id: b\n", "id: b\n    weight: .nan\n"))
    with pytest.raises(InputError, match=r"c.yaml:8:13: \.nan: infinity"):
        load_constitution(path)


def test_errors_in_sound_entries_are_told_beside_entries_that_are_wrong() -> None:
    """At their own lines; warnings wait, and what is wrong is not counted as if it were left out."""
    text = """nme: t
principles:
  - {id: bad, critque: x}
  - {id: a, comparison: Which is kind?, applies_to: {kinds: []}}
  - {id: half, critique: Say what is unkind.}
  - {id: b, comparison: Which is kind?, only_for: revision}
examples:
  comparison:
    - {prompt: p, comparison: q, response_a: x, response_b: y}
    - {prompt: p, comparison: q, response_a: x, response_b: x, better: a}
tests:
  - {prompt: p, better: x, worse: 5, principle: a}
  - {prompt: p, better: x, worse: x, principle: gone}
  - {prompt: p, better: y, worse: x, principle: b}
"""
    assert [(one.level, one.code, one.line) for one in found(text)] == [
        ("error", "invalid", 1), ("error", "invalid", 1), ("error", "invalid", 3), ("error", "invalid", 3),
        ("error", "unreachable", 4), ("error", "invalid", 5), ("error", "contradictory-scope", 6),
        ("error", "invalid", 9), ("error", "same-responses", 10), ("error", "invalid", 12),
        ("error", "same-responses", 13), ("error", "invalid", 13),
    ]  # fmt: skip


def test_a_form_that_no_principle_has_is_a_warning() -> None:
    findings = found("name: t\nprinciples:\n  - {id: a, comparison: x}\n  - {id: b, comparison: y}\n")
    assert [(one.level, one.code) for one in findings] == [("warning", "missing-form")] * 2


def test_only_for_declares_a_missing_form() -> None:
    text = GOOD.replace("    comparison: Which response is more honest?\n", "    only_for: revision\n")
    assert found(text) == []
    [finding] = found(text.replace("only_for: revision", "only_for: comparison"))
    assert finding.code == "contradictory-scope"


def test_a_kind_that_every_principle_shuts_out() -> None:
    text = GOOD.replace("id: a\n", "id: a\n    applies_to: {kinds: [red_team]}\n")
    assert found(text) == []
    findings = found(text.replace("id: b\n", "id: b\n    applies_to: {kinds: [red_team, helpful]}\n"))
    assert {one.code for one in findings} == {"kind-not-reached"}
    assert all("'lookalike'" in one.message and "helpful" not in one.message for one in findings)


def test_similarity() -> None:
    text = "Which response is less likely to help somebody hurt other people?"
    assert similarity(pieces(text), pieces("  which RESPONSE is less likely to help somebody hurt other people")) == 1
    assert similarity(pieces(text), pieces("Which response is more honest about what it does not know?")) < 0.3
    assert similarity(pieces(""), pieces("")) == 0


def test_an_unreadable_file_is_a_finding() -> None:
    path, [finding] = check_file("no-such-thing")
    assert path is None and finding.code == "unreadable"


def test_three_hundred_principles_are_checked_in_seconds() -> None:
    rows = "".join(f"- {{id: p{n}, comparison: is response {n} or {n + 7} a better one for us}}\n" for n in range(300))
    began = time.perf_counter()
    found(f"name: t\nprinciples:\n{rows}")
    assert time.perf_counter() - began < 8
