"""What is to be read: one file, the files of an exported dataset, or an entry of LLaMA-Factory's dataset_info.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cai.errors import InputError, did_you_mean, json_limit
from cai.imports.cells import Columns, Tags
from cai.imports.formats import FORMATS, Format
from cai.imports.pairs import dialogue, explicit, judged
from cai.prompts.files import Row, head_of_json
from cai.prompts.mistakes import Mistakes
from cai.prompts.spec import FORMATS as FILES
from cai.prompts.spec import PromptFile, parse_spec

INFO = "dataset_info.json"
_FILES = (".jsonl", ".json", ".parquet")
_PARTS = ("train", "test", "validation", "valid", "val", "dev", "eval")
_ROLES = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
_USUAL = {"user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}


@dataclass(frozen=True, slots=True)
class Source:
    """One file, what was said about it, and how its columns are mapped where a file beside it says so."""

    spec: PromptFile
    part: str | None = None
    mapped: Format | None = None

    def rows(self, mistakes: Mistakes) -> Iterator[Row]:
        """The rows that can be read, each with the split that the file's name gives; the others are `mistakes`."""
        annotator = ""
        for row in mistakes.rows(self.spec):
            if isinstance(row.value, dict) and "annotations" in row.value and self.spec.format == "json":
                annotator = annotator or _default_annotator(self.spec.path)
                row = replace(row, value={"default_annotator": annotator, **row.value})
            yield replace(row, part=self.part) if self.part else row


def _default_annotator(path: Path) -> str:
    """Whose annotations are the labels, as the head of a document of annotated pairs says; "?" if it does not."""
    said = head_of_json(path).get("metadata")
    return str(said.get("default_annotator", "?")) if isinstance(said, dict) else "?"


def find_sources(file: str, dataset: str | None = None) -> tuple[Source, ...]:
    """The files behind ``PATH`` or ``PATH?key=value&…``: a file, a folder of splits, or a folder for LLaMA-Factory.

    `dataset` picks an entry of a `dataset_info.json`. Raises `InputError` where nothing, or more than one thing, fits.
    """
    spec = parse_spec(file)
    if spec.column or spec.drop_answer or spec.first_turn:
        raise InputError("column=, answers= and turns= are for prompt files; --format says how rows are read", file)
    folder = spec.path
    entries = _entries(folder) if folder.is_dir() else None
    if entries is not None:
        return _from_info(spec, entries, dataset)
    if dataset is not None:
        raise InputError(f"--dataset picks an entry of a {INFO}, which is not there", folder)
    if not folder.is_dir() or (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        return (Source(spec),)
    return _parts(spec)


def _parts(spec: PromptFile) -> tuple[Source, ...]:
    """``train.jsonl`` and ``test.jsonl`` of a folder, or the same in another format, which then is read alone."""
    for ending in _FILES:
        found = [path for part in _PARTS if (path := spec.path / f"{part}{ending}").is_file()]
        if found:
            return tuple(Source(_with_path(spec, path), path.stem) for path in found)
    document = spec.path / f"{spec.path.resolve().name}.json"
    found = [document] if document.is_file() else sorted(one for one in spec.path.iterdir() if one.suffix in _FILES)
    if len(found) == 1:
        return (Source(_with_path(spec, found[0])),)
    names = ", ".join(path.name for path in found[:8]) or "none"
    raise InputError(f"a folder without train.jsonl or the like (data files: {names}); name one file in it", spec.path)


def _with_path(spec: PromptFile, path: Path) -> PromptFile:
    ending = path.suffix.removeprefix(".")
    return replace(spec, path=path, format=ending if ending in FILES else "jsonl")


# ------------------------------------------------------------------------------------------------ LLaMA-Factory


def _entries(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The entries of a `dataset_info.json` of LLaMA-Factory; None where there is none (datasets writes one too)."""
    path = folder / INFO
    if not path.is_file() or (folder / "state.json").is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", path, error.lineno, error.colno) from None
    except UnicodeDecodeError:
        raise InputError("invalid UTF-8; save the file as UTF-8", path) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"JSON that cannot be read: {json_limit(error)}", path) from None
    if not isinstance(found, dict) or not found or not all(isinstance(one, dict) for one in found.values()):
        raise InputError("expected an object of datasets, each with file_name and columns", path)
    return found


def _from_info(spec: PromptFile, entries: dict[str, dict[str, Any]], dataset: str | None) -> tuple[Source, ...]:
    path = spec.path / INFO
    here = {name: one for name, one in entries.items() if _local(spec.path, one)}
    if dataset is not None:
        if dataset not in here:
            why = (
                "its file is not in this folder"
                if dataset in entries
                else f"no such entry{did_you_mean(dataset, here)}"
            )
            raise InputError(f"--dataset {dataset}: {why} (with a file here: {', '.join(here) or 'none'})", path)
        here = {dataset: here[dataset]}
    if not here:
        raise InputError("none of its entries has a file in this folder", path)
    if len({json.dumps([_said(one), one.get("split")], sort_keys=True) for one in here.values()}) > 1:
        raise InputError(f"several datasets; pick one with --dataset (here: {', '.join(here)})", path)
    return tuple(_entry(spec, path, name, one) for name, one in here.items())


def _local(folder: Path, entry: dict[str, Any]) -> bool:
    """Whether an entry names a file of the folder itself; one outside it is never opened."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        return False
    path = (folder / name).resolve()
    return path.is_relative_to(folder.resolve()) and path.is_file() and path.suffix in (*_FILES, ".csv")


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry.get(key) for key in ("formatting", "ranking", "columns", "tags")}


def _entry(spec: PromptFile, info: Path, name: str, entry: dict[str, Any]) -> Source:
    path = spec.path / entry["file_name"]
    part = next((word for word in _PARTS if word in path.stem.replace("-", "_").split("_")), None)
    return Source(_with_path(spec, path), part, _mapped(info, name, entry))


def _mapped(info: Path, name: str, entry: dict[str, Any]) -> Format:
    """How an entry's columns are read, with LLaMA-Factory's own defaults for what it does not say."""
    columns, tags = entry.get("columns") or {}, entry.get("tags") or {}
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt") or not isinstance(columns, dict) or not isinstance(tags, dict):
        raise InputError(f"entry '{name}': formatting {formatting!r} with these columns is not read here", info)
    sharegpt = formatting == "sharegpt"
    prompt = columns.get("messages", "conversations") if sharegpt else columns.get("prompt", "instruction")
    both = Columns(
        prompt, columns.get("chosen", "chosen"), columns.get("rejected", "rejected"),
        label=columns.get("kto_tag", "kto_tag"), system=columns.get("system"),
        completion=None if sharegpt else columns.get("response", "output"),
        query=None if sharegpt else columns.get("query", "input"),
        history=None if sharegpt else columns.get("history"), tags=_tags(tags) if sharegpt else None,
    )  # fmt: skip
    if entry.get("ranking"):
        return Format("preferences", explicit, {}, columns=both)
    if "kto_tag" in columns:
        return Format("judged", judged, {}, columns=both)
    return Format("prompts", dialogue, {}, columns=both)


def _tags(tags: dict[str, Any]) -> Tags:
    roles = {str(tags.get(key, _USUAL[key])): role for key, role in _ROLES.items()}
    return Tags(str(tags.get("role_tag", "from")), str(tags.get("content_tag", "value")), roles)


def named_format(name: str, rows: Source) -> Format:
    """The format that was asked for by name, with the file's own mapping of columns where it has one."""
    return rows.mapped if rows.mapped is not None else FORMATS[name]
