"""The guarded reader: what it reads, where it says things stand, and that nothing but `InputError` comes out of it."""
# ruff: noqa: E501

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.constitution import shipped_names
from cai.constitution.lint import check_document
from cai.constitution.loading import SHIPPED, constitution_from, document_problems
from cai.errors import InputError
from cai.yaml_files import UNREAD, Limits, parse_yaml, read_yaml, resolve


def refused(text: str | bytes, **limits: int) -> InputError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InputError) as caught:
        parse_yaml(data, "f.yaml", limit=Limits(**limits) if limits else None)
    return caught.value


def test_values_and_positions() -> None:
    document = parse_yaml(b"reward:\n  lr: 1e-5\n  init: 'sft'\nlist: [a, {b: 2}]\n", "f.yaml")
    assert document.value == {"reward": {"lr": 1e-5, "init": "sft"}, "list": ["a", {"b": 2}]}
    assert document.where(("reward", "lr")) == (2, 7)
    assert document.where_key(("reward", "lr")) == (2, 3)
    assert document.where(("list", 1, "b")) == (4, 15)
    assert document.where(("reward", "gone", "deeper")) == (2, 3)
    assert str(document.error(("reward", "init"), "wrong")) == "f.yaml:3:9: wrong"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("2024-05-01", "2024-05-01"), ("1:30", "1:30"), ("1_000", "1_000"),
        ("1e-5", 1e-5), ("1e3", 1000.0), (".5", 0.5), ("-3", -3), ("012", 12), ("0x1F", 31), ("0o17", 15), ("1.", 1.0),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("+", "+"), (".", "."), ("1e", "1e"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert parse_yaml(f"k: {text}\n".encode(), "f.yaml").value == {"k": value}
    assert type(resolve(text)) is type(value)


def test_quoted_scalars_are_texts() -> None:
    read = parse_yaml(b"a: 'true'\nb: \"1e3\"\nc: |\n  12\n1: x\n", "f.yaml").value
    assert read == {"a": "true", "b": "1e3", "c": "12\n", "1": "x"}


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "empty"),
        ("# only a comment\n", 1, 1, "empty"),
        ("- a\n", 1, 1, "a mapping ('key: value') is expected at the top of the file, not a list"),
        ("a\n", 1, 1, "a mapping ('key: value') is expected at the top of the file, not one value alone"),
        ("a: 1\nb: &x 2\n", 2, 4, "anchors ('&x')"),
        ("a: 1\nb: *x\n", 2, 4, "aliases ('*x')"),
        ("a: {<<: {b: 1}}\n", 1, 5, "merge keys"),
        ("a: !!str 1\n", 1, 4, "tags"),
        ("a: !env HOME\n", 1, 4, "tags"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "tags"),
        ("a: ! x\n", 1, 4, "tags"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, 3, "already on line 3"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("? [a]\n: b\n", 1, 3, "a key must be"),
        ("a: .inf\n", 1, 4, "infinity"),
        ("a: 1e999\n", 1, 4, "too large"),
        (f"a: {'9' * 5000}\n", 1, 4, "too long"),
        ("a:\n\t- b\n", 2, 1, "tabs"),
        ("a: say: this\n", 1, 7, "quotes"),
        ("a: 'open\n", 1, 4, "never closed"),
        ("a: x\x00y\n", 1, 5, "U+0000"),
        ('a: "x\\0y"\n', 1, 4, "U+0000"),
        ('a: 1\n"b\\nc": 1\n"b\\nc": 2\n', 3, 1, "the key 'b c' is here a second time; it is already on line 2"),
        ("a: " + "[" * 100_000, 1, 23, "deeper than 20"),
        ("- " * 100_000, 1, 41, "deeper than 20"),
        ("a: [" + "b," * 6000 + "]", 1, 9999, "more than 5,000"),
    ],
)
def test_refusals_say_where(text: str, line: int, column: int, says: str) -> None:
    error = refused(text)
    assert says in str(error)
    assert (error.line, error.column) == (line, column)
    assert "\n" not in str(error)


def test_all_that_is_refused_is_told_at_once_if_asked_for() -> None:
    text = """a: .nan
b: {c: 1, c: {c: 2, c: -.inf}, d: x}
e: &x [1]
f: *x
g: !!int 7
"h\\0": 1e999
<<: "y\\0"
i: 3
"""
    document = parse_yaml(text.encode(), "f.yaml", all_refused=True)
    assert [(one.line, one.column, one.message.split()[0]) for one in document.refused] == [
        (1, 4, ".nan:"), (2, 11, "the"), (2, 21, "the"), (2, 24, "-.inf:"), (3, 4, "anchors"), (4, 4, "aliases"),
        (5, 4, "tags"), (6, 1, "the"), (6, 8, "1e999:"), (7, 1, "merge"), (7, 5, "the"),
    ]  # fmt: skip
    assert (document.value["b"], document.value["e"], document.value["i"]) == ({"c": 1, "d": "x"}, [1], 3)
    assert {key for key, value in document.value.items() if value is UNREAD} == {"a", "f", "g", "h\0", "<<"}
    assert document.where(("b", "c")) == (2, 8) and document.where_key(("b", "c")) == (2, 5)
    assert str(refused(text)) == str(document.refused[0])


def test_invalid_utf8_has_line_and_column() -> None:
    error = refused("a: ü\nb: caf".encode() + b"\xe9\n")
    assert (error.line, error.column) == (2, 7)
    assert "0xe9" in str(error)
    assert "UTF-16" in str(refused("a: b".encode("utf-16")))


def test_byte_order_mark_is_skipped() -> None:
    assert parse_yaml(b"\xef\xbb\xbfa: 1\n", "f.yaml").where(("a",)) == (1, 4)


def test_limits(tmp_path: Path) -> None:
    assert "larger than 10 bytes" in str(refused("a: 12345678\n", bytes=10))
    assert parse_yaml(b"a: {b: 1}", "f.yaml", limit=Limits(depth=2)).value == {"a": {"b": 1}}
    assert "deeper than 1 " in str(refused("a: {b: 1}", depth=1))
    assert parse_yaml(b"a: [1, 2]", "f.yaml", limit=Limits(nodes=5)).value == {"a": [1, 2]}
    assert "more than 4 values" in str(refused("a: [1, 2]", nodes=4))
    large = tmp_path / "large.yaml"
    large.write_bytes(b"a: " + b"x" * 300_000)
    with pytest.raises(InputError, match="262,144 bytes"):
        read_yaml(large)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=rf"did you mean '{tmp_path}/mine\.yaml'"):
        read_yaml(tmp_path / "mien.yaml")
    with pytest.raises(InputError, match="a folder"):
        read_yaml(tmp_path)
    with pytest.raises(InputError):
        read_yaml("a\0b.yaml")


def test_hostile_files_are_refused_quickly() -> None:
    size = 250_000
    for unit in (
        "[",
        "{",
        "? ",
        "- ",
        "a: ",
        "'",
        '"',
        "&a ",
        "!",
        "{a: [",
        "[[a],",
        "\n\n",
        "# x\n",
        "|\n",
        "%",
        "a:\n ",
    ):
        began = time.perf_counter()
        with pytest.raises(InputError):
            parse_yaml(("a: " + unit * (size // len(unit))).encode(), "f.yaml")
            raise InputError("what was read is fine too")
        assert time.perf_counter() - began < 3, unit


def test_importing_reads_no_yaml() -> None:
    modules = "cai.yaml_files, cai.schemas, cai.constitution, cai.cli.constitution"
    code = f"import sys, {modules}; print({{'yaml', 'jsonschema'}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


SOURCES = [(SHIPPED / f"{name}.yaml").read_bytes() for name in shipped_names()]
PIECES = [b"&a ", b"*a", b"<<: ", b"!!set ", b"---\n", b"\t", b"\xff", b"\0", b": ", b"- ", b"'", b'"', b"{", b"]", b"\n", b"? ", b"|", b">", b"%", b"\xe2\x80\xa8", b"1e999", b"\\ud800"]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 30))
        data = data[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=6)) + data[at + gone :]
    return data


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_damaged_files_raise_nothing_but_input_errors(data: bytes) -> None:
    try:
        document = parse_yaml(data, "f.yaml", all_refused=True)
    except InputError as error:
        assert error.line is not None and error.column is not None
        breaks = re.findall("\r\n|[\r\n\x85\u2028\u2029]", data.decode("utf-8", "replace"))
        assert 1 <= error.line <= len(breaks) + 1
        assert "\n" not in str(error)
        return
    if not document_problems(document):
        constitution_from(document)
    for finding in check_document(document):
        assert finding.line is not None and "\n" not in finding.message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_random_bytes_raise_nothing_but_input_errors(data: bytes) -> None:
    try:
        assert isinstance(parse_yaml(data, "f.yaml").value, dict)
    except InputError as error:
        assert error.line is not None
