"""The files that rows go to: JSON lines, and Parquet tables that share what they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cai.exports import Row
from cai.exports.row_groups import RowGroups

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLE = 1000
"""Rows that are made a table together."""
BUFFER = 1 << 17
"""Bytes of JSON lines that are held before they are written."""
SHARED = 2
"""Tables of which the shared columns are kept, for the formats that come to write the same."""
TEXTS = 256
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
    """Arrow arrays of the columns that formats of one source share, made once for the same rows."""

    def __init__(self) -> None:
        self._made: list[tuple[list[Row], dict[str, pa.Array]]] = []

    def of(self, rows: list[Row], fields: Sequence[pa.Field]) -> dict[str, pa.Array]:
        """The arrays of the `fields` of `rows` by name; `rows` is kept and is not to be changed afterwards."""
        for known, arrays in self._made:
            if known == rows:
                return arrays
        arrays = _arrays(rows, fields)
        self._made = [*self._made[1 - SHARED :], (rows, arrays)]
        return arrays


def _arrays(rows: list[Row], fields: Sequence[pa.Field]) -> dict[str, pa.Array]:
    import pyarrow as pa

    return {one.name: pa.array([row[one.name] for row in rows], one.type) for one in fields}


class Table:
    """Holds at most `TABLE` rows, then hands them on to their row group; `own` are the columns of `row` in `add`."""

    def __init__(
        self, writer: pq.ParquetWriter, schema: pa.Schema, own: Sequence[str], arrays: Arrays, folder: Path
    ) -> None:
        self._writer, self._schema, self._arrays = writer, schema, arrays
        self._groups = RowGroups(writer, schema, folder)
        self._own = [field for field in schema if field.name in own]
        self._others = [field for field in schema if field.name not in own]
        self._rows, self._shared, self._size = list[Row](), list[Row](), 0

    def add(self, row: Row, shared: Row, line: bytes) -> None:
        self._rows.append(row)
        self._shared.append(shared)
        self._size += len(line)
        if len(self._rows) == TABLE:
            self.flush()

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file; after an error, let go of it while it can still be written to."""
        try:
            if kind is None:
                self.flush()
                self._groups.flush()
                self._writer.close()
        finally:
            self._groups.close()
            with suppress(OSError):
                self._writer.close()

    def flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            arrays = _arrays(self._rows, self._own) | self._arrays.of(self._shared, self._others)
            self._groups.add(pa.table(arrays, self._schema), self._size)
            self._rows.clear()
            self._shared, self._size = [], 0
