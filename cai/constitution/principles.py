"""A constitution in memory: its principles, worked examples and tests, and which principle is drawn for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from cai.dialogues import ComparisonExample, RevisionExample
from cai.draws import draw_items
from cai.errors import InputError, ParseError, did_you_mean
from cai.records import Json, Kind, Messages, Prompt

Form = Literal["critique", "revision", "comparison", "rubric"]
Use = Literal["revision", "comparison"]
FORMS: tuple[Form, ...] = get_args(Form)
USES: dict[Form, Use | None] = {
    "critique": "revision", "revision": "revision", "comparison": "comparison", "rubric": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """Which prompts a principle is used on; None is no condition. Every condition must hold."""

    kinds: tuple[Kind, ...] | None = None
    tags: tuple[str, ...] | None = None
    except_tags: tuple[str, ...] = ()

    def holds(self, prompt: Prompt) -> bool:
        if self.kinds is not None and prompt.kind not in self.kinds:
            return False
        if self.tags is not None and not set(self.tags) & set(prompt.tags):
            return False
        return not set(self.except_tags) & set(prompt.tags)

    def to_json(self) -> Json:
        kinds, tags = (None if part is None else list(part) for part in (self.kinds, self.tags))
        return {"kinds": kinds, "tags": tags, "except_tags": list(self.except_tags)}

    def __str__(self) -> str:
        parts = [",".join(self.kinds)] if self.kinds is not None else []
        parts += [f"tags {','.join(self.tags)}"] if self.tags is not None else []
        parts += [f"not {','.join(self.except_tags)}"] if self.except_tags else []
        return "; ".join(parts) or "all"


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle in up to four forms; a form that it does not have is the empty string.

    `only_for` says that a missing form is meant: the principle takes part in revision only, or in comparison only.
    `line` is where it begins in its file, from 1; 0 when it is from no file.
    """

    id: str
    critique: str = ""
    revision: str = ""
    comparison: str = ""
    rubric: str = ""
    title: str = ""
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    applies_to: Scope = Scope()
    only_for: Use | None = None
    source: str = ""
    line: int = field(default=0, compare=False, repr=False)
    column: int = field(default=0, compare=False, repr=False)

    def form(self, form: Form) -> str:
        """The text of one form; empty if there is none."""
        text: str = getattr(self, form)
        return text

    def reaches(self, prompt: Prompt) -> bool:
        """Whether `applies_to` lets the principle be used on `prompt`."""
        return self.applies_to.holds(prompt)

    def meant_for(self, form: Form) -> bool:
        """Whether `only_for` leaves the principle in use where `form` is asked for."""
        return self.only_for is None or USES[form] in (None, self.only_for)


@dataclass(frozen=True, slots=True)
class PrincipleTest:
    """A plain case: under the principle named, `better` should win against `worse`."""

    messages: Messages
    better: str
    worse: str
    principle: str


@dataclass(frozen=True)
class Constitution:
    """What a constitution file says. `sha256` is over the bytes of the file at `path`."""

    name: str
    principles: tuple[Principle, ...]
    description: str = ""
    language: str = "en"
    revision_examples: tuple[RevisionExample, ...] = ()
    comparison_examples: tuple[ComparisonExample, ...] = ()
    tests: tuple[PrincipleTest, ...] = ()
    path: Path | None = None
    sha256: str = ""

    @cached_property
    def _by_id(self) -> dict[str, Principle]:
        return {one.id: one for one in self.principles}

    @cached_property
    def _by_form(self) -> dict[Form, tuple[Principle, ...]]:
        return {form: tuple(one for one in self.principles if one.form(form) and one.meant_for(form)) for form in FORMS}

    @cached_property
    def _scoped(self) -> bool:
        return any(one.applies_to != Scope() for one in self.principles)

    def by_id(self, id: str) -> Principle:
        """The principle of that id. Raises `InputError` naming the nearest."""
        if id in self._by_id:
            return self._by_id[id]
        raise InputError(f"'{self.name}' has no principle '{id}'{did_you_mean(id, self._by_id)}", self.path)

    def for_form(self, form: Form, prompt: Prompt) -> tuple[Principle, ...]:
        """The principles that have `form` and reach `prompt`, in the order of the file; may be empty."""
        pool = self.with_form(form)
        return tuple(one for one in pool if one.reaches(prompt)) if self._scoped else pool

    def with_form(self, form: Form) -> tuple[Principle, ...]:
        """The principles that have `form` and are meant for it, in the order of the file."""
        return self._by_form[form]

    def require_forms(self, forms: Iterable[Form]) -> None:
        """Raises `InputError` for the first principle that lacks one of `forms` without saying so by `only_for`."""
        for form in forms:
            meant = [one for one in self.principles if one.meant_for(form)]
            for one in meant:
                if not one.form(form):
                    raise InputError(f"{lacking(one, form)}, which this run needs", self.path, one.line, one.column)
            if not meant:
                raise InputError(f"no principle is meant for {USES[form]}, but this run needs a '{form}'", self.path)

    def draw(
        self, seed: int, record_id: str, purpose: str, round: int = 0, among: Sequence[Principle] | None = None
    ) -> Principle:
        """One of `among` (default: all) by weighted rendezvous hashing. Raises `ParseError` if there is none."""
        pool = self.principles if among is None else among
        if not pool:
            raise ParseError("no principle of the constitution reaches this prompt")
        [drawn] = draw_items(pool, 1, seed, record_id, purpose, round)
        return drawn


def lacking(principle: Principle, form: Form) -> str:
    """``"principle 'x' has no 'comparison'"``."""
    return f"principle '{principle.id}' has no '{form}'"
