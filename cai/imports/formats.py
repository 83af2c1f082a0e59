"""The formats that can be read: which columns each is recognised by, and how its rows are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cai.errors import ConfigError, InputError, did_you_mean
from cai.imports import pairs
from cai.imports.cells import Cells, Columns, truth
from cai.prompts.files import Row
from cai.prompts.kinds import xstest_label

Carries = Literal["preferences", "judged", "prompts"]
Content = Literal["text", "turns", "flag", "any"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `needs` are the columns that tell it from the others, `lacks` those that it cannot have.

    A reader takes the row, its cells and the columns: it yields pairs, or returns a judged answer or a prompt.
    """

    carries: Carries
    read: Callable[[Row, Cells, Columns], Any]
    needs: Mapping[str, Content]
    lacks: tuple[str, ...] = ()
    columns: Columns = field(default_factory=Columns)

    def fits(self, cells: Cells) -> bool:
        """Whether a row has the columns of this format, and in them what it expects."""
        found = all(_holds(cells.get(name), content) for name, content in self.needs.items())
        return found and all(cells.get(name) is None for name in self.lacks)


def _holds(value: Any, content: Content) -> bool:
    if content == "text":
        return isinstance(value, str)
    if content == "turns":
        return isinstance(value, list | dict)
    if content == "flag":
        return truth(value) is not None
    return value is not None


def _pairs(needs: Mapping[str, Content], *lacks: str, **columns: Any) -> Format:
    return Format("preferences", pairs.explicit, needs, lacks, Columns(**columns))


def _judged(needs: Mapping[str, Content], *lacks: str, **columns: Any) -> Format:
    return Format("judged", pairs.judged, needs, lacks, Columns(**columns))


def _prompts(needs: Mapping[str, Content], *lacks: str, **columns: Any) -> Format:
    return Format("prompts", pairs.dialogue, needs, lacks, Columns(**columns))


def _plain(needs: Mapping[str, Content], **columns: Any) -> Format:
    return Format("prompts", pairs.plain_dialogue, needs, (), Columns(**columns))


_BOTH: Mapping[str, Content] = {"chosen": "turns", "rejected": "turns"}
_TEXTS: Mapping[str, Content] = {"chosen": "text", "rejected": "text"}

# The first that fits is taken, so what has more columns of its own stands first.
FORMATS: dict[str, Format] = {
    "native": Format(
        "preferences", pairs.native, {"prompt": "any", "response_a": "text", "response_b": "text", "p_a": "any"}
    ),
    "annotated_pairs": Format(
        "preferences", pairs.annotated, {"response_a": "turns", "response_b": "turns", "annotations": "turns"}
    ),
    "ultrafeedback": _pairs({"prompt": "text", "prompt_id": "text", **_BOTH}),
    "nemo_rl_preference": Format("preferences", pairs.ranked, {"context": "turns", "completions": "turns"}),
    "llamafactory_sharegpt": _pairs(
        {"conversations": "turns", **_BOTH}, "prompt", prompt="conversations", system="system"
    ),
    "llamafactory_kto": _judged(
        {"conversations": "turns", "kto_tag": "flag"}, prompt="conversations", label="kto_tag", system="system"
    ),
    "llamafactory_alpaca": _pairs(
        {"instruction": "text", **_TEXTS}, "prompt", prompt="instruction", query="input", system="system",
        history="history",
    ),
    "axolotl_preference": _pairs({"messages": "turns", **_BOTH}, "prompt", prompt="messages"),
    "axolotl_reward": _pairs({"input": "text", **_TEXTS}, "prompt", prompt="input", system="system"),
    "axolotl_kto": _judged(
        {"prompt": "text", "completion": "text", "label": "flag"}, completion="completion", system="system"
    ),
    "unpaired_preference": _judged(
        {"prompt": "any", "completion": "any", "label": "flag"}, completion="completion"
    ),
    "preference": _pairs({"prompt": "turns", "chosen": "any", "rejected": "any"}),
    "openrlhf_preference": _pairs({"prompt": "turns", "chosen": "any", "rejected": "any"}),
    "preference_implicit": Format("preferences", pairs.implicit, _BOTH, ("prompt", "messages")),
    "preference_text": Format("preferences", pairs.texts, {"prompt": "text", **_TEXTS}),
    "nemo_rl_binary": _pairs({"prompt": "text", **_TEXTS}),
    "preference_mixed": Format(
        "preferences", pairs.mixed, {"prompt": "text", "chosen": "any", "rejected": "any"}
    ),
    "hh": Format("preferences", pairs.transcripts, _TEXTS, ("prompt",)),
    "llamafactory_v1": Format(
        "preferences", pairs.implicit, {"chosen_messages": "turns", "rejected_messages": "turns"},
        columns=Columns(chosen="chosen_messages", rejected="rejected_messages"),
    ),
    "alpaca_eval": Format("preferences", pairs.tolerant, {"output_1": "text", "output_2": "text"}),
    "ultrafeedback_raw": Format("preferences", pairs.tolerant, {"completions": "turns"}),
    "pku_safe_rlhf": Format(
        "preferences", pairs.safe_rlhf, {"prompt": "text", "response_0": "text", "better_response_id": "any"}
    ),
    "verl_rl": _prompts({"data_source": "text", "prompt": "turns", "reward_model": "turns"}),
    "messages_label": _judged({"messages": "turns", "label": "flag"}, prompt="messages"),
    "openrlhf_prompts": _prompts({"input": "any"}, "output", "instruction", prompt="input"),
    "openrlhf_sft": _prompts({"input": "any", "output": "any"}, "instruction", prompt="input"),
    "alpaca": _prompts(
        {"instruction": "text"}, prompt="instruction", query="input", system="system", history="history"
    ),
    "prompt_completion": _plain({"prompt": "any", "completion": "any"}),
    "prompt_response": _plain({"prompt": "any", "response": "any"}),
    "sft": _prompts({"messages": "turns"}, prompt="messages"),
    "verl_sft": _prompts({"messages": "turns"}, prompt="messages"),
    "llamafactory_sft": _prompts({"messages": "turns"}, prompt="messages", system="system"),
    "axolotl_sft": _prompts({"messages": "turns"}, prompt="messages"),
    "sharegpt": _prompts({"conversations": "turns"}, prompt="conversations", system="system"),
    "prompts": _plain({"prompt": "any"}, system="system"),
}  # fmt: skip


def check_format(name: str) -> str:
    """`name` itself if it is "auto" or in the table; raises `ConfigError` with the nearest otherwise."""
    if name != "auto" and name not in FORMATS:
        known = ", ".join(FORMATS)
        raise ConfigError(f"no format is named '{name}'{did_you_mean(name, FORMATS)} (formats: auto, {known})")
    return name


def recognise(row: Row) -> str:
    """The format of a row by its columns.

    Raises `InputError` at its place where no format has them, or only one that would drop the row's answers.
    """
    if not isinstance(row.value, dict):
        raise row.error("the row is not an object with columns; `cai prompts` reads plain texts and lists")
    for name, one in FORMATS.items():
        if one.fits(row.value):
            if why := loses_answers(name, row.value):
                raise row.error(why)
            return name
    columns = ", ".join(repr(name[:40]) for name in list(row.value)[:12])
    raise row.error(f"no format that is known here has these columns: {columns}; name one with --format")


HEAD = 100
"""So many rows of a file are looked at for its format: the first ones may be of none, or lack their answers."""


def first_format(head: Sequence[Row]) -> str:
    """The format of a file that begins so: of its first row, if that or few of the others have answers.

    Where it lacks them, or is of no format, while most have some: of the first of these. Raises as `recognise` does of
    the first row where there is none.
    """
    answered = [_with_answers(row.value) if isinstance(row.value, dict) else "" for row in head]
    found = [name for name in answered if name]
    if answered[0] or 2 * len(found) > len(head):
        return found[0]
    try:
        return recognise(head[0])
    except InputError:
        if not found:
            raise
        return found[0]


def _with_answers(cells: Cells) -> str:
    """The format with answers of a row: of its cells that hold something, for tables have those of all their rows."""
    held = {name: value for name, value in cells.items() if value not in (None, "")}
    answers = [(name, one) for name, one in FORMATS.items() if one.carries != "prompts"]
    return next((name for some in (held, cells) for name, one in answers if one.fits(some)), "")


class RowFormats:
    """The format of each row of a file by its own columns, which the rows of a file of answers need not share.

    A row that is of no format with answers is read, and told, as `first` is, the format of the file (`first_format`);
    so are all rows where that holds prompts.
    """

    def __init__(self, first: str) -> None:
        self.first = first
        self._known: dict[tuple[tuple[str, type, bool], ...], str] = {}

    def of(self, cells: Cells) -> str:
        """The name of the format of a row with these cells."""
        if FORMATS[self.first].carries == "prompts":
            return self.first
        shape = tuple((name, type(one), one == "") for name, one in cells.items())
        known = self._known.get(shape)
        if known is None or not FORMATS[known].fits(cells):
            known = self._known[shape] = _with_answers(cells) or self.first
        return known


_ANSWERS = re.compile(r"(chosen|rejected|response|answer|completion|output_).*", re.IGNORECASE)
_SEVERAL = re.compile(
    r"(chosen|rejected)([_-].*)?|(response|answer|completion|output)s?[_-]?([0-9]+|[a-z])|completion", re.IGNORECASE
)
_ONE = re.compile(r"(response|answer|completion|output)s?", re.IGNORECASE)
"""Columns that hold answers where a prompt stands alone, those that do beside a training example's own answer, and
those of that answer, which hold several where they hold a list that is no dialogue."""
_LABELS = ("label", "kto_tag")


def _is_several(value: Any) -> bool:
    """Whether a cell is a list of answers and not the messages of one."""
    return isinstance(value, list) and not all(isinstance(one, dict) and {"role", "from"} & {*one} for one in value)


def loses_answers(name: str, cells: Cells) -> str:
    """Why a row cannot be read as prompts: the columns of answers and of their labels that `name` would drop.

    Empty where it drops none. A label that says the kind of the prompt (XSTest's) is read and so is not dropped.
    """
    form = FORMATS[name]
    if form.carries != "prompts":
        return ""
    like = _ANSWERS if name == "prompts" else _SEVERAL
    labels = _LABELS if xstest_label(cells) is None else ()
    held = {one: value for one, value in cells.items() if value not in (None, "", [])}
    found = [
        one
        for one, value in held.items()
        if (one not in form.needs and (like.fullmatch(one) or one.lower() in labels))
        or (_ONE.fullmatch(one) and one != form.columns.prompt and _is_several(value))
    ]
    if not found:
        return ""
    labelled = any(one.lower() in labels for one in found)
    columns = ", ".join(repr(one[:40]) for one in found[:12])
    near = [one for one, other in FORMATS.items() if other.carries != "prompts" and {*found} & {*other.needs}]
    near = near or [one for one, other in FORMATS.items() if other.carries != "prompts"]
    near.sort(key=lambda one: len(FORMATS[one].needs.keys() - cells.keys()))
    formats = ", ".join(f"{one} ({', '.join(FORMATS[one].needs)})" for one in near[:4])
    return (
        f"columns that look like answers{' or their labels' * labelled} and that the format '{name}' would drop: "
        f"{columns}; formats with answers are {formats}; {'labels are true or false, 1 or 0; ' * labelled}"
        f"--format {name} takes the prompts alone"
    )
