"""What differs between two constitutions, and what an edit costs: the share of draws and questions that change."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.constitution.principles import FORMS, Constitution, Form, Principle
from cai.records import Json

Step = Literal["same", "gone", "new"]


@dataclass(frozen=True, slots=True)
class Rewording:
    """One form of one principle, before and after; an empty text is a form that is not there."""

    principle: str
    form: Form
    before: str
    after: str

    @property
    def kind(self) -> Literal["reworded", "form added", "form removed"]:
        if not self.before:
            return "form added"
        return "reworded" if self.after else "form removed"


@dataclass(frozen=True, slots=True)
class Change:
    """The way from one constitution to another.

    `moved`: share of draws that land on another principle; `asked_anew`: that share and the draws whose principle was
    reworded. Both are exact expectations, per form, for prompts that every principle reaches.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    rewordings: tuple[Rewording, ...]
    settings: tuple[str, ...]
    examples: tuple[Literal["revision", "comparison"], ...]
    moved: dict[Form, float]
    asked_anew: dict[Form, float]

    def to_json(self) -> Json:
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "renamed": [list(pair) for pair in self.renamed],
            "rewordings": [
                {"principle": one.principle, "form": one.form, "before": one.before, "after": one.after}
                for one in self.rewordings
            ],
            "settings": list(self.settings),
            "examples": list(self.examples),
            "moved": dict(self.moved),
            "asked_anew": dict(self.asked_anew),
        }


def compare(before: Constitution, after: Constitution) -> Change:
    """What was added, removed, renamed and reworded, and what that does to the draws."""
    old, new = ({one.id: one for one in side.principles} for side in (before, after))
    kept = [id for id in old if id in new]
    renamed = tuple(_renamed([old[id] for id in old if id not in new], [new[id] for id in new if id not in old]))
    moved, asked = _draws(before, after)
    examples = tuple(_examples(before, after))
    shown_before: dict[str, tuple[Form, ...]] = {"revision": ("critique", "revision"), "comparison": ("comparison",)}
    asked |= {form: 1.0 for sort in examples for form in shown_before[sort] if form in asked}
    return Change(
        added=tuple(id for id in new if id not in old and id not in {to for _, to in renamed}),
        removed=tuple(id for id in old if id not in new and id not in {gone for gone, _ in renamed}),
        renamed=renamed,
        rewordings=tuple(
            Rewording(id, form, old[id].form(form), new[id].form(form))
            for id in kept
            for form in FORMS
            if old[id].form(form) != new[id].form(form)
        ),
        settings=tuple(line for id in kept for line in _settings(old[id], new[id])),
        examples=examples,
        moved=moved,
        asked_anew=asked,
    )


def _renamed(gone: list[Principle], come: list[Principle]) -> Iterator[tuple[str, str]]:
    texts = {tuple(one.form(form) for form in FORMS): one.id for one in come}
    for one in gone:
        to = texts.pop(tuple(one.form(form) for form in FORMS), None)
        if to:
            yield one.id, to


def _settings(old: Principle, new: Principle) -> Iterator[str]:
    if old.weight != new.weight:
        yield f"{old.id}: weight {old.weight:g} -> {new.weight:g}"
    for name in ("applies_to", "only_for", "title", "tags", "source"):
        if getattr(old, name) != getattr(new, name):
            yield f"{old.id}: {name}"


def _examples(before: Constitution, after: Constitution) -> Iterator[Literal["revision", "comparison"]]:
    if before.revision_examples != after.revision_examples:
        yield "revision"
    if before.comparison_examples != after.comparison_examples:
        yield "comparison"


def _draws(before: Constitution, after: Constitution) -> tuple[dict[Form, float], dict[Form, float]]:
    moved: dict[Form, float] = {}
    asked: dict[Form, float] = {}
    for form in ("critique", "comparison"):
        old, new = ({one.id: one for one in side.with_form(form)} for side in (before, after))
        if old and new:
            stays = _stays(old, new)
            moved[form] = max(0.0, 1 - sum(stays.values()))
            same = [id for id in stays if _question(old[id], form) == _question(new[id], form)]
            asked[form] = max(0.0, 1 - sum(stays[id] for id in same))
    return moved, asked


def _stays(old: dict[str, Principle], new: dict[str, Principle]) -> dict[str, float]:
    """The chance of each principle in both to win a draw on both sides.

    Scores are exponentials at rate `weight` (rendezvous hashing). One wins on both sides if each rival's exponential
    exceeds its own times the larger of the two ratios of their weights.
    """
    rivals = old.keys() | new.keys()
    return {
        id: 1
        / sum(max(side[rival].weight / side[id].weight for side in (old, new) if rival in side) for rival in rivals)
        for id in old.keys() & new.keys()
    }


def _question(one: Principle, form: Form) -> tuple[str, ...]:
    return (one.critique, one.revision) if form == "critique" else (one.form(form),)


def word_steps(before: str, after: str) -> list[tuple[Step, str]]:
    """The words of both texts in order, marked as the same, gone or new; white space goes with the word before it."""
    old, new = (re.findall(r"\s*\S+", text) for text in (before, after))
    steps: list[tuple[Step, str]] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind == "equal":
            steps.append(("same", "".join(old[i:j])))
            continue
        if i < j:
            steps.append(("gone", "".join(old[i:j])))
        if k < m:
            steps.append(("new", "".join(new[k:m])))
    return steps
