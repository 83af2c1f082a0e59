"""Recipe files and overrides, loaded strictly: every key and value is checked against the dataclasses of `recipe`.

A recipe starts from the shipped one it names with `extends` (or from the defaults), then its own keys apply, then
``--set`` and the options of the command line.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from cai.errors import CAIError, ConfigError, InputError, did_you_mean, json_limit, raise_all
from cai.recipe import Recipe

SHIPPED = Path(__file__).parent / "recipes"
Where = tuple[str, ...]
Complain = Callable[[Where, str, bool], CAIError]
"""Makes the error for a part of the document: (where, message, whether the key is to blame)."""
_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1), "limit": (1, 1e9), "test_share": (0.0, 1.0), "max_rejected": (0.0, 1.0),
    "max_truncated": (0.0, 1.0),
    "concurrency": (1, 1e4), "timeout": (0.01, 1e5), "retries": (0, 100),
    "max_tokens": (1, 1e6), "temperature": (0.0, 100.0), "top_p": (1e-6, 1.0), "rounds": (1, 100),
    "num_samples": (2, 1e4),
    "principles_per_pair": (1, 1e6), "pairs": (1, 1e6), "principles_per_answer": (0, 1e6),
    "fallback_samples": (1, 1e4), "reasoning_samples": (0, 1e4), "reasoning_tokens": (1, 1e6),
    "reasoning_temperature": (0.0, 100.0),
    "preferences.temperature": (1e-3, 1e3), "mass_floor": (0.0, 1.0), "tie_band": (0.0, 0.5), "clamp": (0.0, 1.0),
    "human_share": (0.0, 0.99),
    "lr": (0.0, 1.0), "epochs": (0.0, 1e4), "batch_size": (1, 1e6), "mega_batch": (1, 1e4),
    "max_length": (8, 1e7), "batch_tokens": (16, 1e9), "warmup_ratio": (0.0, 0.99), "weight_decay": (0.0, 10.0),
    "max_grad_norm": (0.0, 1e9), "centering": (0.0, 1e3), "checkpoint_every": (1, 1e9),
    "r": (1, 1e4), "alpha": (1, 1e6), "dropout": (0.0, 0.9),
    "audit.items": (0, 1e4), "evaluate.prompts": (0, 1e4), "evaluate.draw": (0, 1e6),
    **{
        f"audit.{gate}": (0.0, 1.0)
        for gate in (
            "abstained", "clear_flip_rate", "place", "tests", "identical", "noise", "swapped", "null_answer", "length",
            "attacks", "accuracy", "ece",
        )
    },
}  # fmt: skip
"""Of every number in a recipe, by its key or by its block and key: the least and the greatest value."""
_OVER_ZERO = ("epochs", "lr")
"""Keys whose least value is itself not allowed: no epochs are no training, and neither are steps of no length."""


MOST_WEIGHT = 1_000_000
"""Of a principle, as in a constitution."""
_PLAIN = re.compile(r"[^\W_][^/\\\x00-\x1f]*")


def load_recipe(name_or_path: str | None = None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A shipped recipe ("demo", "sl-cai", "rl-cai"), or a file, with dotted `overrides` on top.

    Raises `InputError` with line and column for the file, `ConfigError` for an override; `SeveralErrors` of either.
    """
    values = _file_values(_recipe_path(name_or_path)) if name_or_path is not None else {}
    for key, value in (overrides or {}).items():
        values = _merged(values, _nested(key, value))
    recipe: Recipe = _built(Recipe, values, (), _override_error)
    return recipe


def recipe_files(name_or_path: str | None) -> list[Path]:
    """The recipe's own file and those that it extends."""
    from cai.yaml_files import read_yaml

    files: list[Path] = []
    while name_or_path is not None:
        files.append(_recipe_path(name_or_path))
        name_or_path = read_yaml(files[-1]).value.get("extends")
    return files


def parse_set(text: str, block: str = "") -> tuple[str, Any]:
    """``stage.key=value`` of ``--set``, or ``key=value`` within `block`.

    The value is read as YAML reads a plain scalar, or as JSON.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: expected key=value, such as reward.lr=1e-5")
    return key.strip(), _scalar(key.strip(), value.strip(), block)


def parse_sets(texts: Sequence[str], block: str = "") -> dict[str, Any]:
    """Every ``--set``; within `block`, whose name may stand before a key. Raises all that is wrong at once."""
    found: dict[str, Any] = {}
    wrong: list[CAIError] = []
    for text in texts:
        try:
            key, value = parse_set(text, block)
        except CAIError as error:
            wrong.append(error)
        else:
            found[f"{block}.{key.removeprefix(f'{block}.')}" if block else key] = value
    if wrong:
        try:
            load_recipe(None, found)
        except CAIError as error:
            wrong.append(error)
    raise_all(wrong)
    return found


def _scalar(key: str, text: str, block: str) -> Any:
    import json

    from cai.yaml_files import resolve

    if text.startswith(("[", "{", '"')):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _no_json(key, text, block, error) from None
    try:
        return resolve(text)
    except ValueError as error:
        raise ConfigError(f"--set {key}: {text!r} cannot be read: {error}") from None


def _no_json(key: str, text: str, block: str, error: ValueError | RecursionError) -> ConfigError:
    """A value that begins as JSON and is none: what the key wants, with an example that a shell leaves as it is."""
    import json

    hint = _hint_of((f"{block}.{key.removeprefix(f'{block}.')}" if block else key).split("."))
    wanted, example = "a list, block or text", _OTHER_EXAMPLES[text[0]]
    if hint is not None:
        wanted, example = _described(hint), _example(hint)
    why = json_limit(error)
    if isinstance(error, json.JSONDecodeError):
        why = "it ends too early" if error.pos >= len(text) else f"see its character {error.pos + 1}"
    said = f"expected {wanted}, in JSON as in --set '{key}={example}', found {_shown(text)}, which is no JSON: {why}"
    return ConfigError(f"--set {key}: {said}")


_OTHER_EXAMPLES = {"[": '["name"]', "{": '{"name": 0.5}', '"': '"name"'}


def _hint_of(where: Sequence[str]) -> Any:
    """The type of the setting of that name; None if there is none."""
    hint: Any = Recipe
    for name in where:
        hint = next((one for one in typing.get_args(hint) if is_dataclass(one)), hint)
        hint = typing.get_type_hints(hint).get(name) if is_dataclass(hint) else None
    return hint


def _example(hint: Any) -> str:
    """A value of that type, in JSON."""
    import json

    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return next((one for one in map(_example, options) if one[0] in "[{"), _example(options[0]))
    if origin is Literal:
        return json.dumps(options[0])
    if origin is tuple:
        return f"[{', '.join(_example(one) for one in options if one is not Ellipsis)}]"
    if origin is Mapping:
        return f'{{"name": {_example(options[1])}}}'
    if is_dataclass(hint):
        name, of = next(iter(typing.get_type_hints(hint).items()))
        return f'{{"{name}": {_example(of)}}}'
    return {int: "8", float: "0.5", str: '"name"', bool: "true"}.get(hint, "null")


def _recipe_path(name_or_path: str, wrong: Callable[[str], CAIError] = ConfigError) -> Path:
    shipped = SHIPPED / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if not path.is_file():
        names = sorted(one.stem for one in SHIPPED.glob("*.yaml"))
        near = did_you_mean(name_or_path, names)
        raise wrong(f"no recipe file {name_or_path!r}{near} (shipped recipes: {', '.join(names)})")
    return path


def _file_values(path: Path, depth: int = 0) -> dict[str, Any]:
    from cai.yaml_files import read_yaml

    document = read_yaml(path)
    values = dict(document.value)

    def complain(where: Where, message: str, key: bool) -> CAIError:
        line, column = document.where_key(where) if key else document.where(where)
        return InputError(message, path, line, column)

    base: dict[str, Any] = {}
    if (parent := values.pop("extends", None)) is not None:
        if not isinstance(parent, str) or depth > 5:
            raise complain(("extends",), "extends: expected the name of one other recipe", False)
        base = _file_values(_recipe_path(parent, lambda said: complain(("extends",), said, False)), depth + 1)
    _built(Recipe, values, (), complain)
    return _merged(base, _anchored(values, path.parent))


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """File names in a recipe are relative to the recipe, unless they are there from where the command runs."""

    def anchor(name: str) -> str:
        file, mark, options = name.partition("?")
        if file == "embedded":
            return name
        beside = folder / file
        return str(beside) + mark + options if not Path(file).exists() and beside.exists() else name

    anchored = dict(values)
    if isinstance(values.get("constitution"), str):
        anchored["constitution"] = anchor(values["constitution"])
    if isinstance(values.get("prompts"), list):
        anchored["prompts"] = [anchor(name) for name in values["prompts"]]
    for block, key in (("preferences", "human"), ("audit", "truth")):
        settings = values.get(block)
        if isinstance(settings, Mapping) and isinstance(settings.get(key), list):
            anchored[block] = {**settings, key: [anchor(name) for name in settings[key]]}
    return anchored


def _override_error(where: Where, message: str, _key: bool) -> CAIError:
    return ConfigError(f"--set {message}" if where else message)


def _nested(key: str, value: Any) -> dict[str, Any]:
    *parents, last = key.split(".")
    nested: dict[str, Any] = {last: value}
    for parent in reversed(parents):
        nested = {parent: nested}
    return nested


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _built(cls: Any, values: Mapping[str, Any], where: Where, complain: Complain) -> Any:
    hints = typing.get_type_hints(cls)
    allowed = [field.name for field in fields(cls)]
    made: dict[str, Any] = {}
    wrong: list[CAIError] = []
    for key, value in values.items():
        if key not in allowed:
            block = f" in '{'.'.join(where)}'" if where else ""
            near = did_you_mean(key, allowed)
            said = f"unknown key '{key}'{block}{near} (keys: {', '.join(allowed)})"
            wrong.append(complain((*where, key), said, True))
            continue
        try:
            made[key] = _value(hints[key], value, (*where, key), complain)
        except CAIError as error:
            wrong.append(error)
    raise_all(wrong)
    return cls(**made)


def _value(hint: Any, value: Any, where: Where, complain: Complain) -> Any:
    made = _matched(hint, value, where, complain)
    if made is _NO:
        near = _nearest(hint, value)
        raise complain(where, f"{'.'.join(where)}: expected {_described(hint)}, found {_shown(value)}{near}", False)
    if where == ("name",) and not _PLAIN.fullmatch(made):
        raise complain(where, f"name: expected the name of one folder under outputs/, found {_shown(value)}", False)
    _check_range(made, where, complain)
    return made


_NO = object()


def _matched(hint: Any, value: Any, where: Where, complain: Complain) -> Any:
    """`value` as `hint` wants it, or `_NO`."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return next((made for one in options if (made := _matched(one, value, where, complain)) is not _NO), _NO)
    if origin is Literal:
        return value if value in options and not isinstance(value, bool) else _NO
    if origin is tuple:
        return _tuple(options, value, where, complain)
    if is_dataclass(hint):
        return _built(hint, value, where, complain) if isinstance(value, Mapping) else _NO
    if origin is Mapping:
        return _mapping(options, value, where, complain)
    if hint is type(None):
        return None if value is None else _NO
    if hint is float and type(value) is int:
        return float(value)
    return value if type(value) is hint else _NO


def _tuple(options: tuple[Any, ...], value: Any, where: Where, complain: Complain) -> Any:
    if not isinstance(value, list | tuple):
        return _NO
    hints = [options[0]] * len(value) if options[-1] is Ellipsis else list(options)
    if len(hints) != len(value):
        return _NO
    made = [_matched(hint, one, where, complain) for hint, one in zip(hints, value, strict=True)]
    return _NO if _NO in made else tuple(made)


def _mapping(options: tuple[Any, ...], value: Any, where: Where, complain: Complain) -> Any:
    if not isinstance(value, Mapping):
        return _NO
    if not all(type(name) is options[0] for name in value):
        return _NO
    made = {name: _matched(options[1], one, (*where, name), complain) for name, one in value.items()}
    for name, one in made.items():
        if one is _NO:
            message = f"{'.'.join((*where, name))}: expected {_described(options[1])}, found {_shown(value[name])}"
            raise complain((*where, name), message, False)
    return made


def _nearest(hint: Any, value: Any) -> str:
    """`did_you_mean` for the first text of a value that is none of the words that its setting takes."""
    words = [word for word in _words(hint) if isinstance(word, str)]
    strange = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return next((did_you_mean(one, words) for one in strange if one not in words), "")


def _words(hint: Any) -> tuple[Any, ...]:
    options = typing.get_args(hint)
    return options if typing.get_origin(hint) is Literal else tuple(word for one in options for word in _words(one))


def _check_range(value: Any, where: Where, complain: Complain) -> None:
    if where[-1] == "clamp" and isinstance(value, tuple) and not value[0] <= 0.5 <= value[1]:
        raise complain(where, f"{'.'.join(where)}: expected [low, high] around 0.5, found {list(value)}", False)
    if isinstance(value, Mapping):
        _check_weights(value, where, complain)
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not isinstance(number, bool):
            _check_number(number, where, complain)


def _check_number(number: float, where: Where, complain: Complain) -> None:
    least, most = _RANGES.get(".".join(where)) or _RANGES[where[-1]]
    over = where[-1] in _OVER_ZERO
    if not least <= number <= most or (over and number == least):
        bound = f"over {least:g} and up to {_in_full(most)}" if over else f"from {least:g} to {_in_full(most)}"
        raise complain(where, f"{'.'.join(where)}: expected a number {bound}, found {number:g}", False)


def _in_full(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:g}"


def _check_weights(value: Mapping[str, float], where: Where, complain: Complain) -> None:
    for name, weight in value.items():
        if not 0 < weight <= MOST_WEIGHT:
            message = f"{'.'.join(where)}.{name}: expected a number over 0 and up to {MOST_WEIGHT:,}, found {weight:g}"
            raise complain((*where, name), message, False)


def _described(hint: Any) -> str:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_described(one) for one in options)
    if origin is Literal:
        return " | ".join(repr(one) for one in options)
    if origin is tuple:
        inner = "each " + _described(options[0]) if options[-1] is Ellipsis else ", ".join(map(_described, options))
        return f"a list ({inner})"
    if is_dataclass(hint):
        return "a block of keys"
    if origin is Mapping:
        return f"a block of names, each with {_described(options[1])}"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(hint, "nothing (null)")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else "a block of keys"
    return text if len(text) <= 60 else text[:57] + "…"


def write_recipe(recipe: Recipe, path: Path) -> None:
    """A recipe in full, every key, as YAML that `load_recipe` reads back to an equal recipe; atomically."""
    import json
    from dataclasses import asdict

    import yaml

    from cai.storage.run import atomic_write

    plain = json.loads(json.dumps(asdict(recipe)))
    with atomic_write(path) as handle:
        handle.write("# The recipe of this run, every setting; paths are as from the folder it was started in.\n")
        handle.write("# Another run by it, from there: cai run --recipe THIS_FILE --out ANOTHER_FOLDER\n")
        handle.write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))
