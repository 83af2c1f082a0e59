"""Row groups of a Parquet file, gathered on the disk: few of them, and none in memory but the one that is written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

GROUP = 1 << 24
"""Bytes of rows, as JSON lines, from which on a row group is written."""


class RowGroups:
    """Takes the tables of a file as they come and writes row groups of `GROUP` bytes; equal tables give equal groups.

    A Parquet writer holds about 0.9 KiB for every column of every row group until its file is closed. With a group for
    each table of 1,000 rows, the 21 formats that have Parquet files would hold 0.24 KiB a preference; with these groups
    it is by reckoning some 20 bytes for one of 1 KiB, and about one byte for a single format. What waits for its group
    lies in a file without a name in `folder`, which goes with the process, however that ends. Raises `OSError` when the
    disk is full.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, folder: Path) -> None:
        self._writer, self._schema, self._folder = writer, schema, folder
        self._waiting: IO[bytes] | None = None
        self._stream: pa.RecordBatchStreamWriter | None = None
        self._size = 0

    def add(self, table: pa.Table, size: int) -> None:
        """Have a table wait for its group; `size` are the bytes of its rows as JSON lines."""
        if self._stream is None:
            self._stream = self._opened()
        self._stream.write_table(table)
        self._size += size
        if self._size >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one row group."""
        import pyarrow as pa

        if self._stream is None or self._waiting is None:
            return
        self._stream.close()
        self._waiting.seek(0)
        with pa.ipc.open_stream(self._waiting) as waiting:
            self._writer.write_table(waiting.read_all())
        self._stream, self._size = None, 0

    def close(self) -> None:
        """Let go of what waits without writing it."""
        self._stream = None
        if self._waiting is not None:
            self._waiting.close()

    def _opened(self) -> pa.RecordBatchStreamWriter:
        import pyarrow as pa

        if self._waiting is None:
            self._waiting = TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` closes it
        self._waiting.seek(0)
        self._waiting.truncate()
        return pa.ipc.new_stream(self._waiting, self._schema)
