"""Files that training and evaluation read: pairs in any shape, and a model's folder."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cai.prompts.files import Row
    from cai.prompts.spec import PromptFile
    from cai.records import Preference

SAME = "both answers are the same text"
SOURCES = ("ai", "human")


def read_pairs(file: str, test_share: float, told: bool = True) -> list[Preference]:
    """A run's own preferences, or pairs that people ranked, each once.

    What is left out, repeated, or moved to the held-out side is said on standard error if `told`.
    """
    from cai.errors import InputError
    from cai.prompts.spec import PromptFile, parse_spec

    spec = parse_spec(file)
    if _is_run_file(spec):
        if spec != PromptFile(spec.path, "jsonl"):
            raise InputError("the preferences of a run say their kind and split themselves; leave ?… off", spec.path)
        return _run_pairs(spec, told)
    from cai.human_preferences import read_human_preferences

    read = read_human_preferences(file, test_share=test_share)
    if told:
        for line in read.notes.told(file):
            click.echo(line, err=True)
    return read.preferences


def tell_left_out(skipped: Mapping[str, int], first: Mapping[str, str], what: str = "pair") -> None:
    """A line on standard error for every reason, with the place of its first row."""
    from cai.human_preferences import left_out_lines

    for line in left_out_lines(skipped, first, what):
        click.echo(line, err=True)


def check_some_train(file: str, pairs: Sequence[Preference]) -> None:
    """Raise `ConfigError` where all pairs of a file are held out; it says what would have them trained on."""
    from cai.errors import ConfigError

    if not any(one.prompt.split == "train" for one in pairs):
        held_out = f"all {len(pairs):,} pairs are" if len(pairs) > 1 else "its one pair is"
        raise ConfigError(f"{file}: nothing to train on: {held_out} held out (split test); {_to_train(file)}")


def _to_train(file: str) -> str:
    """How pairs that are all held out come to be trained on."""
    from cai.human_preferences import read_human_preferences
    from cai.prompts.spec import parse_spec

    if _is_run_file(parse_spec(file)):
        return "their prompts say so; name a file that has pairs with the split train too"
    if any(one.prompt.split == "train" for one in read_human_preferences(file, test_share=0.0).preferences):
        return "--test-share 0 trains on those that were drawn"
    return "the file or its name says so; ?split=train on its name trains on them all the same"


def model_folder(name: str) -> Path:
    """The folder of a model; raises `ConfigError` if there is none."""
    from cai.errors import ConfigError

    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        why = "it has no config.json" if folder.is_dir() else "there is no such folder"
        raise ConfigError(f"{folder} is not a model folder: {why}")
    return folder


# ----------------------------------------------------------------------------------------- a run's preferences.jsonl


def _run_pairs(spec: PromptFile, told: bool) -> list[Preference]:
    from cai.errors import InputError
    from cai.prompts.mistakes import Mistakes

    rows, mistakes = [], Mistakes(spec.path)
    for row in mistakes.rows(spec):
        try:
            rows.append((row.place, _preference(row)))
        except InputError as error:
            mistakes.add(error)
    mistakes.check()
    kept = [one for _, one in rows if one.response_a != one.response_b]
    same = [place for place, one in rows if one.response_a == one.response_b]
    if not kept:
        raise InputError(f"holds no pairs: of all {len(rows):,} rows {SAME}" if rows else "holds no pairs", spec.path)
    if same and told:
        tell_left_out({SAME: len(same)}, {SAME: same[0]})
    return kept


def _preference(row: Row) -> Preference:
    """A line of a run's preferences.jsonl; raises `InputError` with its place if it is not one."""
    from cai.errors import did_you_mean
    from cai.records import Preference

    try:
        one = Preference.from_json(row.value)
        sound = one.prompt.messages and 0 <= one.p_a <= 1 and 0 <= one.weight <= sys.float_info.max
        texts = (*(turn.content for turn in one.prompt.messages), one.response_a, one.response_b)
    except KeyError as error:
        [name] = error.args
        near = did_you_mean(
            name, [*row.value, *(row.value["prompt"] if isinstance(row.value.get("prompt"), dict) else ())]
        )
        raise row.error(f"not a preference of a run: it has no '{name}'{near}") from None
    except (TypeError, AttributeError):
        flat = isinstance(row.value, dict) and not isinstance(row.value.get("prompt", {}), dict)
        why = "its prompt is no record, as that of the first line is" if flat else "a value is of the wrong type"
        raise row.error(f"not a preference of a run: {why}") from None
    if not sound or not all(isinstance(text, str) for text in texts):
        raise row.error(
            f"not a preference of a run: p_a must lie in 0 … 1, weight be a finite number from 0 up, and all "
            f"answers be text; p_a is {one.p_a!r}, weight {one.weight!r}"
        )
    return _named(row, one)


def _named(row: Row, one: Preference) -> Preference:
    """The preference with its split as one of ours; raises `InputError` for a kind, split or source that is none."""
    from cai.errors import did_you_mean
    from cai.prompts.kinds import named_kind
    from cai.prompts.splits import named_split

    said: object = one.source
    if said not in SOURCES:
        near = did_you_mean(said, SOURCES) if isinstance(said, str) else ""
        raise row.error(f"source {said!r}{near} (allowed: {', '.join(SOURCES)})")
    kind, split = named_kind(row, one.prompt.kind), named_split(row, one.prompt.split)
    return replace(one, prompt=replace(one.prompt, kind=kind, split=split))


def _is_run_file(spec: PromptFile) -> bool:
    """Whether the first line is a record of this package, whose prompt is one too."""
    if not spec.path.is_file() or spec.path.suffix != ".jsonl":
        return False
    with spec.path.open(encoding="utf-8", errors="replace") as lines:
        try:
            row = json.loads(lines.readline())
        except (ValueError, RecursionError):
            return False
    return isinstance(row, dict) and {"response_a", "response_b"} <= row.keys() and isinstance(row.get("prompt"), dict)
