"""Rows of an export to files: ``train.jsonl``, ``test.jsonl``, ``train.parquet``, ``test.parquet``."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from cai.exports import Export, FileType, LeftOut, Row, Source
from cai.exports.items import Item, items_of
from cai.records import SPLITS
from cai.storage.run import atomic_write, write_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FILE_TYPES: tuple[FileType, ...] = ("jsonl", "parquet")
ROW_GROUP = 1000
BUFFER = 1 << 17
"""Bytes of JSON lines that are held before they are written."""
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


class _File(Protocol):
    def add(self, row: Row, line: bytes) -> None: ...


def export_dataset(
    export: Export, records: Iterable[object], folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write all records' rows and what the consumer wants beside them; see `DatasetWriter`."""
    with DatasetWriter(export, folder, files) as writer:
        for record in records:
            for item in items_of(export.source, record, export.options):
                writer.add_item(item, shared_json(item))
    return dict(writer.counts)


def export_items(writers: Mapping[Source, Sequence[DatasetWriter]], records: Iterable[tuple[Source, Any]]) -> None:
    """Feed every record to the writers of its source: it is taken apart once, whatever the number of formats."""
    with _no_collection():
        for source, record in records:
            mine = writers[source]
            for item in items_of(source, record, mine[0].export.options):
                shared = shared_json(item)
                for writer in mine:
                    writer.add_item(item, shared)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for cycles meanwhile: rows have none, and each search would walk through all that are held."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def shared_json(item: Item | LeftOut) -> str:
    """The end of a JSON line: the columns that are the same in every format of the item's source."""
    return "" if isinstance(item, LeftOut) else f", {_encode(item.columns)[1:]}\n"


def write_dataset(
    rows: Iterable[Row | LeftOut], schema: pa.Schema, folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write rows that are made already; see `DatasetWriter`."""
    with DatasetWriter(None, folder, files, schema) as writer:
        for row in rows:
            writer.add(row)
    return dict(writer.counts)


class DatasetWriter:
    """Writes rows by their `split`, streamed, each file atomically; equal rows give equal bytes.

    `counts` are the rows of "train" and "test", and how many were left out under each reason; `kinds` are rows by split
    and kind of prompt, `label_from` by where an unpaired label comes from. A split without rows has no file, and one
    that an earlier export left is removed. Raises `RunError` when the disk is full.
    """

    def __init__(
        self, export: Export | None, folder: Path, files: Sequence[FileType] = FILE_TYPES, schema: pa.Schema = None
    ) -> None:
        self._export, self.folder = export, folder
        self._kinds = tuple(files) if export is None else _kinds_of(export, files)
        self._schema = schema if export is None else export.schema()
        self._names = list(self._schema.names)
        self.counts: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.label_from: Counter[str] = Counter()
        self._stack = ExitStack()
        self._open: dict[str, list[_File]] = {}
        self._document: _File | None = None

    @property
    def export(self) -> Export:
        if self._export is None:
            raise ValueError("a writer of rows that are made already has no export")
        return self._export

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            self._tidy()

    def add(self, row: Row | LeftOut) -> None:
        """Write one row, or count one that was left out."""
        if isinstance(row, LeftOut):
            self.counts[row.reason] += 1
            return
        self._check(row)
        self._write(row, f"{_encode(row)}\n")

    def add_item(self, item: Item | LeftOut, shared: str) -> None:
        """Write the row that the export makes of an item, or count why there is none; `shared` is `shared_json`."""
        if isinstance(item, LeftOut):
            self.counts[item.reason] += 1
            return
        row = self.export.own_columns(item)
        if isinstance(row, LeftOut):
            self.counts[row.reason] += 1
            return
        line = _encode(row)[:-1] + shared
        row.update(item.columns)
        if not self._open:
            self._check(row)
        self._write(row, line)

    def _check(self, row: Row) -> None:
        if list(row) != self._names:
            raise ValueError(f"a row has the columns {list(row)}, the schema {self._names}")

    def _write(self, row: Row, text: str) -> None:
        try:
            line = text.encode()
        except UnicodeEncodeError:
            self.counts["not_utf8"] += 1
            return
        split = row["split"]
        for file in self._open.get(split) or self._opened(split):
            file.add(row, line)
        self.counts[split] += 1
        self.kinds[split, row.get("kind", "")] += 1
        if "label_from" in row:
            self.label_from[row["label_from"]] += 1

    def _opened(self, split: str) -> list[_File]:
        self._open[split] = [self._file(kind, split) for kind in self._kinds]
        return self._open[split]

    def _file(self, kind: FileType, split: str) -> _File:
        if kind == "json":
            if self._document is None:
                self._document = self._one_document()
            return self._document
        handle = self._stack.enter_context(atomic_write(self.folder / f"{split}.{kind}", "wb"))
        if kind == "jsonl":
            lines = _Lines(handle.write)
            self._stack.push(lines.leave)
            return lines
        import pyarrow.parquet as pq

        table = _Table(pq.ParquetWriter(handle, self._schema, compression="zstd"), self._schema)
        self._stack.push(table.leave)
        return table

    def _one_document(self) -> _File:
        """The one file of a format that is no list of rows; its splits lie in it together."""
        assert self.export.document is not None
        handle = self._stack.enter_context(atomic_write(self.folder / f"{self.folder.name}.json", "wb"))
        document: Any = self.export.document(handle, self.export.options)
        self._stack.push(document.leave)
        return document  # type: ignore[no-any-return]

    def files(self) -> list[str]:
        """Names of the data files, in order."""
        if self._document is not None:
            return [f"{self.folder.name}.json"]
        return [f"{split}.{kind}" for split in SPLITS if split in self._open for kind in self._kinds]

    def _tidy(self) -> None:
        for split in SPLITS:
            for kind in FILE_TYPES:
                if split not in self._open or kind not in self._kinds:
                    (self.folder / f"{split}.{kind}").unlink(missing_ok=True)
        if self._export is not None and self._export.beside is not None:
            for name, value in self._export.beside(self.folder.name, self.files()).items():
                write_json(self.folder / name, value)


def _kinds_of(export: Export, files: Sequence[FileType]) -> tuple[FileType, ...]:
    """The file types asked for that the format has; its own where it has none of them."""
    return tuple(kind for kind in files if kind in export.files) or export.files


class _Lines:
    """Writes the JSON line of each row, many at a time."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self._lines, self._size = write, list[bytes](), 0

    def add(self, row: Row, line: bytes) -> None:
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
