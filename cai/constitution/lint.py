"""What `cai constitution check` finds: errors stop a run, warnings are worth a look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

from cai.constitution.loading import constitution_from, document_problems, find_constitution, sound_part
from cai.constitution.principles import FORMS, Constitution, Form, Principle, lacking
from cai.errors import InputError, raise_all
from cai.records import KINDS, Json
from cai.yaml_files import Document, Where, read_yaml

LONG_WORDS = 80
ALIKE = 0.8
_PLACEHOLDER = re.compile(r"\{[a-z_]*\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (error) or doubtful (warning), and where."""

    level: Literal["error", "warning"]
    code: str
    message: str
    line: int | None = None
    column: int | None = None

    def to_json(self) -> Json:
        return {
            "level": self.level, "code": self.code, "message": self.message, "line": self.line, "column": self.column,
        }  # fmt: skip


def check_file(name_or_path: str | Path) -> tuple[Path | None, list[Finding]]:
    """The file that was checked and what was found, in the order of the file. Never raises `InputError`."""
    path = None
    try:
        path = find_constitution(name_or_path)
        document = read_yaml(path, all_refused=True)
    except InputError as error:
        return path, [Finding("error", "unreadable", error.message, error.line, error.column)]
    return path, check_document(document)


def require_sound(name_or_path: str | Path) -> None:
    """Raise `InputError` with the line of each error that `check_file` finds, `SeveralErrors` for several."""
    path, findings = check_file(name_or_path)
    errors = (one for one in findings if one.level == "error")
    raise_all([InputError(f"{one.message} [{one.code}]", path, one.line, one.column) for one in errors])


def check_document(document: Document) -> list[Finding]:
    """Findings on a file that is YAML; where it is no constitution, of the finer lints the errors in what is right."""
    found = [Finding("error", "invalid", one.message, one.line, one.column) for one in document_problems(document)]
    if found:
        found += [one for one in Lint(sound_part(document)).findings() if one.level == "error"]
    else:
        found = list(Lint(document).findings())
    return sorted(found, key=lambda one: (one.line or 0, one.column or 0))


class Lint:
    """The lints over one document whose entries are valid."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.constitution: Constitution = constitution_from(document)
        self.numbered = list(enumerate(self.constitution.principles))

    def findings(self) -> Iterator[Finding]:
        yield from self.missing_forms()
        yield from self.missing_rubrics()
        yield from self.alike()
        yield from self.scopes()
        yield from self.kinds_without_principle()
        yield from self.texts()
        yield from self.examples()
        yield from self.tests()

    def at(self, level: Literal["error", "warning"], code: str, message: str, *part: str | int) -> Finding:
        return Finding(level, code, message, *self.document.where_key(part))

    def missing_forms(self) -> Iterator[Finding]:
        """A form that some have and others lack is an error; one that none has keeps a stage from running."""
        used: list[Form] = []
        for form in FORMS[:3]:
            if self.constitution.with_form(form):
                used.append(form)
                continue
            stages = "`label`" if form == "comparison" else "`critique` and `revise`"
            yield self.at("warning", "missing-form", f"no principle has a '{form}': {stages} cannot use this file")
        for index, one in self.numbered:
            if one.only_for and not one.form(one.only_for):
                message = f"contradiction: 'only_for' is {one.only_for}, but {lacking(one, one.only_for)}"
                yield self.at("error", "contradictory-scope", message, "principles", index, "only_for")
                continue
            gone = [form for form in FORMS[:3] if one.meant_for(form) and not one.form(form)]
            half = bool(one.critique) != bool(one.revision)
            if missing := [form for form in gone if form in used or half]:
                hint = "" if half else _only_for_hint(one, missing)
                message = f"principle '{one.id}' has no {' and no '.join(map(repr, missing))}{hint}"
                yield self.at("error", "missing-form", message, "principles", index, "id")

    def missing_rubrics(self) -> Iterator[Finding]:
        """Rubrics are for all principles or for none: `rubric` refuses a file where only some have one."""
        if self.constitution.with_form("rubric"):
            for index, one in self.numbered:
                if not one.rubric:
                    message = f"{lacking(one, 'rubric')}, and others have: `rubric` cannot use this file"
                    yield self.at("warning", "missing-rubric", message, "principles", index, "id")

    def alike(self) -> Iterator[Finding]:
        """Pairs of principles that ask nearly the same, which then counts double."""
        for form, texts in self._comparable().items():
            for (i, one, pieces_i), (j, other, pieces_j) in combinations(texts, 2):
                share = similarity(pieces_i, pieces_j)
                if share >= ALIKE:
                    first = self.document.where_key(("principles", i, form))[0]
                    same = "the same" if share == 1 else f"nearly the same ({share:.0%})"
                    message = f"the {form} of '{other.id}' is {same} as that of '{one.id}' on line {first}"
                    yield self.at("warning", "near-duplicate", message, "principles", j, form)

    def _comparable(self) -> dict[Form, list[tuple[int, Principle, frozenset[str]]]]:
        """Word pairs of each text; a revision alone may well be shared, so it is looked at with its critique."""
        found: dict[Form, list[tuple[int, Principle, frozenset[str]]]] = {}
        for form in ("critique", "comparison", "rubric"):
            rows = [(i, one, f"{one.critique} {one.revision}" if form == "critique" else one.form(form))
                    for i, one in self.numbered if one.form(form)]  # fmt: skip
            found[form] = [(i, one, pieces(text)) for i, one, text in rows]
        return found

    def scopes(self) -> Iterator[Finding]:
        for index, one in self.numbered:
            scope, part = one.applies_to, ("principles", index, "applies_to")
            if scope.kinds == ():
                message = f"no prompt kind reaches '{one.id}': its 'kinds' is an empty list"
                yield self.at("error", "unreachable", message, *part, "kinds")
            if scope.tags == ():
                message = f"no prompt reaches '{one.id}': its 'tags' is an empty list"
                yield self.at("error", "unreachable", message, *part, "tags")
            both = [tag for tag in scope.tags or () if tag in scope.except_tags]
            if both:
                level: Literal["error", "warning"] = "error" if len(both) == len(scope.tags or ()) else "warning"
                message = f"contradiction in '{one.id}': {_quoted(both)} in both 'tags' and 'except_tags'"
                yield self.at(level, "contradictory-scope", message, *part, "except_tags")
            for tag in (*(scope.tags or ()), *scope.except_tags):
                if tag in KINDS:
                    message = f"'{tag}' is a kind of prompts, not a tag; write 'kinds: [{tag}]'"
                    yield self.at("warning", "kind-as-tag", message, *part)

    def kinds_without_principle(self) -> Iterator[Finding]:
        """Kinds of prompts that every principle shuts out, where a stage would reject all of them."""
        for form in ("critique", "comparison"):
            usable = [one for one in self.constitution.with_form(form) if one.applies_to.kinds != ()]
            reached = {kind for one in usable for kind in one.applies_to.kinds or KINDS}
            lost = [kind for kind in KINDS if usable and kind not in reached]
            if lost:
                message = f"no principle with a {form} applies to prompts of kind {_quoted(lost)}"
                yield self.at("warning", "kind-not-reached", message, "principles")

    def texts(self) -> Iterator[Finding]:
        for index, one in self.numbered:
            for form in FORMS:
                text = one.form(form)
                where: Where = ("principles", index, form)
                if (words := len(text.split())) > LONG_WORDS:
                    message = f"the {form} of '{one.id}' has {words} words; small models lose texts over {LONG_WORDS}"
                    yield self.at("warning", "over-long", message, *where)
                if form == "rubric" and text and not text.rstrip(" \"'”’").endswith(("?", "？", "؟")):
                    message = f"the rubric of '{one.id}' is no question; it is answered with yes or no"
                    yield self.at("warning", "rubric-not-a-question", message, *where)
                if match := _PLACEHOLDER.search(text):
                    message = f"the {form} of '{one.id}' contains '{match.group()}', but nothing is filled into texts"
                    yield self.at("warning", "placeholder", message, *where)

    def examples(self) -> Iterator[Finding]:
        for index, example in enumerate(self.constitution.comparison_examples):
            if example.response_a == example.response_b:
                message = "both responses of this example are the same text"
                yield self.at("error", "same-responses", message, "examples", "comparison", index)
        sides = [example.better for example in self.constitution.comparison_examples]
        if len(sides) > 1 and len(set(sides)) == 1:
            message = f"the better response is '{sides[0]}' in every example, which teaches a judge to prefer that side"
            yield self.at("warning", "one-sided-examples", message, "examples", "comparison")

    def tests(self) -> Iterator[Finding]:
        principles = {one.id: one for one in self.constitution.principles}
        for index, test in enumerate(self.constitution.tests):
            if test.better.strip() == test.worse.strip():
                yield self.at("error", "same-responses", "'better' and 'worse' are the same text", "tests", index)
            one = principles.get(test.principle)
            if one and not one.comparison:
                message = f"{lacking(one, 'comparison')}, so this test cannot be asked"
                yield self.at("warning", "test-without-form", message, "tests", index, "principle")


def _only_for_hint(one: Principle, missing: Sequence[Form]) -> str:
    has = [use for use in ("revision", "comparison") if one.form(use)]
    return f"; if that is meant, say 'only_for: {has[0]}'" if len(has) == 1 and missing else ""


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def pieces(text: str) -> frozenset[str]:
    """The pairs of neighbouring words of a text, without case and punctuation; of one word, the word."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(pair) for pair in pairwise(words)) or frozenset(words)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared pieces over all pieces, 0 … 1; texts without words are not alike."""
    if not one or not other or min(len(one), len(other)) < ALIKE * max(len(one), len(other)):
        return 0.0
    return len(one & other) / len(one | other)
