"""An import as files: ``preferences.jsonl`` or ``prompts.jsonl``, and beside it the rows that could not be carried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from cai.errors import InputError
from cai.imports.formats import FORMATS, HEAD, check_format, first_format
from cai.imports.labels import Ranker
from cai.imports.reading import ImportReport, Reading
from cai.imports.sources import Source
from cai.prompts.files import Row, rejected_line
from cai.prompts.mistakes import Mistakes
from cai.records import Kind, Preference, Prompt
from cai.storage.run import atomic_write

Wanted = Literal["preferences", "prompts"]
_NO_ROWS = "holds no rows"


def import_data(
    sources: Sequence[Source],
    out: Path,
    format_name: str = "auto",
    *,
    wanted: Wanted | None = None,
    ranker: Ranker = "human",
    kind: Kind | None = None,
    test_share: float = 0.2,
    force: bool = False,
) -> tuple[Path, ImportReport]:
    """Write what the files hold to `out` (a ``.jsonl`` file, or a folder) and its rejects beside it, atomically.

    Returns the file and how it was read. `wanted` None takes preferences where the format carries them. Raises
    `InputError` where nothing could be carried, or where a file is already there and `force` is not set.
    """  # fmt: skip
    wanted = wanted or _carried(sources, check_format(format_name))
    path = out if out.suffix == ".jsonl" else out / f"{wanted}.jsonl"
    beside = path.with_name(f"{path.stem}.rejected.jsonl")
    _check_free((path, beside), sources, force)
    with ExitStack() as stack:
        reading = Reading(sources, format_name, ranker, kind, test_share, _Rejects(beside, stack))
        records: Iterator[Preference | Prompt]
        records = reading.preferences() if wanted == "preferences" else reading.prompts()
        handle: IO[str] | None = None
        for record in records:
            handle = handle or stack.enter_context(atomic_write(path))
            handle.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
    report = reading.report
    if force and not report.rejected:
        beside.unlink(missing_ok=True)
    if not report.kept:
        raise InputError(_nothing(report, wanted, beside), sources[0].spec.path)
    return path, report


class _Rejects:
    """Writes each rejected row with its place and reason; the file is there only if there is one."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._stack = path, stack
        self._handle: IO[str] | None = None

    def __call__(self, row: Row, why: str) -> None:
        if self._handle is None:
            self._handle = self._stack.enter_context(atomic_write(self._path))
        self._handle.write(rejected_line(row, why))


def _carried(sources: Sequence[Source], format_name: str) -> Wanted:
    """What the format of the first file with rows carries; judged answers are taken for preferences."""
    for source in sources:
        form = source.mapped or (FORMATS[format_name] if format_name != "auto" else None)
        if form is None:
            mistakes = Mistakes(source.spec.path)
            head = list(islice(source.rows(mistakes), HEAD))
            if not head:
                mistakes.check()
            form = FORMATS[first_format(head)] if head else None
        if form is not None:
            return "prompts" if form.carries == "prompts" else "preferences"
    raise InputError(_NO_ROWS, sources[0].spec.path)


def _check_free(paths: Sequence[Path], sources: Sequence[Source], force: bool) -> None:
    for path in paths:
        if any(path.exists() and path.samefile(source.spec.path) for source in sources):
            raise InputError("--out would replace the file that is read", path)
        if path.exists() and not force:
            raise InputError("already there, and never overwritten unless --force says so", path)


def _nothing(report: ImportReport, wanted: Wanted, beside: Path) -> str:
    if not report.rows:
        return _NO_ROWS
    why = "; ".join(f"{count:,} × {reason}" for reason, count in report.rejected.most_common(3))
    hint = "; --as prompts takes its prompts" if wanted == "preferences" else ""
    return f"holds no {wanted} that can be carried ({why}){hint}; each row is in {beside}"
