"""The JSON Schemas that ship with the package, and a validator that says line and column and speaks plainly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cai.errors import InputError, did_you_mean
from cai.yaml_files import UNREAD, Document, Where

FOLDER = Path(__file__).parent


def load_schema(name: str) -> dict[str, Any]:
    """The schema of that name: "constitution", "recipe", …"""
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def validate(document: Document, schema: dict[str, Any]) -> None:
    """Raises the first of `problems`, in the order of the file, if there is one."""
    if found := problems(document, schema):
        raise found[0]


def problems(document: Document, schema: dict[str, Any]) -> list[InputError]:
    """Every departure of `document` from a JSON Schema, each with the line and column of the node that is wrong.

    What was refused when it was read is among them, and said once.
    """
    from jsonschema import Draft202012Validator

    errors = [one for one in Draft202012Validator(schema).iter_errors(document.value) if one.instance is not UNREAD]
    found = [*document.refused, *(one for error in errors for one in _said(document, error))]
    return sorted(found, key=lambda one: (one.line or 0, one.column or 0))


def fits(value: Any, schema: dict[str, Any], name: str) -> bool:
    """Whether a part of a document is what the schema defines under `name`."""
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}).is_valid(value))


def _said(document: Document, error: Any) -> Iterator[InputError]:
    part = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        allowed = error.schema.get("properties", {})
        for key in error.instance.keys() - allowed.keys():
            near = did_you_mean(key, allowed) or f" (allowed: {', '.join(allowed)})"
            line, column = document.where_key((*part, key))
            yield InputError(f"unknown key '{key}'{near}", document.path, line, column)
        return
    if error.validator == "pattern" and error.instance == "" and "minLength" in error.schema:
        return  # told as empty
    if error.validator in ("anyOf", "oneOf") and _only_keys(error) and not isinstance(error.instance, dict):
        return  # told as no mapping
    yield document.error(part, _message(error, _called(part)))


def _called(part: Where) -> str:
    """``principles[2].critique`` for a path into the document."""
    text = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in part)
    return text.removeprefix(".") or "the file"


def _message(error: Any, called: str) -> str:
    if error.validator in ("anyOf", "oneOf"):
        return _no_branch(error, called)
    rule = _RULES.get(error.validator)
    return rule(error, called) if rule else f"{called}: {_short(error.message)}"


def _no_branch(error: Any, called: str) -> str:
    branches = error.schema[error.validator]
    if _only_keys(error):
        keys = " or ".join(" with ".join(f"'{key}'" for key in branch["required"]) for branch in branches)
        both = error.validator == "oneOf" and not error.context
        return f"{called} needs {'only one of ' if both else ''}{keys}"
    types = [kind for branch in branches for kind in _listed(branch.get("type", []))]
    if types:
        return _wrong_type(error.instance, types, called)
    return f"{called}: {_short(error.message)}"


def _only_keys(error: Any) -> bool:
    return all(branch.keys() == {"required"} for branch in error.schema[error.validator])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_TYPES = {
    "string": "a text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "a mapping ('key: value')", "null": "nothing",
}  # fmt: skip


def _wrong_type(value: Any, types: list[str], called: str) -> str:
    wanted = " or ".join(_TYPES.get(kind, kind) for kind in types)
    hint = ""
    if "string" in types and isinstance(value, bool | int | float):
        hint = "; put it in quotes if it is meant as a text"
    elif "array" in types and "string" not in types and isinstance(value, str):
        hint = f"; write [{value}]" if len(value) < 40 and value.isidentifier() else ""
    return f"{called} must be {wanted}, not {_named(value)}{hint}"


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"the number {value}" if isinstance(value, int | float) else f"the text '{_short(value)}'"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}…"


def _missing(error: Any, called: str) -> str:
    gone = [key for key in error.validator_value if key not in error.instance and f"'{key}'" in error.message]
    return f"{called} has no '{gone[0]}'" if gone else f"{called}: {error.message}"


def _not_listed(error: Any, called: str) -> str:
    allowed = [str(one) for one in error.validator_value]
    near = did_you_mean(str(error.instance), allowed)
    return f"{called}: {_named(error.instance)} is not allowed{near} (allowed: {', '.join(allowed)})"


def _pattern(error: Any, called: str) -> str:
    if not error.instance.strip():
        return f"{called} is blank"
    meant = error.schema.get("patternMeans", f"it must match {error.validator_value}")
    ends = " with white space at its ends" if error.instance != error.instance.strip() else ""
    return f"{called}: '{_short(error.instance)}'{ends} cannot be used; {meant}"


_RULES: dict[str, Callable[[Any, str], str]] = {
    "type": lambda error, called: _wrong_type(error.instance, _listed(error.validator_value), called),
    "required": _missing,
    "enum": _not_listed,
    "const": lambda error, called: f"{called} must be {error.validator_value!r}",
    "pattern": _pattern,
    "minLength": lambda error, called: f"{called} is empty",
    "maxLength": lambda error, called: (
        f"{called} has {len(error.instance):,} characters; at most {error.validator_value:,} are allowed"
    ),
    "minItems": lambda error, called: (
        f"{called} has {len(error.instance)} entries; at least {error.validator_value} must be there"
    ),
    "maxItems": lambda error, called: (
        f"{called} has {len(error.instance)} entries; at most {error.validator_value} are allowed"
    ),
    "uniqueItems": lambda error, called: f"{called} has the same entry twice",
    "minimum": lambda error, called: f"{called} is {error.instance}; it must be at least {error.validator_value}",
    "maximum": lambda error, called: f"{called} is {error.instance}; it must be at most {error.validator_value}",
    "exclusiveMinimum": lambda error, called: f"{called} is {error.instance}; it must be above {error.validator_value}",
    "exclusiveMaximum": lambda error, called: f"{called} is {error.instance}; it must be below {error.validator_value}",
}
