"""Rows of an export to files: ``train.jsonl``, ``test.jsonl``, ``train.parquet``, ``test.parquet``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from cai.exports import Export, LeftOut, Row
from cai.records import SPLITS
from cai.storage.run import atomic_write

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FileType = Literal["jsonl", "parquet"]
FILE_TYPES: tuple[FileType, ...] = ("jsonl", "parquet")
ROW_GROUP = 1000


def export_dataset(
    export: Export, records: Iterable[object], folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write all records' rows; see `write_dataset`."""
    return write_dataset(export.rows(records), export.schema(), folder, files)


def write_dataset(
    rows: Iterable[Row | LeftOut], schema: pa.Schema, folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write rows by their `split`, streamed, each file atomically; equal rows give equal bytes.

    Returns the rows of "train" and "test", and how many were left out under each reason. A split without rows has no
    file, and one that an earlier run left is removed. Raises `RunError` when the disk is full.
    """
    counts: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    with ExitStack() as stack:
        writers: dict[str, list[_Lines | _Table]] = {}
        for row in rows:
            if isinstance(row, LeftOut):
                counts[row.reason] += 1
                continue
            line = _line(row, schema)
            if line is None:
                counts["not_utf8"] += 1
                continue
            split = row["split"]
            if split not in writers:
                writers[split] = [_open(kind, folder / f"{split}.{kind}", schema, stack) for kind in files]
            for writer in writers[split]:
                writer.add(row, line)
            counts[split] += 1
    for split in SPLITS:
        for kind in FILE_TYPES:
            if split not in writers or kind not in files:
                (folder / f"{split}.{kind}").unlink(missing_ok=True)
    return dict(counts)


def _line(row: Row, schema: pa.Schema) -> bytes | None:
    """The row as a JSON line, or None if UTF-8 cannot carry its text (half of a surrogate pair)."""
    if list(row) != schema.names:
        raise ValueError(f"a row has the columns {list(row)}, the schema {schema.names}")
    try:
        return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return None


def _open(kind: FileType, path: Path, schema: pa.Schema, stack: ExitStack) -> _Lines | _Table:
    handle = stack.enter_context(atomic_write(path, "wb"))
    if kind == "jsonl":
        return _Lines(handle)
    import pyarrow.parquet as pq

    table = _Table(pq.ParquetWriter(handle, schema, compression="zstd"), schema)
    stack.push(table.leave)
    return table


class _Lines:
    """Writes the JSON line of each row."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    def add(self, row: Row, line: bytes) -> None:
        self._handle.write(line)


class _Table:
    """Holds at most `ROW_GROUP` rows, then writes them as one row group."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema, self._rows = writer, schema, list[Row]()

    def add(self, row: Row, line: bytes) -> None:
        self._rows.append(row)
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

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows.clear()
