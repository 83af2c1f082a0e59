"""The type of options and arguments that say where a command writes: checked before anything else is done."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click


class OutPath(click.Path):
    """A folder to write into, or a file where its name matches `files`; raises `RunError` for one that cannot be."""

    def __init__(self, files: str = "") -> None:
        super().__init__(path_type=Path)
        self._files = files

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from cai.errors import RunError
        from cai.storage.run import check_way

        path: Any = super().convert(value, param, ctx)
        is_file = bool(self._files) and fnmatch(path.name, self._files)
        if is_file and path.is_dir():
            raise RunError(f"{path}: this is a folder; name a file")
        check_way(path.parent if is_file else path, path)
        return path
