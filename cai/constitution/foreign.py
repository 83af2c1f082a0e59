"""Importing constitutions of other projects: recognise the format, read, write as ours, and say what was lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cai.constitution.foreign_formats import (
    Imported,
    langchain,
    llm_swarm,
    paper_comparison_shots,
    paper_comparisons,
    paper_pairs,
    paper_reasoned_shots,
    paper_revision_shots,
    rbr,
    salmon,
)
from cai.constitution.loading import document_problems
from cai.constitution.writing import constitution_yaml
from cai.errors import InputError, json_limit
from cai.records import Json
from cai.yaml_files import Limits, decode, parse_yaml, read_limited

Reader = Callable[[Any, str, Imported], None]


def _rows(value: Any, *keys: str) -> bool:
    rows = value if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows)


def _texts(value: Any, mark: str) -> bool:
    rows = value if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, str) and mark in row for row in rows)


def _values(value: Any, key: str | None = None) -> Any:
    """The values of a mapping, or of the mapping under `key`, as a list."""
    inner = value.get(key) if key and isinstance(value, dict) else value
    return list(inner.values()) if isinstance(inner, dict) else None


def _reasoned(value: Any) -> bool:
    return _rows(value, "prompt") and all("[[[" in str(row["prompt"]) for row in value)


def _swarm(value: Any) -> bool:
    return isinstance(value, dict) and _rows(value.get("constitutions"), "critic", "revision")


_SHAPES: list[tuple[str, Callable[[Any], bool], Reader]] = [
    ("cai-paper", lambda value: _rows(_values(value), "prompt", "edit_request"), paper_pairs),
    ("cai-paper", lambda value: _texts(value, "Options:"), paper_comparisons),
    ("cai-paper", lambda value: _texts(value, "CritiqueRequest:"), paper_revision_shots),
    ("cai-paper", lambda value: _rows(value, "prompt", "corrects", "incorrects"), paper_comparison_shots),
    ("cai-paper", _reasoned, paper_reasoned_shots),
    ("llm-swarm", _swarm, llm_swarm),
    ("langchain", lambda value: _rows(value, "name", "critique_request", "revision_request"), langchain),
    ("salmon", lambda value: _rows(value, "dimension", "definition"), salmon),
    ("rbr", lambda value: _rows(_values(value, "simple_propositions"), "prompt"), rbr),
]
FORMATS = tuple(dict.fromkeys(name for name, *_ in _SHAPES))


def read_foreign(paths: Sequence[str | Path], format: str = "auto") -> Imported:
    """Everything in `paths`, as one constitution. Raises `InputError` for a file in none of the formats."""
    into = Imported()
    loaded = [(path, _load(path)) for path in _files(paths)]
    found = [(path, value, *_recognise(path, value, format)) for path, value in loaded]
    for path, value, name, reader in sorted(found, key=lambda one: one[3] is paper_comparison_shots):
        try:
            reader(value, path.name, into)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise InputError(
                f"looks like {name}, but an entry is not as it should be: {_reason(error)}", path
            ) from None
        into.formats.append(name)
    if not into.principles and not into.revision_examples:
        raise InputError(f"nothing in it can be carried: {'; '.join(into.lost) or 'it is empty'}", paths[0])
    if not into.principles:
        raise InputError("it holds worked examples but no principle; import it together with the principles", paths[0])
    _drop_needless_only_for(into)
    return into


def _reason(error: Exception) -> str:
    return f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)


def _drop_needless_only_for(into: Imported) -> None:
    """`only_for` is there to tell two sorts apart; a file with one sort does not need it."""
    if len({row["only_for"] for row in into.principles if "only_for" in row}) == 1:
        for row in into.principles:
            row.pop("only_for", None)


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        inside = sorted(one for one in path.iterdir() if one.suffix in (".json", ".yaml", ".yml"))
        if not inside:
            raise InputError("this folder has no .json or .yaml file", path)
        yield from inside


def _load(path: Path) -> Any:
    data = read_limited(path, Limits().bytes)
    text = decode(data, path)
    if not text.lstrip().startswith(("{", "[")):
        try:
            return parse_yaml(data, path).value
        except InputError as error:
            message = f"neither JSON nor YAML of a known format ({error.message}); {_known()}"
            raise InputError(message, path, error.line, error.column) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"this is not JSON: {error.msg}", path, error.lineno, error.colno) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON that can be read: {json_limit(error)}", path) from None


def _known() -> str:
    return f"formats that can be imported: {', '.join(FORMATS)}"


def _recognise(path: Path, value: Any, format: str) -> tuple[str, Reader]:
    for name, fits, reader in _SHAPES:
        if format in ("auto", name) and fits(value):
            return name, reader
    if isinstance(value, dict) and isinstance(value.get("principles"), list):
        raise InputError("this is a constitution of ours already; `cai constitution check` reads it", path)
    what = "in no known format" if format == "auto" else f"not in the format {format}"
    raise InputError(f"the file is {what}; {_known()}", path, 1, 1)


def imported_yaml(imported: Imported, name: str, paths: Sequence[str | Path], language: str = "en") -> str:
    """The constitution as a YAML file that says where it is from. Raises `InputError` if our reader would refuse it."""
    text = constitution_yaml(_value(imported, name, language), list(_header(imported, paths)))
    path = Path(f"{name}.yaml")
    try:
        found = document_problems(parse_yaml(text.encode(), path))
    except InputError as error:
        raise InputError(f"too much for one constitution: {error.message}", paths[0]) from None
    if found:
        raise InputError(f"what was read does not make a constitution: {found[0].message}", paths[0])
    return text


def _value(imported: Imported, name: str, language: str) -> Json:
    count, formats = len(imported.principles), ", ".join(dict.fromkeys(imported.formats))
    value: Json = {
        "name": name,
        "description": f"{count} principles imported from the {formats} format.",
        "language": language,
        "principles": imported.principles,
    }
    examples = {"revision": imported.revision_examples, "comparison": imported.comparison_examples}
    if kept := {kind: rows for kind, rows in examples.items() if rows}:
        value["examples"] = kept
    return value


def _header(imported: Imported, paths: Sequence[str | Path]) -> Iterator[str]:
    yield "Imported with `cai constitution import` from:"
    for path in _files(paths):
        yield f"  {path.name}  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield "The wordings are their authors': see to the licence of the source before you pass this file on."
    for lost in imported.lost:
        yield _one_line(f"Not carried: {lost}")
    for note in imported.notes:
        yield _one_line(f"Note: {note}")


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
