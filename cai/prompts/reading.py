"""Prompt files to one set of prompts: merged, counted, split, and every file's reading told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cai.errors import ConfigError, InputError, each
from cai.prompts.files import Row
from cai.prompts.kinds import GROUNDS, Ground, find_kind
from cai.prompts.mistakes import Mistakes
from cai.prompts.shapes import UnusableRow, keys_beside, read_dialogue
from cai.prompts.spec import PromptFile, parse_spec
from cai.prompts.splits import check_share, given_split, opening_turn, split_of
from cai.records import Json, Kind, Prompt, Split

_USED = {
    "kind",
    "split",
    "source",
    "tags",
    "id",
    "system",
    "system_prompt",
    "reference",
    "input",
    "instances",
    "ContextString",
}


@dataclass(frozen=True, slots=True)
class FileReport:
    """How one file was read. `prompts` + `duplicates` + Σ `skipped` = `rows`.

    `kinds` counts rows by (kind, what it rests on); `skipped` and `notes` count rows by reason, each with the place of
    the first; `unread` names columns that nothing was taken from.
    """

    path: str
    rows: int
    prompts: int
    duplicates: int
    kinds: dict[tuple[Kind, Ground], int]
    columns: dict[str, int]
    unread: tuple[str, ...]
    skipped: dict[str, int]
    notes: dict[str, int]
    first: dict[str, str]

    def to_json(self) -> Json:
        kinds = [{"kind": kind, "from": ground, "rows": rows} for (kind, ground), rows in self.kinds.items()]
        return {
            "path": self.path, "rows": self.rows, "prompts": self.prompts, "duplicates": self.duplicates,
            "kinds": kinds, "columns": self.columns, "unread": list(self.unread), "skipped": self.skipped,
            "notes": self.notes, "first": self.first,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts of all files, in order, each once.

    `duplicates` were merged, `skipped` left out by reason, `over_limit` left out by the limit, and `moved` put on the
    test side although given as train, because another prompt with the same opening turn is there.
    """

    prompts: tuple[Prompt, ...]
    duplicates: int
    skipped: dict[str, int]
    files: tuple[FileReport, ...] = ()
    over_limit: int = 0
    moved: int = 0

    @property
    def turns(self) -> dict[int, int]:
        """The number of prompts by their number of turns, fewest first; a system message is no turn."""
        counts = Counter(sum(turn.role != "system" for turn in prompt.messages) for prompt in self.prompts)
        return dict(sorted(counts.items()))

    def summary(self) -> Json:
        """Counts by kind, split and number of turns (see `turns`), and how each file was read."""
        return {
            "prompts": len(self.prompts),
            "kinds": dict(Counter(prompt.kind for prompt in self.prompts)),
            "splits": dict(Counter(prompt.split for prompt in self.prompts)),
            "turns": {str(n): count for n, count in self.turns.items()},
            "duplicates": self.duplicates,
            "skipped": self.skipped,
            "over_limit": self.over_limit,
            "moved_to_test": self.moved,
            "files": [file.to_json() for file in self.files],
        }


@dataclass(slots=True)
class _Found:
    """A prompt as it stands while files are read: what its kind rests on, the side it was given, and where it was."""

    prompt: Prompt
    ground: Ground
    split: Split | None
    place: str


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    new: int = 0
    duplicates: int = 0
    kinds: Counter[tuple[Kind, Ground]] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)
    unread: dict[str, None] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    ids: dict[str | int, str] = field(default_factory=dict)

    def note(self, note: str, row: Row) -> None:
        self.notes[note] += 1
        self.first.setdefault(note, row.place)

    def report(self, path: Path) -> FileReport:
        return FileReport(
            str(path), self.rows, self.new, self.duplicates, dict(self.kinds), dict(self.columns), tuple(self.unread),
            dict(self.skipped), dict(self.notes), self.first,
        )  # fmt: skip


def read_prompts(files: Sequence[str], *, limit: int | None = None, test_share: float = 0.2) -> PromptSet:
    """Read prompt files, ``PATH`` or ``PATH?key=value&…`` (see `cai.prompts.spec.KEYS`), in their order.

    Equal dialogues are merged; `limit` keeps the first N of each kind. A kind that is not given is derived (file
    names, XSTest's labels) and red_team where nothing speaks of one; a split that is not given is drawn by the opening
    user turn. Raises `InputError` with the place of a row that is wrong, `SeveralErrors` for several, of each file the
    first `MOST`; nothing is dropped uncounted.
    """
    check_share(test_share)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}, expected at least 1")
    if not files:
        raise InputError("no prompt file was given")
    found: dict[str, _Found] = {}
    reports = tuple(each(lambda name: _read_file(parse_spec(name), found), files))
    prompts, moved = _with_splits(list(found.values()), test_share)
    kept = _first_of_each_kind(prompts, limit)
    skipped: Counter[str] = Counter()
    for report in reports:
        skipped.update(report.skipped)
    duplicates = sum(report.duplicates for report in reports)
    return PromptSet(kept, duplicates, dict(skipped), reports, len(prompts) - len(kept), moved)


def _read_file(spec: PromptFile, found: dict[str, _Found]) -> FileReport:
    counts, mistakes = _Counts(), Mistakes(spec.path)
    for row in mistakes.rows(spec):
        counts.rows += 1
        try:
            _keep(_read_row(row, spec, counts), row, counts, found)
        except UnusableRow as reason:
            counts.skipped[str(reason)] += 1
            counts.first.setdefault(str(reason), row.place)
        except InputError as error:
            mistakes.add(error)
    mistakes.check()
    if counts.rows == counts.skipped.total():
        raise InputError("holds no prompts" + (": every row was left out" if counts.rows else ""), spec.path)
    return counts.report(spec.path)


def _keep(one: _Found, row: Row, counts: _Counts, found: dict[str, _Found]) -> None:
    if (known := found.get(one.prompt.id)) is None:
        found[one.prompt.id] = one
        counts.new += 1
    else:
        _merge(known, one, row)
        counts.duplicates += 1


def _read_row(row: Row, spec: PromptFile, counts: _Counts) -> _Found:
    dialogue = read_dialogue(row, spec)
    kind, ground = find_kind(row, spec)
    split = given_split(row, spec)
    cells = row.value if isinstance(row.value, dict) else {}
    source = spec.source or cells.get("source")
    tags = (*spec.tags, *_tags(cells.get("tags")))
    name = source if isinstance(source, str) and source else spec.name
    prompt = Prompt.make(dialogue.messages, kind, name, split or "train", tuple(dict.fromkeys(tags)))
    counts.kinds[kind, ground] += 1
    counts.columns[dialogue.column] += 1
    counts.unread.update((column, None) for column in cells if column not in _USED and column != dialogue.column)
    beside = keys_beside(cells.get(dialogue.column))
    counts.unread.update((f"{dialogue.column}[].{key}", None) for key in beside)
    for note in dialogue.notes:
        counts.note(note, row)
    id = cells.get("id")
    if isinstance(id, str | int) and id != "" and counts.ids.setdefault(id, prompt.id) != prompt.id:
        counts.note("another prompt than that of an earlier row with the same id", row)
    return _Found(prompt, ground, split, row.place)


def _tags(cell: object) -> tuple[str, ...]:
    tags = cell.split(",") if isinstance(cell, str) else cell if isinstance(cell, list) else []
    return tuple(tag.strip() for tag in tags if isinstance(tag, str) and tag.strip())


def _merge(known: _Found, new: _Found, row: Row) -> None:
    """Fold a repeated prompt into the first: the better-founded kind, the test side if either, the tags of both."""
    older, newer = GROUNDS.index(known.ground), GROUNDS.index(new.ground)
    prompt = known.prompt
    if older == newer and prompt.kind != new.prompt.kind:
        raise row.error(f"the prompt is {new.prompt.kind} here, but {prompt.kind} at {known.place}; keep one of them")
    if newer < older:
        prompt, known.ground = replace(prompt, kind=new.prompt.kind), new.ground
    known.prompt = replace(prompt, tags=tuple(dict.fromkeys((*prompt.tags, *new.prompt.tags))))
    if new.split is not None and known.split != "test":
        known.split = new.split


def _with_splits(found: list[_Found], test_share: float) -> tuple[list[Prompt], int]:
    """Each prompt on its side, and how many that were given as train had to go to test with their opening turn."""
    sides = [one.split or split_of(one.prompt.messages, test_share) for one in found]
    held_out = {opening_turn(one.prompt.messages) for one, side in zip(found, sides, strict=True) if side == "test"}
    prompts, moved = [], 0
    for one, side in zip(found, sides, strict=True):
        final: Split = "test" if opening_turn(one.prompt.messages) in held_out else "train"
        moved += final != side
        prompts.append(replace(one.prompt, split=final))
    return prompts, moved


def _first_of_each_kind(prompts: Sequence[Prompt], limit: int | None) -> tuple[Prompt, ...]:
    if limit is None:
        return tuple(prompts)
    seen: Counter[Kind] = Counter()
    kept = []
    for prompt in prompts:
        seen[prompt.kind] += 1
        if seen[prompt.kind] <= limit:
            kept.append(prompt)
    return tuple(kept)
