"""The files that rows go to: JSON lines, and Parquet tables that share what they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from cai.exports import Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP = 1000
BUFFER = 1 << 17
"""Bytes of JSON lines that are held before they are written."""
SHARED = 6
"""Arrow arrays of one type that are kept to be shared, each of at most `LARGEST` bytes."""
LARGEST = 1 << 16
TEXTS = 64
"""Texts of which the JSON is kept."""


class _Texts(dict[str, str]):
    """The last texts as JSON: one text stands in the rows of many formats."""

    def __missing__(self, text: str) -> str:
        if len(self) == TEXTS:
            self.clear()
        made = self[text] = json.encoder.encode_basestring(text)
        return made


def _encoder() -> Callable[[Any], str]:
    """`json`'s encoder made once; its own `encode` makes the part that is in C anew for every row."""
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False)
    try:
        make: Any = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        chunks = make(None, plain.default, _Texts().__getitem__, None, ": ", ", ", False, False, False)
    except (AttributeError, TypeError):
        return plain.encode
    return lambda value: "".join(chunks(value, 0))


encode = _encoder()
"""A row as one line of JSON; raises `ValueError` for a number that JSON does not have."""


class File(Protocol):
    """What a row is added to: its own columns, those that formats of a source share, and its JSON line."""

    def add(self, row: Row, shared: Row, line: bytes) -> None: ...


class Lines:
    """Writes the JSON line of each row, many at a time."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self._lines, self._size = write, list[bytes](), 0

    def add(self, row: Row, shared: Row, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size > BUFFER:
            self.flush()

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is held, unless an error cut the file off."""
        if kind is None:
            self.flush()

    def flush(self) -> None:
        self._write(b"".join(self._lines))
        self._lines.clear()
        self._size = 0


class Arrays:
    """Arrow arrays by type and values: formats of a source have many columns in common, and each is made once."""

    def __init__(self) -> None:
        self._made: dict[pa.DataType, list[tuple[list[Any], pa.Array]]] = {}

    def of(self, kind: pa.DataType, values: list[Any]) -> pa.Array:
        import pyarrow as pa

        made = self._made.setdefault(kind, [])
        for known, array in made:
            if known == values:
                return array
        array = pa.array(values, kind)
        if array.nbytes <= LARGEST:
            made.append((values, array))
            del made[:-SHARED]
        return array


class Table:
    """Holds at most `ROW_GROUP` rows, then writes them as one row group; `own` are the columns of `row` in `add`."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, own: Sequence[str], arrays: Arrays) -> None:
        self._writer, self._schema, self._own, self._arrays = writer, schema, frozenset(own), arrays
        self._rows, self._shared = list[Row](), list[Row]()

    def add(self, row: Row, shared: Row, line: bytes) -> None:
        self._rows.append(row)
        self._shared.append(shared)
        if len(self._rows) == ROW_GROUP:
            self.flush()

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file; after an error, let go of it while it can still be written to."""
        try:
            if kind is None:
                self.flush()
                self._writer.close()
        finally:
            with suppress(OSError):
                self._writer.close()

    def flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        columns = []
        for field in self._schema:
            name, rows = field.name, self._rows if field.name in self._own else self._shared
            columns.append(self._arrays.of(field.type, [row[name] for row in rows]))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows.clear()
        self._shared.clear()
