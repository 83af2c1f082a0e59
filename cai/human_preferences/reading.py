"""A file of ranked answers to preferences: each pair once, on its side of the split, and how the file was read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from cai.errors import InputError
from cai.human_preferences.merged import merge, same_pair
from cai.human_preferences.shapes import Ranked, flat, is_own, number, ranked_pairs
from cai.prompts.files import Row
from cai.prompts.kinds import find_kind
from cai.prompts.mistakes import Mistakes
from cai.prompts.shapes import UnusableRow, check_messages
from cai.prompts.spec import PromptFile, check_source, parse_spec
from cai.prompts.splits import check_share, given_split, opening_turn, split_of
from cai.prompts.watched import Watch
from cai.records import Json, Kind, Message, Preference, Prompt, Split, content_id

_SHOWN = 8


def left_out_lines(skipped: Mapping[str, int], first: Mapping[str, str], what: str = "pair") -> list[str]:
    """A line for every reason for which rows were left out, with the place of the first."""
    return [
        f"{count:,} {what}{'' if count == 1 else 's'} left out: {reason} "
        f"({'' if count == 1 else 'first: '}{first[reason]})"
        for reason, count in skipped.items()
    ]


@dataclass(slots=True)
class PairNotes:
    """How a file was read: `kept` + `duplicates` + Σ `skipped` = `pairs`, where a row of no use counts as one.

    `pairs` is `rows` but for rows that rank more than two answers. `skipped` counts by reason, `first` gives the place
    of the first of each; `contradicting` counts repeated pairs that were ranked the other way, whose label is then the
    mean; `ties` are kept pairs of which neither is better; `kinds` counts rows by (kind, what it rests on); `unread`
    names columns that nothing was taken from, `annotators` counts rows that count as people's by who their column of
    that name says ranked them, `named` has those names by pair (`same_pair`). `left_out` has the rows of `skipped` as
    they are in the file, not once for each pair that one ranks.
    """

    rows: int = 0
    pairs: int = 0
    kept: int = 0
    ties: int = 0
    duplicates: int = 0
    contradicting: int = 0
    moved: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    kinds: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    annotators: Counter[str] = field(default_factory=Counter)
    named: dict[object, set[str]] = field(default_factory=dict)
    left_out: list[tuple[Row, str]] = field(default_factory=list)

    def skip(self, reason: UnusableRow, row: Row) -> None:
        """Count a row or pair that is left out, and keep it."""
        why = str(reason)
        self.skipped[why] += 1
        self.first.setdefault(why, row.place)
        if not any(one is row and told == why for one, told in self.left_out[-1:]):
            self.left_out.append((row, why))

    def told(self, file: str) -> list[str]:
        """For people: what was not read or left out, with the place of its first row, what repeats a pair or was moved.

        And who ranked the rows, where they say so.
        """
        lines = left_out_lines(self.skipped, self.first)
        if self.unread:
            more = f" and {len(self.unread) - _SHOWN:,} more" if len(self.unread) > _SHOWN else ""
            lines.append(f"{file}: columns not read: {', '.join(map(repr, self.unread[:_SHOWN]))}{more}")
        if self.annotators:
            [(name, rows), *_] = self.annotators.most_common(1)
            lines.append(
                f"{file}: {rows:,} of {self.rows:,} rows say that {name!r} ranked them, and count as people's; "
                "`cai import --source ai` keeps a model's apart"
            )
        if self.duplicates:
            repeat = "row repeats" if self.duplicates == 1 else "rows repeat"
            turned = f", {self.contradicting:,} of them the other way round, so that its label is the mean"
            lines.append(f"{file}: {self.duplicates:,} {repeat} a pair{turned if self.contradicting else ''}")
        if self.moved:
            are = "pair is" if self.moved == 1 else "pairs are"
            lines.append(f"{file}: {self.moved:,} {are} held out, for another with the same opening turn is")
        return lines

    def to_json(self) -> Json:
        kinds = [{"kind": kind, "from": ground, "rows": rows} for (kind, ground), rows in self.kinds.items()]
        return {
            "rows": self.rows, "pairs": self.pairs, "kept": self.kept, "ties": self.ties,
            "duplicates": self.duplicates, "contradicting": self.contradicting, "moved_to_test": self.moved,
            "skipped": dict(self.skipped), "first": self.first, "kinds": kinds, "columns_not_read": self.unread,
            "annotators": dict(self.annotators),
        }  # fmt: skip


class HumanPreferences(NamedTuple):
    """The pairs of a file, in its order, each once, and how it was read."""

    preferences: list[Preference]
    notes: PairNotes


@dataclass(slots=True)
class _Pair:
    """A pair as it stands while the file is read, and the label of each row that ranked it."""

    preference: Preference
    split: Split | None
    labels: list[float]
    weights: list[float]


def read_human_preferences(file: str, *, test_share: float = 0.2) -> HumanPreferences:
    """Read ranked pairs: ``PATH`` or ``PATH?key=value&…``, as for prompts (kind, split, source, tags, format).

    Rows are HH transcripts under `chosen` and `rejected`; TRL preference rows with the prompt explicit or implicit,
    plain or conversational, also UltraFeedback's binarized ones; AlpacaEval annotations (`output_1`, `output_2`,
    `preference`); UltraFeedback's own rows (`completions` with `overall_score`), of which every pair is read; or our
    own records, as `cai import` writes them, whose answers stay on their sides. A
    `p_chosen` column is kept as a soft label, a tie is 0.5, and rows without a verdict are left out and counted, like
    those whose answers are equal or empty, or whose two dialogues differ before the last answer. Which answer is
    response_a is drawn by hash, so p_a is near 0 as often as near 1. The side of the split is drawn by the opening user
    turn. Raises `InputError` for a row that is no pair, `SeveralErrors` for several (`Mistakes`).
    """
    check_share(test_share)
    spec = parse_spec(file)
    if spec.column or spec.drop_answer or spec.first_turn:
        raise InputError(
            "column=, answers= and turns= are for prompt files; pairs are read from chosen and rejected", file
        )
    check_source(spec)
    pairs: dict[object, _Pair] = {}
    notes, watch, mistakes = PairNotes(), Watch(), Mistakes(spec.path)
    for row in mistakes.rows(spec):
        notes.rows += 1
        try:
            for new in _read_pairs(row, watch, spec, notes):
                _keep(new, pairs, notes)
        except InputError as error:
            mistakes.add(error)
    mistakes.check()
    if not pairs:
        why = "; ".join(
            f"{count:,} because {reason} (first: {notes.first[reason]})" for reason, count in notes.skipped.items()
        )
        raise InputError("holds no pairs" + (f": every row was left out, {why}" if notes.rows else ""), spec.path)
    notes.kept, notes.unread = len(pairs), list(watch.unread)
    settled = _settled(list(pairs.values()), test_share, notes)
    notes.ties = sum(one.p_a == 0.5 for one in settled)
    return HumanPreferences(settled, notes)


def _keep(new: _Pair, pairs: dict[object, _Pair], notes: PairNotes) -> None:
    """Add a pair, or the label of one that is there to it, in whichever order the two have the answers."""
    one = new.preference
    known = pairs.setdefault(same_pair(one), new)
    if known is not new:
        [label] = new.labels
        label = label if known.preference.response_a == one.response_a else 1.0 - label
        notes.duplicates += 1
        notes.contradicting += any((other - 0.5) * (label - 0.5) < 0 for other in known.labels)
        known.labels.append(label)
        known.weights += new.weights


def _watched(row: Row, watch: Watch, notes: PairNotes) -> Row:
    """The row with its columns watched, if it has any, and its annotator counted."""
    if not isinstance(row.value, dict):
        return row
    if name := _annotator(row):
        notes.annotators[name] += 1
    return watch.row(row)


def _annotator(row: Row) -> str:
    """Who a row that counts as people's says ranked it; empty where it does not say. The column stays unread."""
    name = dict.get(row.value, "annotator")
    return name if isinstance(name, str) and dict.get(row.value, "source") != "ai" else ""


def _settled(pairs: Sequence[_Pair], test_share: float, notes: PairNotes) -> list[Preference]:
    """Each pair with the mean of its labels, on the side where its opening turn is."""
    sides = [pair.split or split_of(pair.preference.prompt.messages, test_share) for pair in pairs]
    openings = [opening_turn(pair.preference.prompt.messages) for pair in pairs]
    held_out = {opening for opening, side in zip(openings, sides, strict=True) if side == "test"}
    settled = []
    for pair, opening, side in zip(pairs, openings, sides, strict=True):
        final: Split = "test" if opening in held_out else "train"
        notes.moved += final != side
        prompt = replace(pair.preference.prompt, split=final)
        settled.append(replace(merge(pair.preference, pair.labels, pair.weights), prompt=prompt))
    return settled


def _read_pairs(row: Row, watch: Watch, spec: PromptFile, notes: PairNotes) -> Iterator[_Pair]:
    """The pairs of one row that are of use; the others are counted."""
    read = _watched(flat(row), watch, notes)
    coming = ranked_pairs(read, spec)
    while True:
        try:
            found = None
            found = next(coming, None)
            if found is None:
                return
            notes.pairs += 1
            if isinstance(found, UnusableRow):
                raise found
            pair = _pair(read, spec, found, notes)
        except UnusableRow as reason:
            notes.pairs += found is None
            notes.skip(reason, row)
            continue
        if name := _annotator(read):
            notes.named.setdefault(same_pair(pair.preference), set()).add(name)
        yield pair


def _pair(row: Row, spec: PromptFile, found: Ranked, notes: PairNotes) -> _Pair:
    if not found.first.strip() or not found.second.strip():
        raise UnusableRow("an answer is empty")
    if found.first == found.second:
        raise UnusableRow("both answers are the same text")
    check_messages(row, (*found.messages, Message("assistant", found.first), Message("assistant", found.second)))
    kind, ground = find_kind(row, spec, default="helpful")
    notes.kinds[kind, ground] += 1
    own = row.value.get("prompt_source")
    name = spec.source or (own if isinstance(own, str) and own else spec.name)
    prompt = Prompt.make(found.messages, kind, name, tags=tuple(dict.fromkeys((*spec.tags, *_own_tags(row)))))
    preference = _placed(row, prompt, found)
    return _Pair(preference, given_split(row, spec), [preference.p_a], [preference.weight])


def _own_tags(row: Row) -> list[str]:
    """The tags of a record of this package: a list, or a text with one a line, as `native` is exported."""
    tags = row.value.get("tags") if is_own(row.value) else None
    tags = tags.split("\n") if isinstance(tags, str) else tags
    return [one for one in tags if isinstance(one, str) and one] if isinstance(tags, list) else []


def _placed(row: Row, prompt: Prompt, found: Ranked) -> Preference:
    """The pair with its sides ordered by a hash of their texts, which knows nothing of the label."""
    source: Literal["ai", "human"] = "ai" if row.value.get("source") == "ai" else "human"
    weight = number(row, row.value, "weight", 1.0, math.inf)
    straight = Preference(prompt, found.first, found.second, found.p_first, weight, source)
    if is_own(row.value):
        return straight
    first = min((found.first, found.second), key=lambda text: content_id("side", prompt.id, text))
    return straight if first == found.first else straight.swap()
