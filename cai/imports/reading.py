"""Rows of any format to preferences or prompts: each read to the letter, each that cannot be carried told with why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from cai.errors import ConfigError, InputError
from cai.human_preferences.merged import merge
from cai.human_preferences.shapes import Ranked
from cai.imports.answers import Answer, Answers
from cai.imports.cells import Cells, check_prompt, check_text
from cai.imports.formats import FORMATS, HEAD, Format, RowFormats, check_format, first_format, loses_answers
from cai.imports.held import Held, Known, Settled
from cai.imports.judged import join_judged
from cai.imports.labels import Ranker, labelled, prompt_source, ranker_of, tags_of, weight_of
from cai.imports.scratch import Scratch
from cai.imports.sources import Source, named_format
from cai.prompts.files import Row
from cai.prompts.kinds import find_kind
from cai.prompts.mistakes import Mistakes
from cai.prompts.shapes import UnusableRow
from cai.prompts.spec import PromptFile, check_source
from cai.prompts.splits import check_share, given_split, opening_turn, split_of
from cai.prompts.watched import Watch
from cai.records import Json, Kind, Messages, Preference, Prompt, Split, content_id

Reject = Callable[[Row, str], None]


@dataclass(slots=True)
class ImportReport:
    """How files were read: `kept` + `duplicates` + Σ `rejected` = `units`; a row of no use counts as one unit.

    `units` is `rows` but where a row ranks several pairs, or two rows make one. `rejected` counts by reason and
    `first` gives the place of the first of each; `formats` counts rows, `kinds` and `sources` what was kept, `unread`
    the rows in which a column held something that was never read, `annotators` pairs that count as people's by who
    their row says ranked them.
    """

    rows: int = 0
    units: int = 0
    kept: int = 0
    ties: int = 0
    duplicates: int = 0
    contradicting: int = 0
    moved: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    kinds: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> Json:
        kinds = [{"kind": kind, "from": ground, "rows": rows} for (kind, ground), rows in self.kinds.items()]
        return {
            "rows": self.rows, "units": self.units, "kept": self.kept, "ties": self.ties,
            "duplicates": self.duplicates, "contradicting": self.contradicting, "moved_to_test": self.moved,
            "formats": dict(self.formats), "rejected": dict(self.rejected), "first": self.first, "kinds": kinds,
            "sources": dict(self.sources), "splits": dict(self.splits), "columns_not_read": dict(self.unread),
            "annotators": dict(self.annotators),
        }  # fmt: skip


@dataclass(slots=True)
class Reading:
    """How files are read, and what is known while rows come in.

    A row's own `source`, `p_chosen`, `weight`, `kind` and `split` are kept; `ranker` and `kind` are those of rows that
    name none. `told` hears of every row that cannot be carried. `report` is complete when all that `preferences` or
    `prompts` gives has been taken; a reading gives it once.
    """

    sources: Sequence[Source]
    format_name: str = "auto"
    ranker: Ranker = "human"
    kind: Kind | None = None
    test_share: float = 0.2
    told: Reject = lambda row, why: None
    report: ImportReport = field(default_factory=ImportReport)
    watch: Watch = field(default_factory=Watch)

    def preferences(self) -> Iterator[Preference]:
        """Each pair once, in the files' order, when all files are read; neither pairs nor rows are held in memory.

        A row's `id` says which answer was response_a where it is ours. Repeated pairs are counted and merged (`merge`).
        Raises `InputError` for files that cannot be read at all or hold no pairs, `ConfigError` for a format that does
        not carry them.
        """
        check_share(self.test_share)
        for source in self.sources:
            check_source(source.spec)
        with closing(Scratch()) as scratch:
            held = Held(scratch)
            for row, spec, ranked in _ranked(self, scratch):
                try:
                    new, split = _preference(row, _kinded(row, spec, self.kind), ranked, self.ranker, self.report)
                except (UnusableRow, InputError) as reason:
                    self.reject(row, reason)
                    continue
                self.report.units += 1
                if new.source == "human" and isinstance(name := dict.get(row.value, "annotator"), str) and name:
                    self.report.annotators[name] += 1
                self._keep(new, split, held)
            for one in self._settled(held):
                made = Preference.from_json(one.record)
                made = merge(made, [made.p_a, *one.labels], [made.weight, *one.weights])
                self.report.ties += made.p_a == 0.5
                self.report.sources[made.source] += 1
                yield replace(made, prompt=_on(made.prompt, one.side))

    def prompts(self) -> Iterator[Prompt]:
        """The prompts in files of any format, each once, without their answers; see `preferences`."""
        check_share(self.test_share)
        with closing(Scratch()) as scratch:
            held = Held(scratch)
            for row, spec, messages in _messages(self):
                try:
                    check_prompt(messages)
                    new = _prompt(row, _kinded(row, spec, self.kind), messages, "red_team", self.report)
                    split = given_split(labelled(row), spec)
                except (UnusableRow, InputError) as reason:
                    self.reject(row, reason)
                    continue
                self.report.units += 1
                known = self._hold(new.id, new, new, split, held)
                if known is not None and split is not None and known.given != "test":
                    held.give(known, split)
            for one in self._settled(held):
                yield _on(Prompt.from_json(one.record), one.side)

    def reject(self, row: Row, reason: object) -> None:
        """Count a row that cannot be carried, and tell of it."""
        why = str(reason.message if isinstance(reason, InputError) else reason)
        if row.number is not None:
            why = why.removeprefix(f"row {row.number}: ")
        self.report.units += 1
        self.report.rejected[why] += 1
        self.report.first.setdefault(why, row.place)
        self.told(row, why)

    def _keep(self, one: Preference, split: Split | None, held: Held) -> None:
        key = content_id(one.source, one.prompt.id, *sorted((one.response_a, one.response_b)))
        found = self._hold(key, one, one.prompt, split, held)
        if found is None:
            return
        known = Preference.from_json(found.record)
        label = one.p_a if known.response_a == one.response_a else 1.0 - one.p_a
        self.report.contradicting += (known.p_a - 0.5) * (label - 0.5) < 0
        held.add_label(found, label, one.weight)

    def _hold(
        self, key: str, record: Preference | Prompt, prompt: Prompt, split: Split | None, held: Held
    ) -> Known | None:
        drawn = split_of(prompt.messages, self.test_share) if split is None else None
        known = held.add(key, record.to_json(), opening_turn(prompt.messages), split, drawn)
        self.report.duplicates += known is not None
        return known

    def _settled(self, held: Held) -> Iterator[Settled]:
        self.report.unread = self.watch.unread
        for one in held.settled():
            self.report.kept += 1
            self.report.moved += one.moved
            self.report.splits[one.side] += 1
            yield one


def read_preferences(
    sources: Sequence[Source],
    format_name: str = "auto",
    *,
    ranker: Ranker = "human",
    kind: Kind | None = None,
    test_share: float = 0.2,
    told: Reject = lambda row, why: None,
) -> tuple[list[Preference], ImportReport]:
    """All preferences in files, and how they were read; see `Reading.preferences`."""
    reading = Reading(sources, format_name, ranker, kind, test_share, told)
    return list(reading.preferences()), reading.report


def read_prompt_rows(
    sources: Sequence[Source],
    format_name: str = "auto",
    *,
    kind: Kind | None = None,
    test_share: float = 0.2,
    told: Reject = lambda row, why: None,
) -> tuple[list[Prompt], ImportReport]:
    """All prompts in files, and how they were read; see `Reading.prompts`."""
    reading = Reading(sources, format_name, kind=kind, test_share=test_share, told=told)
    return list(reading.prompts()), reading.report


# ------------------------------------------------------------------------------------------------ rows to meanings


def _rows(reading: Reading) -> Iterator[tuple[Row, Source, Format]]:
    """Every row with how it is to be read: as its file was mapped, as was asked for, or as it looks (`RowFormats`)."""
    asked = check_format(reading.format_name)
    for source in reading.sources:
        name = asked if asked != "auto" or source.mapped is None else "dataset_info.json"
        mistakes = Mistakes(source.spec.path)
        rows = source.rows(mistakes)
        head = list(islice(rows, HEAD))
        formats = RowFormats(first_format(head)) if name == "auto" and head else None
        for row in chain(head, rows):
            reading.report.rows += 1
            if formats is not None:
                name = formats.of(row.value) if isinstance(row.value, dict) else formats.first
            reading.report.formats[name] += 1
            if not isinstance(row.value, dict):
                reading.reject(row, "the row is not an object with columns")
                continue
            if asked == "auto" and name in FORMATS and (why := loses_answers(name, row.value)):
                reading.reject(row, why)
                continue
            yield reading.watch.row(row), source, named_format(name, source)
        mistakes.check()


def _ranked(reading: Reading, scratch: Scratch) -> Iterator[tuple[Row, PromptFile, Ranked]]:
    answers = Answers(scratch, reading.watch)
    for row, source, form in _rows(reading):
        if form.carries == "prompts":
            raise ConfigError(f"{source.spec.path}: this format holds no preferences; --as prompts takes its prompts")
        try:
            if form.carries == "judged":
                answers.add(Answer(row, source.spec, form.read(row, row.value, form.columns)))
                continue
            coming = list(form.read(row, row.value, form.columns))
        except (UnusableRow, InputError) as reason:
            reading.reject(row, reason)
            continue
        for one in coming:
            if isinstance(one, UnusableRow):
                reading.reject(row, one)
            else:
                yield row, source.spec, one
    yield from join_judged(answers, reading.reject)


def _messages(reading: Reading) -> Iterator[tuple[Row, PromptFile, Messages]]:
    for row, source, form in _rows(reading):
        try:
            read = form.read(row, row.value, form.columns)
            if form.carries == "prompts":
                messages = read
            elif form.carries == "judged":
                messages = read.messages
            else:
                messages = _first(read).messages
        except (UnusableRow, InputError) as reason:
            reading.reject(row, reason)
            continue
        yield row, source.spec, messages


def _first(coming: Iterator[Ranked | UnusableRow]) -> Ranked:
    one = next(coming, None)
    if one is None or isinstance(one, UnusableRow):
        raise one or UnusableRow("no answers")
    return one


# ------------------------------------------------------------------------------------------------ meanings to records


def _preference(
    row: Row, spec: PromptFile, ranked: Ranked, ranker: Ranker, report: ImportReport
) -> tuple[Preference, Split | None]:
    """The pair, and the side that it was given."""
    check_prompt(ranked.messages)
    if not ranked.first.strip() or not ranked.second.strip():
        raise UnusableRow("an answer is empty")
    if ranked.first == ranked.second:
        raise UnusableRow("both answers are the same text")
    check_text(ranked.first)
    check_text(ranked.second)
    split, weight = given_split(labelled(row), spec), weight_of(row.value)
    prompt = _prompt(row, spec, ranked.messages, "helpful", report)
    who = ranker_of(row.value, ranker)
    return _on_its_side(Preference(prompt, ranked.first, ranked.second, ranked.p_first, weight, who), row.value), split


def _on_its_side(straight: Preference, cells: Cells) -> Preference:
    """The pair as it was before it was exported where the row says so, else ordered by a hash of its texts."""
    turned = straight.swap()
    if dict.get(cells, "response_a") not in (None, "") or cells.get("id") == straight.id:
        return straight
    if cells.get("id") == turned.id:
        return turned
    first = min((straight.response_a, straight.response_b), key=lambda one: content_id("side", straight.prompt.id, one))
    return straight if first == straight.response_a else turned


def _prompt(row: Row, spec: PromptFile, messages: Messages, default: Kind, report: ImportReport) -> Prompt:
    kind, ground = find_kind(labelled(row), spec, default=default)
    name = spec.source or prompt_source(row.value) or spec.name
    report.kinds[kind, ground] += 1
    return Prompt.make(messages, kind, name, tags=tuple(dict.fromkeys((*spec.tags, *tags_of(row.value)))))


def _kinded(row: Row, spec: PromptFile, kind: Kind | None) -> PromptFile:
    """The file's settings with `kind` for a row that names none itself."""
    if kind is None or spec.kind is not None or labelled(row).value.get("kind") is not None:
        return spec
    return replace(spec, kind=kind)


def _on(prompt: Prompt, side: Split) -> Prompt:
    return prompt if prompt.split == side else replace(prompt, split=side)
