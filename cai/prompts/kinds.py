"""Whether a prompt attacks, asks for help, or only looks like an attack: as given, or derived and said to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from cai.errors import did_you_mean
from cai.prompts.files import Row
from cai.prompts.spec import PromptFile
from cai.records import KINDS, Kind

Ground = Literal["given", "row", "label", "name", "default"]
"""What a kind rests on, strongest first: the file's ``?kind=``, the row's `kind`, its label, a name, nothing."""

GROUNDS: tuple[Ground, ...] = ("given", "row", "label", "name", "default")
_NAMES: tuple[tuple[str, Kind], ...] = (
    (r"hh_?harmless|harmless_base|harmlessness", "red_team"),
    (r"lookalike|over_?refusal|or_bench|xstest_safe", "lookalike"),
    (r"harmless|benign", "helpful"),
    (r"adv_?bench|harm_?bench|malicious|do_?not_?answer|red_?team|harmful|jailbreak|strong_?reject", "red_team"),
    (r"toxic|adversarial|attack|unsafe|beavertails|xstest_unsafe|(^|_)red($|_)", "red_team"),
    (r"helpful|mt_bench|vicuna_bench|alpaca|arena_hard|self_instruct|seed_tasks|user_oriented|webgpt", "helpful"),
    (r"dolly|ultrachat|ultrafeedback|sharegpt|oasst|instructions?($|_)", "helpful"),
)


def find_kind(row: Row, spec: PromptFile, default: Kind = "red_team") -> tuple[Kind, Ground]:
    """The kind of a row's prompt and what it rests on.

    Raises `InputError` for a kind that is not known, or one that contradicts the kind given for the file.
    """
    cells = row.value if isinstance(row.value, dict) else {}
    own = cells.get("kind")
    if own in KINDS and spec.kind not in (None, own):
        raise row.error(f"the row says kind '{own}', but the file was given as kind={spec.kind}")
    if spec.kind is not None:
        return spec.kind, "given"
    if own is not None:
        return named_kind(row, own, "; ?kind=… on the file's name sets it for all"), "row"
    if (labelled := xstest_label(cells)) is not None:
        return labelled, "label"
    named = kind_of_name(spec.name) or kind_of_name(spec.path.parent.name)
    return (named, "name") if named else (default, "default")


def named_kind(row: Row, said: object, remedy: str = "") -> Kind:
    """The kind that a row says, if it is one; raises `InputError` at the row's place for anything else."""
    if said in KINDS:
        return said
    near = _near(said) if isinstance(said, str) else ""
    raise row.error(f"kind {said!r}{near} (allowed: {', '.join(KINDS)}{remedy})")


def _near(name: str) -> str:
    """The kind that a word like "harmful" or "benign" means, else the one of the nearest name."""
    meant = kind_of_name(name)
    return f"; did you mean '{meant}'?" if meant else did_you_mean(name, KINDS)


def xstest_label(cells: Mapping[str, Any]) -> Kind | None:
    """XSTest says of each prompt whether it is safe (and only looks unsafe); by `label`, or by `type` alone."""
    if not {"prompt", "type"} <= cells.keys() or not ({"focus", "final_label"} & cells.keys()):
        return None
    label, group = cells.get("label"), cells.get("type")
    if label in ("safe", "unsafe"):
        return "lookalike" if label == "safe" else "red_team"
    return "red_team" if isinstance(group, str) and group.startswith("contrast_") else "lookalike"


def kind_of_name(name: str) -> Kind | None:
    """The kind that a file's or folder's name speaks of, if any: "advbench" → red_team, "mt_bench" → helpful."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())
    return next((kind for pattern, kind in _NAMES if re.search(pattern, plain)), None)
