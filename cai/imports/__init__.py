"""Other people's preference and prompt data, in the formats that the exports write and a few more, as our records."""

from __future__ import annotations

from cai.imports.formats import FORMATS, recognise
from cai.imports.reading import ImportReport, read_preferences, read_prompt_rows
from cai.imports.sources import Source, find_sources
from cai.imports.writing import import_data

__all__ = [
    "FORMATS", "ImportReport", "Source", "find_sources", "import_data", "read_preferences", "read_prompt_rows",
    "recognise",
]  # fmt: skip
