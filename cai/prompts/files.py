"""Files of rows, one row at a time, each with the place that an error names. What a row means is `shapes`."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cai.errors import InputError, json_limit
from cai.prompts.spec import PromptFile

_BOM = b"\xef\xbb\xbf"
_LIST_KEYS = ("data", "rows", "prompts", "examples", "instances", "comparisons")
_LONGEST_FIELD = 1 << 26


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


def read_rows(spec: PromptFile) -> Iterator[Row]:
    """The rows of a file, streamed where its format allows (all but JSON).

    Raises `InputError` with line and column for invalid UTF-8, broken JSON and broken CSV.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        "jsonl": _jsonl, "json": _json, "csv": _csv, "tsv": _tsv, "txt": _text, "parquet": _parquet,
        "dataset": _dataset,
    }  # fmt: skip
    try:
        yield from readers[spec.format](spec.path)
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
            text = _decode(raw.removeprefix(_BOM) if number == 1 else raw, path, number)
            yield number, text[:-2] + "\n" if text.endswith("\r\n") else text


def _decode(raw: bytes, path: Path, line: int = 1) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = line + before.count("\n"), len(before) - (before.rfind("\n") + 1) + 1
        hint = "; it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        found = f"invalid UTF-8: byte 0x{raw[error.start]:02x}{hint}; save the file as UTF-8"
        raise InputError(found, path, line, column) from None


def _text(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if text := line.strip():
            yield Row(path, text, number)


# --------------------------------------------------------------------------------------------------------- JSON


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if line.strip():
            yield Row(path, _loads(line.rstrip("\n"), path, number), number)


def _loads(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _bad_json(error, path, line) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path, line) from None


def _bad_json(error: json.JSONDecodeError, path: Path, line: int = 1) -> InputError:
    cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    what = "JSON that ends half-way (was the file cut off?)" if cut else "not JSON"
    return InputError(f"{what}: {error.msg}", path, line + error.lineno - 1, error.colno)


def _json(path: Path) -> Iterator[Row]:
    with _open(path) as handle:
        text = _decode(handle.read().removeprefix(_BOM), path)
    if text.lstrip().startswith("["):
        yield from _array(text, path)
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _jsonl(path)
            return
        raise _bad_json(error, path) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path) from None
    yield from _rows_of_object(value, path)


def _array(text: str, path: Path) -> Iterator[Row]:
    """The items of a JSON array, each with the line that it starts on."""
    decoder = json.JSONDecoder()
    position, line = _space(text, text.index("[") + 1), 1 + text.count("\n", 0, text.index("[") + 1)
    counted = text.index("[") + 1
    try:
        while text[position : position + 1] != "]":
            line, counted = line + text.count("\n", counted, position), position
            value, end = decoder.raw_decode(text, position)
            yield Row(path, value, line)
            position = _space(text, end)
            if text[position : position + 1] == ",":
                position = _space(text, position + 1)
            elif text[position : position + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        if _space(text, position + 1) < len(text):
            raise json.JSONDecodeError("Extra data", text, _space(text, position + 1))
    except json.JSONDecodeError as error:
        raise _bad_json(error, path) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path, line) from None


def _space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\n", "\r", "\t"):
        position += 1
    return position


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


def _csv(path: Path) -> Iterator[Row]:
    first = next(_lines(path), (1, ""))[1]
    return _delimited(path, ";" if ";" in first and "," not in first else ",")


def _tsv(path: Path) -> Iterator[Row]:
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
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
                raise InputError(f"{len(cells)} cells under {len(header)} columns", path, start)
            yield Row(path, dict(zip(header, cells, strict=True)), start)
    except csv.Error as error:
        raise InputError(f"broken CSV in the row that starts here: {error}", path, line + 1) from None


def _parquet(path: Path) -> Iterator[Row]:
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


def _dataset(path: Path) -> Iterator[Row]:
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
