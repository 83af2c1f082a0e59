"""From a name or a path to a `Constitution`: guarded YAML, the schema, and what a schema cannot say."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from cai.constitution.principles import Constitution, Principle, PrincipleTest, Scope
from cai.dialogues import ComparisonExample, RevisionExample
from cai.errors import InputError, did_you_mean
from cai.records import Message, Messages, user
from cai.yaml_files import Document, Position, Where, read_yaml

SHIPPED = Path(__file__).parent / "shipped"


def shipped_names() -> list[str]:
    """The names of the constitutions that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_constitution(name_or_path: str | Path) -> Path:
    """The file that a shipped name ("harmlessness") or a path stands for. Raises `InputError`."""
    text = os.fspath(name_or_path)
    if text in shipped_names():
        return SHIPPED / f"{text}.yaml"
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or path.name != text or path.exists():
        return path
    near = did_you_mean(text, shipped_names()) or f"; these are shipped: {', '.join(shipped_names())}"
    raise InputError(f"no constitution is named '{text}', and there is no such file{near}")


def load_constitution(name_or_path: str | Path) -> Constitution:
    """Reads and validates a constitution by shipped name or path. Raises `InputError` with line and column."""
    document = read_constitution_file(name_or_path)
    if found := document_problems(document):
        more = f" (and {len(found) - 1} more: `cai constitution check` lists them)" if len(found) > 1 else ""
        unknown = [one for one in found if one.message.startswith("unknown key")]
        worst = [*document.refused, *unknown, *found][0]
        raise InputError(f"{worst.message}{more}", document.path, worst.line, worst.column)
    return constitution_from(document)


def read_constitution_file(name_or_path: str | Path) -> Document:
    """The YAML of a constitution, not yet validated; what is refused of it is for `document_problems` to tell."""
    return read_yaml(find_constitution(name_or_path), all_refused=True)


def document_problems(document: Document) -> list[InputError]:
    """Whatever keeps `document` from being a constitution, in the order of the file."""
    from cai.schemas import load_schema, problems

    found = [
        *problems(document, load_schema("constitution")),
        *_repeated_ids(document),
        *_dialogue_problems(document),
    ]
    told = {(one.line, one.column) for one in found}
    found += [one for one in _unknown_principles(document) if (one.line, one.column) not in told]
    return sorted(found, key=lambda one: (one.line or 0, one.column or 0))


def _rows(document: Document, *part: str) -> list[tuple[Where, dict[str, Any]]]:
    """The mappings in the list at `part`, of a document of any shape."""
    value: Any = document.value
    for key in part:
        value = value.get(key) if isinstance(value, dict) else None
    rows = enumerate(value if isinstance(value, list) else ())
    return [((*part, index), row) for index, row in rows if isinstance(row, dict)]


def _ids(document: Document) -> list[tuple[Where, str]]:
    """The ids of the principles, as far as they are texts."""
    rows = [((*part, "id"), row.get("id")) for part, row in _rows(document, "principles")]
    return [(part, name) for part, name in rows if isinstance(name, str) and name.strip()]


def _repeated_ids(document: Document) -> list[InputError]:
    first: dict[str, int] = {}
    found = []
    for part, name in _ids(document):
        if name in first:
            found.append(document.error(part, f"the id '{name}' is already used on line {first[name]}"))
        first.setdefault(name, document.where(part)[0])
    return found


def _dialogue_problems(document: Document) -> list[InputError]:
    found = []
    for part, row in _cases(document):
        messages = row.get("messages")
        turns = messages if isinstance(messages, list) else []
        last = turns[-1] if turns else None
        if isinstance(last, dict) and last.get("role") in ("system", "assistant"):
            where = (*part, "messages", len(turns) - 1)
            found.append(document.error(where, "the dialogue must end with a user turn"))
    return found


def _cases(document: Document) -> list[tuple[Where, dict[str, Any]]]:
    parts = (("examples", "revision"), ("examples", "comparison"), ("tests",))
    return [case for part in parts for case in _rows(document, *part)]


def _unknown_principles(document: Document) -> list[InputError]:
    """None where no principle has an id, for then it is the principles that are to be mended."""
    ids = [name for _, name in _ids(document)]
    named = [((*part, "principle"), row.get("principle")) for part, row in _rows(document, "tests")]
    return [
        document.error(part, f"no principle has the id '{name}'{did_you_mean(name, ids)}")
        for part, name in named
        if ids and isinstance(name, str) and name not in ids
    ]


_ENTRIES: dict[tuple[str, ...], str] = {
    ("principles",): "principle", ("examples", "revision"): "revisionExample",
    ("examples", "comparison"): "comparisonExample", ("tests",): "test",
}  # fmt: skip


def sound_part(document: Document) -> Document:
    """Of a document that has problems the entries that are right in themselves, each still where it stands."""
    from cai.schemas import fits, load_schema

    schema = load_schema("constitution")
    rows = {
        part: [(where, row) for where, row in _rows(document, *part) if fits(row, schema, name)]
        for part, name in _ENTRIES.items()
    }
    moved: dict[Where, Where] = {
        where: (*part, index) for part, kept in rows.items() for index, (where, _) in enumerate(kept)
    }
    entries = {part: [row for _, row in kept] for part, kept in rows.items()}
    value = {
        "name": "",
        "principles": entries["principles",],
        "examples": {kind: entries["examples", kind] for kind in ("revision", "comparison")},
        "tests": entries["tests",],
    }
    positions, key_positions = (_moved(one, moved) for one in (document.positions, document.key_positions))
    return replace(document, value=value, positions=positions, key_positions=key_positions)


def _moved(positions: dict[Where, Position], moved: dict[Where, Where]) -> dict[Where, Position]:
    """The positions within the entries in `moved` under their new numbers, and those outside of any entry."""
    found = {}
    for where, position in positions.items():
        at = next((size for size in (2, 3) if len(where) >= size and isinstance(where[size - 1], int)), 0)
        if not at:
            found[where] = position
        elif where[:at] in moved:
            found[(*moved[where[:at]], *where[at:])] = position
    return found


def constitution_from(document: Document) -> Constitution:
    """The constitution in a document that has no problems."""
    value = document.value
    examples = value.get("examples", {})
    return Constitution(
        name=value["name"],
        description=value.get("description", ""),
        language=value.get("language", "en"),
        principles=tuple(
            principle_from(row, *document.where(("principles", index))) for index, row in enumerate(value["principles"])
        ),
        revision_examples=tuple(_revision_example(row) for row in examples.get("revision", ())),
        comparison_examples=tuple(_comparison_example(row) for row in examples.get("comparison", ())),
        tests=tuple(
            PrincipleTest(_messages(row), row["better"], row["worse"], row["principle"])
            for row in value.get("tests", ())
        ),
        path=document.path,
        sha256=document.sha256,
    )


def principle_from(row: dict[str, Any], line: int = 0, column: int = 0) -> Principle:
    """One entry of `principles`, as a schema-valid mapping."""
    texts = {
        key: row.get(key, "").strip() for key in ("critique", "revision", "comparison", "rubric", "title", "source")
    }
    return Principle(
        id=row["id"],
        **texts,
        weight=float(row.get("weight", 1.0)),
        tags=tuple(row.get("tags", ())),
        applies_to=_scope(row.get("applies_to", {})),
        only_for=row.get("only_for"),
        line=line,
        column=column,
    )


def _scope(row: dict[str, Any]) -> Scope:
    return Scope(
        kinds=tuple(row["kinds"]) if "kinds" in row else None,
        tags=tuple(row["tags"]) if "tags" in row else None,
        except_tags=tuple(row.get("except_tags", ())),
    )


def _messages(row: dict[str, Any]) -> Messages:
    if "prompt" in row:
        return (user(row["prompt"].strip()),)
    return tuple(Message(turn["role"], turn["content"].strip()) for turn in row["messages"])


def _revision_example(row: dict[str, Any]) -> RevisionExample:
    return RevisionExample(
        messages=_messages(row),
        response=row["response"].strip(),
        critique_request=row["critique_request"].strip(),
        critique=row["critique"].strip(),
        revision_request=row["revision_request"].strip(),
        revision=row.get("revision", row["response"]).strip(),
    )


def _comparison_example(row: dict[str, Any]) -> ComparisonExample:
    return ComparisonExample(
        messages=_messages(row),
        comparison=row["comparison"].strip(),
        response_a=row["response_a"].strip(),
        response_b=row["response_b"].strip(),
        better=row["better"],
    )
