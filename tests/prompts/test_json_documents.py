"""JSON documents are read row by row: in memory that does not grow, and as if they were read at once."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.prompts import parse_spec
from cai.prompts.files import read_rows
from tests.prompts.writing import write

ROWS = [
    {"prompt": "é\n\"\\ 😀 [1, 2] } ,", "n": [1, -2.5e-7, {"deep": [[], {}, None, True, float("inf")]}]},
    "a text ] with marks {",
    ["a", {"role": "user"}],
    12345678901234567890,
    {},
]  # fmt: skip
HUGE = int("1" * 4300)


def rows_of(file: str) -> list[tuple[object, int | None, int | None]]:
    return [(row.value, row.line, row.number) for row in read_rows(parse_spec(file))]


@pytest.fixture(params=[4, 7, 64, 1 << 16])
def chunk(request, monkeypatch):
    monkeypatch.setattr("cai.prompts.json_text.CHUNK", request.param)


@pytest.mark.parametrize("space", [None, 1, "\t"])
@pytest.mark.parametrize("ascii", [True, False])
def test_a_list_is_read_with_the_line_of_each_row(space, ascii, chunk, tmp_path):
    text = json.dumps(ROWS, indent=space, ensure_ascii=ascii)
    starts = [1] * 5 if space is None else [2, 18, 19, 25, 26]
    expected = [(value, line, None) for value, line in zip(ROWS, starts, strict=True)]
    for written in (text, "\ufeff" + text, f"\n \r\n{text}\r\n"):
        more = written.startswith("\n") * 2
        assert rows_of(write(tmp_path, "p.json", written)) == [(one, line + more, None) for one, line, _ in expected]


@pytest.mark.parametrize("key", ["data", "comparisons"])
def test_a_list_in_an_object_is_read_with_the_number_of_each_row(key, chunk, tmp_path):
    expected = [(value, None, number) for number, value in enumerate(ROWS, 1)]
    for document in ({key: ROWS}, {"version": 1, key: ROWS, "more": {"inner": [1]}}, {"a": "[", key: ROWS, "b": 1e9}):
        assert rows_of(write(tmp_path, "p.json", json.dumps(document, indent=1))) == expected
    assert rows_of(write(tmp_path, "p.json", f'{{"{key}": [1], "{key}": {json.dumps(ROWS)}}}')) == expected


def test_objects_one_a_line_and_columns_are_told_from_a_list_in_an_object(chunk, tmp_path):
    lines = [{"data": ["a", "b"], "n": n} for n in range(3)]
    file = write(tmp_path, "p.json", "".join(json.dumps(one) + "\n" for one in lines))
    assert rows_of(file) == [(one, number, None) for number, one in enumerate(lines, 1)]
    assert rows_of(write(tmp_path, "p.json", '{"data": ["a", "b"], "n": [1, 2]}')) == [
        ({"data": "a", "n": 1}, None, 1), ({"data": "b", "n": 2}, None, 2),
    ]  # fmt: skip


BROKEN = [
    ('[\n{"a": 1},\n', "3:1: JSON that ends half-way (was the file cut off?): Expecting value"),
    ('[\n{"a": 1},\n {"b": "xyz', "3:8: JSON that ends half-way (was the file cut off?): Unterminated string"),
    ('[\n{"a": 1},\n {"b" 1}]', "3:7: not JSON: Expecting ':' delimiter"),
    ('[\n{"a": 1} {"b": 1}]', "2:10: not JSON: Expecting ',' or ']'"),
    ('[\n{"a": 1}\n', "3:1: JSON that ends half-way (was the file cut off?): Expecting ',' or ']'"),
    ('[\n{"a": 1},\n {"b": tru}]', "3:8: not JSON: Expecting value"),
    ('[\n{"a": 1}]\n\n x', "4:2: not JSON: Extra data"),
    ('[\n1,\n{"é": "\t"}]', "3:8: not JSON: Invalid control character at"),
    (f'[\n1,\n{HUGE}1]', "3: JSON that cannot be read: a number of more than 4,300 digits"),
    (b'[\n"a",\n"caf\xc3\xa9 \xff"]', "3:7: invalid UTF-8: byte 0xff; save the file as UTF-8"),
    (b'\xef\xbb\xbf["a", "\xe2\x82', "1:8: invalid UTF-8: byte 0xe2; save the file as UTF-8"),
    ('{"data": [\n1,\n]}', "3:1: not JSON: Expecting value"),
    ('{"data": [\n1], }', "2:5: not JSON: Expecting property name enclosed in double quotes"),
    ('{"data": [\n1], "x": [2]', "2:13: JSON that ends half-way (was the file cut off?): Expecting ',' delimiter"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_broken_is_told_at_its_line_and_column(text, message, chunk, tmp_path):
    file = write(tmp_path, "p.json", text)
    with pytest.raises(InputError, match=f"^{re.escape(f'{file}:{message}')}"):
        rows_of(file)


def test_a_number_is_read_whole_wherever_it_is_cut(chunk, tmp_path):
    numbers = ["0", "-12.5e-3", "1e+5", "1234567.25", f"{HUGE}", f"{HUGE}1.5e-4300"]
    for width in range(12):
        file = write(tmp_path, "p.json", f"[{' ' * width}{', '.join(numbers)}]")
        assert [value for value, _, _ in rows_of(file)] == [json.loads(one) for one in numbers]


@pytest.mark.parametrize("of", [lambda rows: rows, lambda rows: {"version": 1, "data": rows}], ids=["list", "object"])
def test_little_of_a_document_is_in_memory_at_once(of, tmp_path):
    file = write(tmp_path, "p.json", json.dumps(of([{"prompt": f"{n} {'x' * 1000}"} for n in range(8000)])))
    tracemalloc.start()
    count = sum(1 for _ in read_rows(parse_spec(file)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8000
    assert peak < 0.1 * Path(file).stat().st_size
