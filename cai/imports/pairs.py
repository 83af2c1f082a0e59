"""Rows of every preference format to ranked pairs of answers, read to the letter."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from cai.errors import InputError
from cai.human_preferences.shapes import NO_P_CHOSEN, Ranked, ranked_pairs
from cai.imports.cells import (
    OR_TEXT,
    Cells,
    Columns,
    answer,
    cell,
    number,
    optional_text,
    prompt_turns,
    text,
    truth,
    turns,
    with_system,
)
from cai.prompts.files import Row
from cai.prompts.shapes import UnusableRow, read_cell
from cai.prompts.spec import PromptFile
from cai.prompts.transcripts import is_transcript, parse_transcript
from cai.prompts.watched import WatchedCells
from cai.records import Message, Messages, Prompt, Role, content_id, user

_MARK = re.compile(r"\n\n(Human|Assistant): ")
_ROLE: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
Pairs = Iterator[Ranked | UnusableRow]


class Judged(NamedTuple):
    """One answer to a prompt, and whether it was called good."""

    messages: Messages
    answer: str
    good: bool


def explicit(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """Chosen and rejected beside their prompt."""
    messages = prompt_turns(row, cells, columns)
    first, second = (answer(row, cells, one, messages, columns.tags) for one in (columns.chosen, columns.rejected))
    yield Ranked(messages, first, second, p_chosen(cells))


def mixed(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """As `explicit`, with the prompt a text; as `implicit` where both answers are dialogues that hold that turn.

    A prompt that is a transcript is read as `texts` reads it.
    """
    if is_transcript(text(cells, columns.prompt or "")):
        yield from texts(row, cells, columns)
        return
    asked, both = user(text(cells, columns.prompt or "")), (columns.chosen, columns.rejected)
    said = [(name, cell(cells, name)) for name in both]
    whole = all(isinstance(one, list) and asked in turns(row, one, name)[:-1] for name, one in said)
    yield from (implicit if whole else explicit)(row, cells, columns)


def implicit(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """Two whole dialogues that differ in their last answer."""
    both = (columns.chosen, columns.rejected)
    better, worse = (turns(row, cell(cells, one), one, columns.tags, OR_TEXT) for one in both)
    if not better or not worse or better[-1].role != "assistant" or worse[-1].role != "assistant":
        raise UnusableRow("a dialogue does not end with the assistant's answer")
    if better[:-1] != worse[:-1]:
        raise UnusableRow("the two dialogues differ before the last answer")
    messages = with_system(better[:-1], cells, columns)
    yield Ranked(messages, better[-1].content, worse[-1].content, p_chosen(cells))


def ranked(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """NeMo-RL: a context and two completions, of which the lower rank is better."""
    messages = turns(row, cell(cells, "context"), "context")
    both = cell(cells, "completions")
    if not isinstance(both, list) or len(both) != 2 or not all(isinstance(one, dict) for one in both):
        raise UnusableRow("'completions' is not a list of two objects with rank and completion")
    ranks = [rank for one in both if (rank := number(one.get("rank"))) is not None and not math.isnan(rank)]
    if len(ranks) < 2:
        raise UnusableRow("'rank' is not a number")
    texts = [answer(row, one, "completion", messages) for one in both]
    order = (0, 1) if ranks[0] <= ranks[1] else (1, 0)
    p_first = 0.5 if ranks[0] == ranks[1] else p_chosen(cells)
    yield Ranked(messages, texts[order[0]], texts[order[1]], p_first)


def native(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """Our own rows: response_a, response_b and p_a; the prompt is a record, or its messages alone, or a text."""
    prompt = cell(cells, "prompt")
    if isinstance(prompt, str):
        messages = read_cell(row, prompt, "prompt").messages
    else:
        record = isinstance(prompt, dict) and "messages" in prompt
        messages = turns(row, prompt["messages"] if record else prompt, "prompt", or_text=OR_TEXT)
    yield Ranked(messages, text(cells, "response_a"), text(cells, "response_b"), share(cells, "p_a"))


def safe_rlhf(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """PKU-SafeRLHF: two responses and the number of the better one."""
    better = number(cell(cells, "better_response_id"))
    if better not in (0.0, 1.0):
        raise UnusableRow("'better_response_id' is neither 0 nor 1")
    both = (text(cells, "response_0"), text(cells, "response_1"))
    first, second = both if better == 0.0 else both[::-1]
    yield Ranked((user(text(cells, "prompt")),), first, second, 1.0)


def annotated(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """Annotated pairs: `p_a` of the row's metadata, else what the document's default annotator preferred."""
    sides = [cell(cells, name) for name in ("response_a", "response_b")]
    if not all(isinstance(one, dict) for one in sides):
        raise UnusableRow("'response_a' and 'response_b' are not objects with a text")
    first, second = (text(one, "text") for one in sides)
    yield Ranked(prompt_turns(row, cells, columns), first, second, _annotation(cells))


def _annotation(cells: Cells) -> float:
    said = cells.get("metadata")
    if isinstance(said, dict) and isinstance(said.get("p_a"), str):
        return share(said, "p_a")
    annotations = cell(cells, "annotations")
    verdict = annotations.get(cells.get("default_annotator")) if isinstance(annotations, dict) else None
    if not isinstance(verdict, dict):
        raise UnusableRow("no annotation by the default annotator")
    if verdict.get("pref") is None and verdict.get("no_pref_reason") == "tie":
        return 0.5
    if verdict.get("pref") not in ("a", "b", "text_a", "text_b"):
        raise UnusableRow(f"no verdict (no_pref_reason is {verdict.get('no_pref_reason')})")
    return float(verdict["pref"] in ("a", "text_a"))


def transcripts(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """HH: split to the letter where the row's `id` proves that reading; else as `tolerant`."""
    better, worse = _split(text(cells, columns.chosen)), _split(text(cells, columns.rejected))
    if better and worse and better[:-1] == worse[:-1] and better[-1].role == worse[-1].role == "assistant":
        found = Ranked(better[:-1], better[-1].content, worse[-1].content, p_chosen(cells))
        if proven(found, cells):
            yield found
            return
    yield from tolerant(row, cells, columns)


def _split(written: str) -> Messages:
    before, *pieces = _MARK.split(written)
    if before:
        return ()
    return tuple(Message(_ROLE[who], said) for who, said in zip(pieces[::2], pieces[1::2], strict=True))


def texts(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """A prompt and two answers as texts: to the letter where the row's `id` proves that reading; else as `tolerant`."""
    try:
        [found] = explicit(row, cells, columns)
    except (UnusableRow, InputError):
        found = None
    if isinstance(found, Ranked) and proven(found, cells):
        yield found
    else:
        yield from tolerant(row, cells, columns)


def tolerant(row: Row, cells: Cells, columns: Columns) -> Pairs:
    """Transcripts, annotations and scored completions, as `cai.human_preferences` reads them: stripped."""
    yield from ranked_pairs(row, PromptFile(row.path, "jsonl"))


def proven(found: Ranked, cells: Cells) -> bool:
    """Whether the row's `id` is the hash of these very texts, in either order."""
    return cells.get("id") in pair_ids(found)


def pair_ids(found: Ranked) -> tuple[str, str]:
    """The id of a preference with the first answer as response_a, and with the second."""
    prompt = Prompt.make(found.messages).id
    return content_id(prompt, found.first, found.second), content_id(prompt, found.second, found.first)


def judged(row: Row, cells: Cells, columns: Columns) -> Judged:
    """One answer and its label: beside its prompt, or as the last turn of a dialogue (`completion` None)."""
    good = truth(cell(cells, columns.label))
    if good is None:
        raise UnusableRow(f"'{columns.label}' is not true or false, 1 or 0")
    messages = prompt_turns(row, cells, columns)
    if columns.completion is not None:
        return Judged(messages, answer(row, cells, columns.completion, messages, columns.tags), good)
    if not messages or messages[-1].role != "assistant":
        raise UnusableRow("the dialogue does not end with the assistant's answer")
    return Judged(messages[:-1], messages[-1].content, good)


def dialogue(row: Row, cells: Cells, columns: Columns) -> Messages:
    """A prompt, without the answer that a training example ends with, which is counted as not read."""
    messages = prompt_turns(row, cells, columns)
    if messages and messages[-1].role == "assistant" and isinstance(row.value, WatchedCells):
        row.value.leave([f"the answer that ends {columns.prompt}"])
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return messages


def plain_dialogue(row: Row, cells: Cells, columns: Columns) -> Messages:
    """As `dialogue`; a text that is a Human:/Assistant: transcript is read as its turns."""
    value = cells.get(columns.prompt or "")
    if not isinstance(value, str) or not is_transcript(value):
        return dialogue(row, cells, columns)
    system = {"system": optional_text(cells, columns.system)}
    return dialogue(row, {"prompt": turns_of(value), **system}, Columns())


def turns_of(transcript: str) -> list[Cells]:
    """The turns of a transcript as messages in JSON."""
    return [one.to_json() for one in parse_transcript(transcript).messages]


def p_chosen(cells: Cells) -> float:
    """The soft label where the row has one; else 1, or 0.5 where both answers have one score."""
    if cells.get("p_chosen") not in (None, ""):
        return share(cells, "p_chosen")
    if cells.get("label_from") == "pair" and cells.get("p_desirable") not in (None, ""):
        return share(cells, "p_desirable")
    if "p_chosen" in cells:
        raise UnusableRow(NO_P_CHOSEN)
    scores = [cells.get("score_chosen"), cells.get("score_rejected")]
    better, worse = map(number, scores)
    if any(isinstance(one, int) and number(one) is None and not isinstance(one, bool) for one in scores):
        raise UnusableRow("a score is larger than any float")
    if better is None or worse is None or math.isnan(better) or math.isnan(worse) or better > worse:
        return 1.0
    if better < worse:
        raise UnusableRow("the rejected answer has the higher score")
    return 0.5


def share(cells: Cells, name: str) -> float:
    """A number from 0 to 1, also one written as text."""
    value = number(cell(cells, name))
    if value is None or not 0.0 <= value <= 1.0:
        raise UnusableRow(f"'{name}' is not a number from 0 to 1")
    return value
