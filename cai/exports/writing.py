"""Rows of an export to files: ``train.jsonl``, ``test.jsonl``, ``train.parquet``, ``test.parquet``."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cai.exports import Export, FileType, LeftOut, Row, Source
from cai.exports.files import Arrays, File, Lines, Table, encode
from cai.exports.items import COLUMNS, Item, id_of, items_of, prompt_of
from cai.records import SPLITS
from cai.storage.run import atomic_write, write_json

if TYPE_CHECKING:
    import pyarrow as pa

FILE_TYPES: tuple[FileType, ...] = ("jsonl", "parquet")
LEFT_OUT = "left_out.jsonl"


def export_dataset(
    export: Export, records: Iterable[object], folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write all records' rows and what the consumer wants beside them; see `DatasetWriter`."""
    with DatasetWriter(export, folder, files) as writer:
        _add_items([writer], export.source, records)
    return dict(writer.counts)


def export_items(writers: Mapping[Source, Sequence[DatasetWriter]], records: Iterable[tuple[Source, Any]]) -> None:
    """Feed every record to the writers of its source: it is taken apart once, whatever the number of formats."""
    with _no_collection():
        for source, record in records:
            _add_items(writers[source], source, (record,))


def _add_items(writers: Sequence[DatasetWriter], source: Source, records: Iterable[Any]) -> None:
    options = writers[0].export.options
    for record in records:
        for item in items_of(source, record, options):
            if isinstance(item, LeftOut):
                where = item if item.id else item.of(id_of(record), prompt_of(record).split)
                for writer in writers:
                    writer.leave_out(where)
                continue
            shared = shared_json(item)
            for writer in writers:
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


def shared_json(item: Item) -> str:
    """The end of a JSON line: the columns that are the same in every format of the item's source."""
    return f", {encode(item.columns)[1:]}\n"


def write_dataset(
    rows: Iterable[Row], schema: pa.Schema, folder: Path, files: Sequence[FileType] = FILE_TYPES
) -> dict[str, int]:
    """Write rows that are made already; see `DatasetWriter`."""
    with DatasetWriter(None, folder, files, schema) as writer:
        for row in rows:
            writer.add(row)
    return dict(writer.counts)


class _Side:
    """The files of one split, and its rows counted by kind of prompt and by where an unpaired label comes from."""

    def __init__(self, files: Sequence[File]) -> None:
        self.add = [one.add for one in files]
        self.rows = 0
        self.kinds: Counter[str] = Counter()
        self.label_from: Counter[str] = Counter()


class DatasetWriter:
    """Writes rows by their `split`, streamed, each file atomically; equal rows give equal bytes.

    `counts` are the rows of "train" and "test", and how many were left out under each reason; `kinds` are rows by split
    and kind of prompt, `label_from` by where an unpaired label comes from. A split without rows has no file, and one
    that an earlier export left is removed. What was left out is listed in `LEFT_OUT`, where there is any. Writers of
    one export may share `arrays`. Raises `RunError` when the disk is full.
    """

    def __init__(
        self, export: Export | None, folder: Path, files: Sequence[FileType] = FILE_TYPES, schema: pa.Schema = None,
        arrays: Arrays | None = None,
    ) -> None:  # fmt: skip
        self._export, self.folder = export, folder
        self._kinds = tuple(files) if export is None else _kinds_of(export, files)
        self._schema = schema if export is None else export.schema()
        self._names = list(self._schema.names)
        shared = () if export is None else tuple(COLUMNS[export.source])
        self._own = [name for name in self._names if name not in shared]
        self._arrays = arrays or Arrays()
        self._labels = "label_from" in shared
        self._row: Callable[[Any], Row | LeftOut] | None = None
        if export is not None:
            plain = export.carries.any_order and not export.with_margin
            self._row = export.row if plain else export.own_columns
        self._reasons: Counter[str] = Counter()
        self._stack = ExitStack()
        self._sides: dict[str, _Side] = {}
        self._document: File | None = None
        self._left_out: Lines | None = None

    @property
    def export(self) -> Export:
        if self._export is None:
            raise ValueError("a writer of rows that are made already has no export")
        return self._export

    @property
    def counts(self) -> Counter[str]:
        counts = Counter[str]()
        for split in SPLITS:
            counts[split] = self._sides[split].rows if split in self._sides else 0
        counts.update(self._reasons)
        return counts

    @property
    def kinds(self) -> Counter[tuple[str, str]]:
        return Counter({(split, kind): n for split, side in self._sides.items() for kind, n in side.kinds.items()})

    @property
    def label_from(self) -> Counter[str]:
        return sum((side.label_from for side in self._sides.values()), Counter())

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            self._tidy()

    def add(self, row: Row) -> None:
        """Write one row that is made already."""
        self._check(row)
        self._write(row, {}, f"{encode(row)}\n")

    def add_item(self, item: Item, shared: str) -> None:
        """Write the row that the export makes of an item, or count why there is none; `shared` is `shared_json`."""
        assert self._row is not None
        row, columns = self._row(item), item.columns
        if isinstance(row, LeftOut):
            self.leave_out(row.of(columns["id"], columns["split"]))
            return
        if not self._sides:
            self._check({**row, **columns})
        self._write(row, columns, encode(row)[:-1] + shared)

    def leave_out(self, one: LeftOut) -> None:
        """Count and list what has no row."""
        self._reasons[one.reason] += 1
        if self._left_out is None:
            handle = self._stack.enter_context(atomic_write(self.folder / LEFT_OUT, "wb"))
            self._left_out = Lines(handle.write)
            self._stack.push(self._left_out.leave)
        told = {"id": one.id, **({"split": one.split} if one.split else {}), "reason": one.reason}
        self._left_out.add({}, {}, f"{encode(told)}\n".encode("utf-8", "backslashreplace"))

    def _check(self, row: Row) -> None:
        if list(row) != self._names:
            raise ValueError(f"a row has the columns {list(row)}, the schema {self._names}")

    def _write(self, row: Row, columns: Row, text: str) -> None:
        where = columns or row
        split = where["split"]
        try:
            line = text.encode()
        except UnicodeEncodeError:
            self.leave_out(LeftOut("not_utf8", where.get("id", ""), split))
            return
        side = self._sides.get(split) or self._opened(split)
        for add in side.add:
            add(row, columns, line)
        side.rows += 1
        side.kinds[where.get("kind", "")] += 1
        if self._labels:
            side.label_from[where["label_from"]] += 1

    def _opened(self, split: str) -> _Side:
        self._sides[split] = _Side([self._file(kind, split) for kind in self._kinds])
        return self._sides[split]

    def _file(self, kind: FileType, split: str) -> File:
        if kind == "json":
            if self._document is None:
                self._document = self._one_document()
            return self._document
        handle = self._stack.enter_context(atomic_write(self.folder / f"{split}.{kind}", "wb"))
        if kind == "jsonl":
            lines = Lines(handle.write)
            self._stack.push(lines.leave)
            return lines
        import pyarrow.parquet as pq

        writer = pq.ParquetWriter(handle, self._schema, compression="snappy", write_statistics=_numbers(self._schema))
        table = Table(writer, self._schema, self._own, self._arrays, self.folder)
        self._stack.push(table.leave)
        return table

    def _one_document(self) -> File:
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
        return [f"{split}.{kind}" for split in SPLITS if split in self._sides for kind in self._kinds]

    def left_out(self) -> list[str]:
        """`LEFT_OUT` where anything was left out."""
        return [LEFT_OUT] if self._left_out is not None else []

    def _tidy(self) -> None:
        for split in SPLITS:
            for kind in FILE_TYPES:
                if split not in self._sides or kind not in self._kinds:
                    (self.folder / f"{split}.{kind}").unlink(missing_ok=True)
        if self._left_out is None:
            (self.folder / LEFT_OUT).unlink(missing_ok=True)
        if self._export is not None and self._export.beside is not None:
            for name, value in self._export.beside(self.folder.name, self.files()).items():
                write_json(self.folder / name, value)


def _kinds_of(export: Export, files: Sequence[FileType]) -> tuple[FileType, ...]:
    """The file types asked for that the format has; its own where it has none of them."""
    return tuple(kind for kind in files if kind in export.files) or export.files


def _numbers(schema: pa.Schema) -> list[str]:
    """Columns whose least and greatest values are kept until the footer is written: of texts that would be much."""
    import pyarrow as pa

    return [one.name for one in schema if pa.types.is_primitive(one.type)]
