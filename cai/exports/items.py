"""Records of a run to the items that formats write: demonstrations, pairs, answers, comparisons and prompts.

Whatever is the same for every format of a source is worked out here once a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cai.exports import ExportOptions, LeftOut, Row, Source
from cai.exports.columns import Turn, answer_turn, turns
from cai.exports.soft_labels import draws, margin
from cai.records import Draft, Preference, Prompt, Vote

COLUMNS: Mapping[Source, Mapping[str, str]] = {
    "demonstrations": {
        "id": "text", "kind": "text", "source": "text", "split": "text", "round": "int", "principle_id": "text",
    },
    "pairs": {
        "p_chosen": "float", "weight": "float", "id": "text", "kind": "text", "source": "text",
        "prompt_source": "text", "split": "text",
    },
    "answers": {
        "p_desirable": "float", "label_from": "text", "weight": "float", "id": "text", "kind": "text", "source": "text",
        "prompt_source": "text", "split": "text",
    },
    "comparisons": {
        "p_a": "float", "weight": "float", "id": "text", "kind": "text", "source": "text", "prompt_source": "text",
        "split": "text",
    },
    "prompts": {"id": "text", "kind": "text", "source": "text", "split": "text"},
}  # fmt: skip
"""The columns after the consumer's own, by source. `p_chosen` is the probability that `chosen` is the better answer.

`source` says who ranked the answers where there is a ranking, and `prompt_source` then where the prompt is from.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as its turns in JSON; nobody changes them, so all formats share them."""

    prompt: Prompt
    turns: list[Turn]
    columns: Row


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer to learn. In `columns`, `round` is 0 for a first answer, whose `principle_id` is empty."""

    prompt: Prompt
    turns: list[Turn]
    answer: str
    columns: Row


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse answer, after the soft label was made a hard one."""

    prompt: Prompt
    turns: list[Turn]
    chosen: str
    rejected: str
    columns: Row

    @property
    def margin(self) -> float:
        return margin(self.columns["p_chosen"])


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, wanted or not; in `columns`, `p_desirable` is the probability that it is, from `label_from`."""

    prompt: Prompt
    turns: list[Turn]
    text: str
    label: bool
    columns: Row


@dataclass(frozen=True, slots=True)
class Comparison:
    """A soft label with every vote behind it; `p_by_principle` is p_a under each, None where it abstained."""

    preference: Preference
    turns: list[Turn]
    votes: tuple[Vote, ...]
    p_by_principle: Mapping[str, float | None]
    options: ExportOptions
    columns: Row

    @property
    def prompt(self) -> Prompt:
        return self.preference.prompt


@dataclass(frozen=True, slots=True)
class Judged:
    """A record: a preference and the votes that it came from, none for a human one."""

    preference: Preference
    votes: tuple[Vote, ...] = ()
    p_by_principle: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """A record: an answer and P(yes) to the rubrics, None where the judge abstained; `id` as `Graded` has it."""

    id: str
    prompt: Prompt
    text: str
    p_yes: float | None


Item = Asked | Demonstration | Pair | Answer | Comparison


def prompt_of(record: Any) -> Prompt:
    """The prompt of a record of any source."""
    if isinstance(record, Judged):
        return record.preference.prompt
    return record if isinstance(record, Prompt) else record.prompt


def id_of(record: Any) -> str:
    """The id of a record of any source."""
    return record.preference.id if isinstance(record, Judged) else str(record.id)


def items_of(source: Source, record: Any, options: ExportOptions) -> Iterator[Item | LeftOut]:
    """The items that one record gives a format of `source`: of a `Prompt`, a `Draft`, a `Preference`, a `Judged`, or,
    for answers, also a `GradedAnswer`. A `LeftOut` stays one."""
    if isinstance(record, LeftOut):
        return iter((record,))
    if isinstance(record, Judged) and source != "comparisons":
        record = record.preference
    if source == "answers" and isinstance(record, GradedAnswer):
        return _graded(record, options)
    return _MAKE[source](record, options)


def _asked(prompt: Prompt, options: ExportOptions) -> Iterator[Item | LeftOut]:
    yield Asked(prompt, turns(prompt.messages), _of_prompt(prompt))


def _of_prompt(prompt: Prompt) -> Row:
    return {"id": prompt.id, "kind": prompt.kind, "source": prompt.source, "split": prompt.split}


def _demonstrations(draft: Draft, options: ExportOptions) -> Iterator[Item | LeftOut]:
    """Revisions of all rounds or of the last; a harmless prompt that was not revised gives its own first answer.

    With `rounds` "first", the unrevised answers to the same prompts.
    """
    prompt, before, columns = draft.prompt, turns(draft.prompt.messages), _of_prompt(draft.prompt)
    texts = [(n, one.principle_id, one.revision) for n, one in enumerate(draft.rounds, 1) if one.revision is not None]
    first = Demonstration(prompt, before, draft.response, {**columns, "round": 0, "principle_id": ""})
    if not texts and prompt.kind != "red_team":
        yield first if options.helpful else LeftOut("helpful")
        return
    if not texts:
        yield LeftOut("no_revision")
        return
    if options.rounds == "first":
        yield first
        return
    seen: set[str] = set()
    for number, principle_id, text in texts if options.rounds == "all" else texts[-1:]:
        if text in seen:
            yield LeftOut("repeated_revision")
            continue
        seen.add(text)
        yield Demonstration(prompt, before, text, {**columns, "round": number, "principle_id": principle_id})


def _pairs(one: Preference, options: ExportOptions) -> Iterator[Pair | LeftOut]:
    if one.response_a == one.response_b:
        yield LeftOut("identical_answers")
        return
    identity, before = one.id, turns(one.prompt.messages)
    wins = draws(one.p_a, identity, options)
    if isinstance(wins, LeftOut):
        yield wins
        return
    for a_wins in wins:
        p, chosen, rejected = one.p_a, one.response_a, one.response_b
        if not a_wins:
            p, chosen, rejected = 1.0 - p, rejected, chosen
        columns = {
            "p_chosen": float(p), "weight": float(one.weight), "id": identity, "kind": one.prompt.kind,
            "source": one.source, "prompt_source": one.prompt.source, "split": one.prompt.split,
        }  # fmt: skip
        yield Pair(one.prompt, before, chosen, rejected, columns)


def _answers(one: Preference, options: ExportOptions) -> Iterator[Item | LeftOut]:
    """Where no rubric was asked: the chosen answer is wanted and the rejected one is not."""
    for pair in _pairs(one, options):
        if isinstance(pair, LeftOut):
            yield pair
            continue
        p, rest = pair.columns["p_chosen"], {key: value for key, value in pair.columns.items() if key != "p_chosen"}
        for text, label, desirable in ((pair.chosen, True, p), (pair.rejected, False, 1.0 - p)):
            yield Answer(pair.prompt, pair.turns, text, label, {"p_desirable": desirable, "label_from": "pair", **rest})


def _graded(one: GradedAnswer, options: ExportOptions) -> Iterator[Item | LeftOut]:
    """Labels from absolute rubrics. An even grade says nothing, as a tie does."""
    labels = LeftOut("abstained") if one.p_yes is None else draws(one.p_yes, one.id, options)
    if isinstance(labels, LeftOut):
        yield labels
        return
    columns = {
        "p_desirable": one.p_yes, "label_from": "rubric", "weight": 1.0, "id": one.id, "kind": one.prompt.kind,
        "source": "ai", "prompt_source": one.prompt.source, "split": one.prompt.split,
    }  # fmt: skip
    before = turns(one.prompt.messages)
    for label in labels:
        yield Answer(one.prompt, before, one.text, label, columns)


def _comparisons(record: Preference | Judged, options: ExportOptions) -> Iterator[Item | LeftOut]:
    """Ties and equal answers too: nothing is left out of the full rows."""
    judged = record if isinstance(record, Judged) else Judged(record)
    one = judged.preference
    columns = {
        "p_a": float(one.p_a), "weight": float(one.weight), "id": one.id, "kind": one.prompt.kind,
        "source": one.source, "prompt_source": one.prompt.source, "split": one.prompt.split,
    }  # fmt: skip
    yield Comparison(one, turns(one.prompt.messages), judged.votes, judged.p_by_principle, options, columns)


_MAKE: dict[Source, Callable[[Any, ExportOptions], Iterator[Item | LeftOut]]] = {
    "prompts": _asked, "demonstrations": _demonstrations, "pairs": _pairs, "answers": _answers,
    "comparisons": _comparisons,
}  # fmt: skip


def whole(one: Demonstration | Answer) -> list[Turn]:
    """The dialogue with the answer at its end."""
    return [*one.turns, answer_turn(one.answer if isinstance(one, Demonstration) else one.text)]
