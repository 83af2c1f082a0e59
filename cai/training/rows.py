"""Dialogues and preferences as token ids that fit; what does not fit is counted, never dropped in silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cai.chat import Chat
from cai.errors import ConfigError, TrainingError
from cai.fitting import Row, TooLong, beginning, fitted, lost_tokens
from cai.prompts.splits import opening_hash
from cai.records import Json, Messages, Preference, assistant
from cai.training.plackett_luce import Listed, listed


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers of a group, by number; `p_first` is the probability that the first is better."""

    first: int
    second: int
    p_first: float
    weight: float


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt and its different answers: all begin with `stem`, `tails` are what is left of each, EOS included.

    `lists` are what a listwise loss needs, three or more answers each; None where it was not asked for.
    """

    stem: list[int]
    tails: tuple[list[int], ...]
    comparisons: tuple[Comparison, ...]
    lists: tuple[Listed, ...] | None = None

    @property
    def rows(self) -> list[list[int]]:
        """Every answer with its prompt, as a model would read it alone."""
        return [self.stem + tail for tail in self.tails]

    @property
    def width(self) -> int:
        """Tokens of the longest row."""
        return len(self.stem) + max(map(len, self.tails))

    @property
    def tokens(self) -> int:
        """Tokens with the stem counted once."""
        return len(self.stem) + sum(map(len, self.tails))


@dataclass(slots=True)
class Counts:
    """What became of the rows given; `truncated` are among those used, `longest` begins the first that is too long.

    `openings`: hashes of the turns that open the prompts used (`opening_hash`).
    """

    given: int = 0
    used: int = 0
    truncated: int = 0
    too_long: int = 0
    not_rendered: int = 0
    same_answer: int = 0
    zero_weight: int = 0
    reason: str = ""
    longest: str = ""
    openings: set[str] = field(default_factory=set)

    def told(self, max_length: int, too_long: TooLong) -> list[str]:
        """For people: what was left out as too long, and why it was not cut where others may be, and what was cut."""
        lines = []
        if self.too_long:
            what = (
                f"{self.too_long:,} row{'' if self.too_long == 1 else 's'} left out: too long for {max_length} tokens"
            )
            cut = ", for a cut would leave nothing of the last question" if too_long == "truncate_left" else ""
            lines.append(f"{what}{cut} ({'' if self.too_long == 1 else 'the first: '}the prompt {self.longest})")
        if self.truncated:
            of = "the one row" if self.used == 1 else f"{self.truncated:,} of the {self.used:,} rows"
            lines.append(f"{of} to train on lost the left of the prompt, to fit {max_length} tokens")
        return lines

    def to_json(self) -> Json:
        names = ("given", "used", "truncated", "too_long", "not_rendered", "same_answer", "zero_weight")
        return {f"rows_{name}": getattr(self, name) for name in names}

    def leave_long(self, prompt: Messages, rows: int) -> None:
        """Count rows of one prompt as too long."""
        self.too_long += rows
        if rows and not self.longest:
            self.longest = beginning(prompt)

    def check(self, max_length: int, max_rejected: float, max_truncated: float = 1.0) -> None:
        """Raise `TrainingError` if nothing is left, or if more than the allowed share was rejected or truncated."""
        if not self.given:
            raise TrainingError("nothing can be trained on: there are no rows, or all are held out (split test)")
        rejected = self.too_long + self.not_rendered + self.same_answer
        if self.zero_weight and self.zero_weight == self.given:
            raise TrainingError(f"nothing can be trained on: all {self.given} rows have weight 0")
        if self.used and rejected <= max_rejected * self.given:
            self._check_truncated(max_length, max_truncated)
            return
        longest = f" (first: the prompt {self.longest})" if self.longest else ""
        why = f"{self.too_long} too long for {max_length} tokens{longest}, {self.not_rendered} not rendered"
        why += f", {self.same_answer} with one answer twice" if self.same_answer else ""
        why += f"; weight 0: {self.zero_weight}" if self.zero_weight and not self.used else ""
        first = f" (first: {self.reason})" if self.reason else ""
        raise TrainingError(
            f"{rejected} of {self.given} rows cannot be trained on: {why}{first}; "
            f"{self.used} are left, and max_rejected is {max_rejected:g}"
        )

    def _check_truncated(self, max_length: int, most: float) -> None:
        if self.truncated > most * self.used:
            raise TrainingError(
                f"{self.truncated} of {self.used} rows to train on lose the left of their prompt, to fit {max_length} "
                f"tokens, and max_truncated is {most:g}: raise max_length, or max_truncated to train all the same"
            )


def encode_dialogues(
    chat: Chat, dialogues: Sequence[Messages], max_length: int, too_long: TooLong
) -> tuple[list[Row], Counts]:
    """Every dialogue as a `Row` of at most `max_length` tokens; its answer is never cut.

    Whatever `too_long` says, a row that would lose all of its last user turn is left out as too long.
    """
    rows, counts = [], Counts(given=len(dialogues))
    for messages in dialogues:
        row = _encoded(chat, messages, counts)
        if row is None:
            counts.not_rendered += 1
            continue
        lost = lost_tokens(chat, messages[:-1], [row], max_length, too_long)
        if lost is None:
            counts.leave_long(messages[:-1], 1)
        counts.truncated += bool(lost)
        rows += [] if lost is None else [row.without(lost)]
    counts.used = len(rows)
    return rows, counts


def encode_groups(
    chat: Chat, preferences: Sequence[Preference], max_length: int, too_long: TooLong, listwise: bool = False
) -> tuple[list[Group], Counts]:
    """The preferences of each prompt as one `Group`, in order of first appearance; each answer is there once.

    All rows of a group lose the same tokens of the prompt, so that only the answers differ; where that would take all
    of the last user turn, the longest answer goes, with its pairs. `Counts` counts pairs. `listwise` prepares the
    groups for that loss. Raises `TrainingError` for what is no label, and for a prompt that a listwise loss cannot
    take.
    """
    counts = Counts(given=len(preferences))
    asked: dict[Messages, list[Preference]] = {}
    for one in preferences:
        if not (0.0 <= one.p_a <= 1.0 and 0.0 <= one.weight < float("inf")):
            raise TrainingError(
                f"preference {one.id}: p_a {one.p_a} must lie in 0 … 1 and weight {one.weight} be finite, from 0 up"
            )
        if one.weight == 0.0:
            counts.zero_weight += 1
        else:
            asked.setdefault(one.prompt.messages, []).append(one)
    groups = []
    for messages, pairs in asked.items():
        rows, kept = _answers(chat, messages, pairs, counts)
        rows, kept = _fitted(chat, messages, rows, kept, max_length, too_long, counts)
        if kept:
            counts.openings.add(opening_hash(messages))
            group = _group(rows, kept)
            groups.append(_with_lists(group, messages) if listwise else group)
    counts.used = sum(len(group.comparisons) for group in groups)
    return groups, counts


def _answers(
    chat: Chat, messages: Messages, pairs: Sequence[Preference], counts: Counts
) -> tuple[dict[str, Row], list[Preference]]:
    """Every answer that can be rendered, and the pairs of two of them that differ."""
    texts = dict.fromkeys(text for one in pairs for text in (one.response_a, one.response_b))
    encoded = {text: _encoded(chat, (*messages, assistant(text)), counts) for text in texts}
    rows = {text: row for text, row in encoded.items() if row is not None}
    there = [one for one in pairs if one.response_a in rows and one.response_b in rows]
    kept = [one for one in there if rows[one.response_a].ids != rows[one.response_b].ids]
    counts.not_rendered += len(pairs) - len(there)
    counts.same_answer += len(there) - len(kept)
    return rows, kept


def _fitted(
    chat: Chat, messages: Messages, rows: dict[str, Row], pairs: list[Preference], max_length: int, too_long: TooLong,
    counts: Counts,
) -> tuple[dict[str, Row], list[Preference]]:  # fmt: skip
    """The rows of as many pairs as fit, all cut by the same tokens of the prompt."""
    sets = [(one.response_a, one.response_b) for one in pairs]
    left, lost = fitted(chat, messages, rows, sets, max_length, too_long)
    counts.leave_long(messages, len(pairs) - len(left))
    counts.truncated += len(left) * bool(lost)
    used = {text: rows[text].without(lost) for at in left for text in sets[at]}
    return used, [pairs[at] for at in left]


def _group(rows: dict[str, Row], pairs: Sequence[Preference]) -> Group:
    """Answers that differ as texts and not as tokens are one answer."""
    numbers: dict[tuple[int, ...], int] = {}
    for row in rows.values():
        numbers.setdefault(tuple(row.ids), len(numbers))
    number = {text: numbers[tuple(row.ids)] for text, row in rows.items()}
    stem = _common_start(list(numbers))
    comparisons = (Comparison(number[one.response_a], number[one.response_b], one.p_a, one.weight) for one in pairs)
    return Group(stem, tuple(list(ids[len(stem) :]) for ids in numbers), tuple(comparisons))


def _with_lists(group: Group, messages: Messages) -> Group:
    try:
        return replace(group, lists=listed(group.comparisons))
    except TrainingError as error:
        raise TrainingError(f"{error}; the prompt: {beginning(messages)}; reward.loss=pairs takes any number") from None


def in_mean_weights(groups: Sequence[Group]) -> Sequence[Group]:
    """`groups` with all weights divided by the mean weight of their comparisons, so that their mean is 1."""
    weights = [one.weight for group in groups for one in group.comparisons]
    most = max(weights)
    mean = most * (math.fsum(one / most for one in weights) / len(weights))
    if mean == 1.0:
        return groups
    return [
        replace(
            group,
            comparisons=tuple(replace(one, weight=one.weight / mean) for one in group.comparisons),
            lists=group.lists and tuple(replace(one, weight=one.weight / mean) for one in group.lists),
        )
        for group in groups
    ]


def _common_start(rows: Sequence[tuple[int, ...]]) -> list[int]:
    """The longest start that all rows share and that leaves each at least one token."""
    low, high = min(rows), max(rows)
    most = min(map(len, rows)) - 1
    shared = next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), most)
    return list(low[: min(shared, most)])


def _encoded(chat: Chat, messages: Messages, counts: Counts) -> Row | None:
    try:
        return Row(*chat.encode_supervised(messages))
    except ConfigError as error:
        counts.reason = counts.reason or str(error)
        return None
