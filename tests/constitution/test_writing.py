"""What is written can be read back, whatever the texts are; and nothing is ever overwritten."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.constitution import load_constitution, shipped_names
from cai.constitution.lint import check_file
from cai.constitution.writing import SCHEMA_COPY, constitution_yaml, new_constitution, write_new
from cai.errors import CAIError, InputError
from cai.schemas import FOLDER
from cai.yaml_files import parse_yaml

AWKWARD = ["no", "1e3", "12", "~", "null", "true", "2024-05-01", "- a", "a: b", "#x", "'", '"', "{x}", "a\n\n b\n", " lead",
           "tail ", "&a", "*a", "!t", "%p", "@a", "`b", "? a", "...", "---", "0o17", ".inf", "\t", "é 😀", "<<", "="]  # fmt: skip
TEXTS = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=2), TEXTS)
def test_any_text_is_read_back(texts: list[str], description: str) -> None:
    value = {
        "name": "t",
        "description": description,
        "principles": [{"id": f"p{n}", "comparison": text, "tags": [text, "x"]} for n, text in enumerate(texts)],
        "tests": [{"prompt": text} for text in texts],
    }
    assert parse_yaml(constitution_yaml(value, ["a header"]).encode(), "f.yaml").value == value


def test_long_texts_are_blocks_and_keys_keep_their_order() -> None:
    long = "Which of these two responses is less likely to help anybody to do harm to anybody else, now or later?"
    value = {"name": "t", "principles": [{"id": "a", "comparison": long, "critique": "One\ntwo"}, {"id": "no"}]}
    assert constitution_yaml(value, ["from x"]) == (
        "# from x\n\nname: t\n\nprinciples:\n  - id: a\n    comparison: >-\n"
        "      Which of these two responses is less likely to help anybody to do harm to anybody else, now or later?\n"
        "    critique: |-\n      One\n      two\n\n  - id: 'no'\n"
    )


@pytest.mark.parametrize("source", shipped_names())
def test_new_is_a_working_copy_with_its_comments(tmp_path: Path, source: str) -> None:
    path = new_constitution(tmp_path / "deep" / "mine.yaml", source)
    copy, original = load_constitution(path), load_constitution(source)
    assert copy.name == "mine"
    assert copy.principles == original.principles and copy.tests == original.tests
    assert check_file(path)[1] == []
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_COPY}\n")
    assert text.count("#") == original.path.read_text(encoding="utf-8").count("#")  # type: ignore[union-attr]
    assert (path.parent / SCHEMA_COPY).read_bytes() == (FOLDER / "constitution.json").read_bytes()


def test_nothing_is_overwritten_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    with pytest.raises(InputError, match="never overwritten"):
        new_constitution(path)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="never overwritten"):
        write_new(tmp_path / "dangling.yaml", "x")
    for name in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError):
            new_constitution(name)
    with pytest.raises(CAIError):
        new_constitution(path / "below-a-file.yaml")
    with pytest.raises(InputError, match="no constitution is named"):
        new_constitution(tmp_path / "other.yaml", "nosuch")
    assert path.read_text() == "precious"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dangling.yaml", "mine.yaml"]
