"""Files of rows, one row at a time, each with the place that an error names. What a row means is `shapes`."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from cai.errors import InputError, json_limit
from cai.prompts.json_text import BOM, JsonText, bad_json, bad_utf8
from cai.prompts.spec import PromptFile

_LIST_KEYS = ("data", "rows", "prompts", "examples", "instances", "comparisons")
_LONGEST_FIELD = 1 << 26
_OPENS_A_DOCUMENT = ("{", "[")
"""Lines that no line after them can follow in JSONL: the file is one document over several lines."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `value` is an object, a list of messages or a plain text; `part` is the split of a dataset folder."""

    path: Path
    value: Any
    line: int | None = None
    number: int | None = None
    part: str | None = None

    def error(self, message: str) -> InputError:
        """An error that names this row's place."""
        where = f"row {self.number}: " if self.number is not None else ""
        return InputError(where + message, self.path, self.line)

    @property
    def place(self) -> str:
        """``path:line``, or ``path row N`` where a format has no lines."""
        return f"{self.path}:{self.line}" if self.number is None else f"{self.path} row {self.number}"


def rejected_line(row: Row, why: str) -> str:
    """A line of a file of rejected rows: place, reason and row; one with a number that JSON has not as `row_text`."""
    told = {"place": row.place, "reason": why}
    try:
        return json.dumps({**told, "row": row.value}, default=str, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps({**told, "row_text": json.dumps(row.value, default=str)}) + "\n"


Told = Callable[[InputError], None]
"""Hears of a row that cannot be read where those after it can."""


def _raised(error: InputError) -> None:
    raise error


def read_rows(spec: PromptFile, told: Told = _raised) -> Iterator[Row]:
    """The rows of a file, one at a time; only a JSON document of columns is held in memory.

    Raises `InputError` with line and column for invalid UTF-8, broken JSON and broken CSV. A line of JSONL that is no
    JSON, and a row of a table with too few or too many cells, are `told`, which raises where nothing else is given.
    """
    readers: dict[str, Callable[[Path, Told], Iterator[Row]]] = {
        "jsonl": _jsonl, "json": _json, "csv": _csv, "tsv": _tsv, "txt": _text, "parquet": _parquet,
        "dataset": _dataset,
    }  # fmt: skip
    try:
        yield from readers[spec.format](spec.path, told)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read: {reason}", spec.path) from None


# ------------------------------------------------------------------------------------------------- lines of text


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their line ends as ``\\n``; a BOM is dropped."""
    with _open(path) as handle:
        for number, raw in enumerate(handle, 1):
            text = _decode(raw.removeprefix(BOM) if number == 1 else raw, path, number)
            yield number, text[:-2] + "\n" if text.endswith("\r\n") else text


def _decode(raw: bytes, path: Path, line: int = 1) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_utf8(error, path, line) from None


def _text(path: Path, told: Told) -> Iterator[Row]:
    for number, line in _lines(path):
        if text := line.strip():
            yield Row(path, text, number)


# --------------------------------------------------------------------------------------------------------- JSON


def _jsonl(path: Path, told: Told) -> Iterator[Row]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            value = _loads(line.rstrip("\n"), path, number)
        except InputError as error:
            if line.strip() in _OPENS_A_DOCUMENT:
                raise
            told(error)
        else:
            yield Row(path, value, number)


def _loads(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise bad_json(error, path, line + error.lineno - 1, error.colno) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path, line) from None


def _json(path: Path, told: Told) -> Iterator[Row]:
    with _open(path) as handle:
        text = JsonText(handle, path)
        while (first := text.next()).isspace():
            text.step()
        if first == "[":
            yield from (Row(path, value, line) for line, value in text.items(strict=False))
            if text.next():
                raise text.error("Extra data")
            return
    outline = _outline(path)
    if outline is not None and outline.more:
        yield from _jsonl(path, told)
    elif outline is not None and outline.lists in [(key,) for key in _LIST_KEYS]:
        yield from _rows_under(outline.lists[0], path)
    else:
        yield from _whole(path, told)


class _Outline(NamedTuple):
    """An object without its lists: their keys, what else it holds, and whether more than space comes after it."""

    lists: tuple[str, ...]
    cells: dict[str, Any]
    more: bool


def _outline(path: Path) -> _Outline | None:
    """What a file begins with; None for anything but an object that is JSON and has each key once."""
    with _open(path) as handle:
        text, lists, cells = JsonText(handle, path), [], {}
        try:
            if text.next() != "{":
                return None
            for key in text.names():
                if key in cells or key in lists:
                    return None
                if text.next() == "[":
                    lists.append(key)
                    deque(text.items(), maxlen=0)
                else:
                    cells[key] = text.value()
            return _Outline(tuple(lists), cells, text.next() != "")
        except InputError:
            return None


def head_of_json(path: Path) -> dict[str, Any]:
    """What a document of one JSON object holds beside its lists; nothing for any other."""
    outline = _outline(path)
    return outline.cells if outline is not None and not outline.more else {}


def _rows_under(key: str, path: Path) -> Iterator[Row]:
    with _open(path) as handle:
        text = JsonText(handle, path)
        text.next()
        for one in text.names():
            if one != key:
                text.value()
                continue
            for number, (_, value) in enumerate(text.items(), 1):
                yield Row(path, value, number=number)


def _whole(path: Path, told: Told) -> Iterator[Row]:
    with _open(path) as handle:
        text = _decode(handle.read().removeprefix(BOM), path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _jsonl(path, told)
            return
        raise bad_json(error, path, error.lineno, error.colno) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path) from None
    yield from _rows_of_object(value, path)


def _rows_of_object(value: Any, path: Path) -> Iterator[Row]:
    if not isinstance(value, dict):
        raise InputError(f"found {type(value).__name__}, expected a list of rows", path)
    for key in _LIST_KEYS:
        if isinstance(value.get(key), list) and not any(isinstance(one, list) for k, one in value.items() if k != key):
            yield from (Row(path, one, number=number) for number, one in enumerate(value[key], 1))
            return
    columns = {key: one for key, one in value.items() if isinstance(one, list)}
    if not columns or len(columns) < len(value) or len({len(one) for one in columns.values()}) > 1:
        raise InputError(
            "expected a list of rows, an object with such a list under 'data', or an object of equally long columns; "
            f"found an object with the keys {', '.join(map(repr, list(value)[:8]))}",
            path,
        )
    for number, cells in enumerate(zip(*columns.values(), strict=True), 1):
        yield Row(path, dict(zip(columns, cells, strict=True)), number=number)


# ------------------------------------------------------------------------------------------------------- tables


def _csv(path: Path, told: Told) -> Iterator[Row]:
    first = next(_lines(path), (1, ""))[1]
    return _delimited(path, ";" if ";" in first and "," not in first else ",", told)


def _tsv(path: Path, told: Told) -> Iterator[Row]:
    return _delimited(path, "\t", told)


def _delimited(path: Path, delimiter: str, told: Told) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        line = reader.line_num
        for cells in reader:
            line, start = reader.line_num, line + 1
            if not cells:
                continue
            if len(cells) != len(header):
                told(InputError(f"{len(cells)} cells under {len(header)} columns", path, start))
                continue
            yield Row(path, dict(zip(header, cells, strict=True)), start)
    except csv.Error as error:
        raise InputError(f"broken CSV in the row that starts here: {error}", path, line + 1) from None


def _parquet(path: Path, told: Told) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
        number = 0
        for group in range(table.num_row_groups):  # a reader of batches holds on to every group that it has read
            for batch in table.iter_batches(batch_size=1000, row_groups=[group]):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(path, value, number=number)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file that can be read: {str(error).splitlines()[0]}", path) from None


def _dataset(path: Path, told: Told) -> Iterator[Row]:
    """A folder that `datasets` wrote with `save_to_disk`: one dataset, or several under the names of their splits."""
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        raise InputError("a folder, but not one that datasets.save_to_disk wrote; name the files in it", path)
    for name in _named_files(path):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "::" in name:
            raise InputError(f"names a file outside the folder, which is not opened: {name!r}", path)
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        raise InputError(f"not a dataset that can be loaded: {str(error).splitlines()[0]}", path) from None
    parts = loaded if isinstance(loaded, datasets.DatasetDict) else {None: loaded}
    for part, rows in parts.items():
        for number, value in enumerate(rows, 1):
            yield Row(path / part if part else path, value, number=number, part=part)


def _named_files(folder: Path) -> Iterator[str]:
    """The splits and the data files that `datasets` would open, as the folder's own files name them."""
    splits = [str(one) for one in _listed(folder / "dataset_dict.json", "splits")]
    yield from splits
    for part in (folder, *(folder / split for split in splits)):
        try:
            yield from [str(one["filename"]) for one in _listed(part / "state.json", "_data_files")]
        except (KeyError, TypeError) as error:
            raise InputError(f"not a dataset that can be loaded: {error!r}", part / "state.json") from None


def _listed(file: Path, key: str) -> list[Any]:
    if not file.is_file():
        return []
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))[key])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"not a dataset that can be loaded: {error!r}", file) from None
