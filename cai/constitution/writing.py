"""Constitutions as YAML for people: block scalars, one order of keys, and a copy of the schema that editors find."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cai.constitution.loading import find_constitution
from cai.errors import InputError
from cai.records import Json
from cai.schemas import FOLDER
from cai.storage.run import atomic_write
from cai.yaml_files import decode, read_limited, resolve

SCHEMA_COPY = Path(".cai") / "constitution.schema.json"
SCHEMA_COMMENT = "# yaml-language-server: $schema="
WIDTH = 110
_RARE_BREAK = re.compile("[\r\x85\u2028\u2029]")


def constitution_yaml(value: Json, header: Sequence[str] = ()) -> str:
    """YAML text of a constitution's mapping, under comment lines. Reading it back gives `value`."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    Dumper.add_representer(str, _text_node)
    head = "".join(f"# {line}".rstrip() + "\n" for line in header) + ("\n" if header else "")
    return head + "".join(
        _section(key, yaml.dump({key: part}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=WIDTH))
        for key, part in value.items()
    )


def _section(key: str, text: str) -> str:
    """A blank line before the long sections, and between principles."""
    if key == "principles":
        text = text.replace("\n  - id: ", "\n\n  - id: ").replace("principles:\n\n", "principles:\n")
    return f"\n{text}" if key in ("principles", "examples", "tests") else text


def _text_node(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    """Literal blocks for several lines, folded ones for long lines, quotes where the text would read as a number."""
    if _RARE_BREAK.search(text):
        return '"'
    if "\n" in text.strip("\n"):
        return "|"
    if len(text) > WIDTH - 30:
        return ">"
    try:
        plain = isinstance(resolve(text), str)
    except ValueError:
        plain = False
    return None if plain else "'"


def write_new(path: str | Path, text: str) -> Path:
    """Writes `text` to a file that must not be there yet, whole or not at all, and the schema beside it.

    Raises `InputError`, and `RunError` when the folder cannot be written.
    """
    path = Path(path)
    if path.is_dir() or not path.name:
        raise InputError("this is a folder; name a file", path)
    if path.exists() or path.is_symlink():
        raise InputError("the file is already there, and is never overwritten; name another", path)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError("the name of a constitution must end in .yaml or .yml", path)
    with atomic_write(path.parent / SCHEMA_COPY) as file:
        file.write((FOLDER / "constitution.json").read_text(encoding="utf-8"))
    with atomic_write(path) as file:
        file.write(text)
    return path


def schema_line() -> str:
    """The comment by which editors find the schema that `write_new` puts beside the file."""
    return f"{SCHEMA_COMMENT}{SCHEMA_COPY.as_posix()}"


def new_constitution(path: str | Path, source: str = "minimal") -> Path:
    """A copy of a constitution, comments and all, named after its file. Raises `InputError` if `path` exists."""
    origin = find_constitution(source)
    text = decode(read_limited(origin, 256 * 1024), origin)
    lines = [line for line in text.splitlines() if not line.startswith(SCHEMA_COMMENT)]
    name = Path(path).stem
    for index, line in enumerate(lines):
        if line.startswith("name:"):
            _, mark, comment = line.partition("#")
            named = constitution_yaml({"name": name}).strip()
            lines[index] = f"{named:{line.index('#') if mark else 0}}{mark}{comment}"
            break
    return write_new(path, "\n".join([schema_line(), *lines]) + "\n")
