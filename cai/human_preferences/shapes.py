"""What a row of ranked answers means, whatever shape it is written in: its prompt, and the pairs that it ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from itertools import combinations
from typing import Any, NamedTuple

from cai.prompts.files import Row
from cai.prompts.shapes import (
    UnusableRow,
    alpaca,
    find_column,
    kind_of,
    read_cell,
    read_dialogue,
    read_messages,
)
from cai.prompts.spec import PromptFile
from cai.prompts.transcripts import READS_SO, is_transcript
from cai.records import Message, Messages

_CHOSEN = ("chosen", "chosen_messages")
_REJECTED = ("rejected", "rejected_messages")
_PROMPT = ("prompt", "messages", "conversations", "conversation", "question", "instruction")
_ANSWERS = ("response_a", "response_b")
_OWN = {"prompt", *_ANSWERS, "p_a"}
SHAPES = (
    "expected chosen and rejected, or output_1, output_2 and preference, or completions with overall_score, "
    "or response_a, response_b and p_a"
)

NO_P_CHOSEN = "no verdict (p_chosen holds nothing)"
_LABELS = ("label", "kto_tag")
_ONE_ANSWER = ("completion", "response", "output", "answer", "messages", "conversations")
_TWO = "a pair has two answers to one prompt, chosen and rejected"
_JOINED = "`cai import FILE --out FOLDER` makes pairs of good and bad answers to one prompt"


class Ranked(NamedTuple):
    """Two answers to one prompt and the probability that the first is better; 0.5 is a tie."""

    messages: Messages
    first: str
    second: str
    p_first: float


def ranked_pairs(row: Row, spec: PromptFile) -> Iterator[Ranked | UnusableRow]:
    """The pairs of a row, and in place of one that says nothing, why.

    The shape is that of the cells that hold something: tables have the columns of all their rows in each.
    Raises `UnusableRow` for a row without any, `InputError` at its place for one that is of no shape known here.
    """
    cells = row.value
    if not isinstance(cells, dict):
        raise row.error(f"expected an object with the columns 'chosen' and 'rejected'; {SHAPES}")
    shape = _shape(_held(cells)) or _shape({*cells})
    if shape == "own":
        yield _own(row, cells)
    elif shape == "scored":
        yield from _scored(row, cells, spec)
    elif shape == "annotated":
        yield _annotated(row, cells, spec)
    else:
        yield _chosen(row, cells)


def _held(cells: dict[str, Any]) -> set[str]:
    """The columns that hold something in a row."""
    return {name for name, one in cells.items() if one not in (None, "")}


def _shape(names: set[str]) -> str:
    """What the columns of a row make of it; the empty string if nothing that is known here."""
    chosen = not names.isdisjoint((*_CHOSEN, *_REJECTED))
    if names >= _OWN:
        return "own"
    if "completions" in names and not chosen:
        return "scored"
    if names >= {"output_1", "output_2"}:
        return "annotated"
    if names >= {*_ANSWERS} and not chosen:
        return "own"
    return "chosen" if chosen else ""


def number(row: Row, cells: dict[str, Any], name: str, default: float, most: float) -> float:
    """A finite number from 0 to `most`, also one written as text, in a column that may be missing or hold nothing.

    Raises `InputError` for anything else.
    """
    value = cells.get(name)
    found = default if value in (None, "") else _numeric(value)
    if found is None or not 0.0 <= found <= most or math.isinf(found):
        wanted = "finite number from 0 up" if most == math.inf else f"number from 0 to {most:g}"
        raise row.error(f"{name} is {value!r}, expected a {wanted}")
    return found


def _float(value: int | float | str) -> float:
    """The value as a float; raises `UnusableRow` for an integer that is larger than any."""
    try:
        return float(value)
    except OverflowError:
        raise UnusableRow("a number is larger than any float") from None


# ------------------------------------------------------------------------------------ our own records (cai import)


def flat(row: Row) -> Row:
    """A record of this package with what its prompt says beside its answers; other rows as they are."""
    cells = row.value
    if not isinstance(cells, dict) or not cells.keys() >= _OWN or not isinstance(cells["prompt"], dict):
        return row
    prompt = cells["prompt"]
    said = {name: prompt[name] for name in ("kind", "split", "tags") if name in prompt}
    own = {**cells, **said, "prompt_source": prompt.get("source"), "prompt": prompt.get("messages")}
    return replace(row, value=own)


def is_own(cells: dict[str, Any]) -> bool:
    """Whether the cells are a record of this package, whose answers stay on their sides."""
    return _held(cells) >= _OWN


def _own(row: Row, cells: dict[str, Any]) -> Ranked:
    prompt, label = (find_column(row, cells, (name,)) for name in ("prompt", "p_a"))
    messages = read_cell(row, cells[prompt], prompt).messages
    for name in _ANSWERS:
        _text(row, cells[name], name)
    if cells[label] in (None, ""):
        raise row.error(f"{label} is {cells[label]!r}, expected a number from 0 to 1")
    return Ranked(messages, cells["response_a"], cells["response_b"], number(row, cells, label, 0.5, 1.0))


# ------------------------------------------------------------------------- two outputs and a preference (AlpacaEval)


def _annotated(row: Row, cells: dict[str, Any], spec: PromptFile) -> Ranked:
    """An annotation of AlpacaEval: 1 … 2 is how far the second output is preferred, 1.5 a draw.

    0 is a draw as well, in older files and for equal outputs; null is no verdict (alpaca_eval/metrics/helpers.py).
    """
    said = _numeric(cells.get("preference"))
    if said is None:
        raise UnusableRow("no verdict (preference is null)")
    if said != 0.0 and not 1.0 <= said <= 2.0:
        raise row.error(f"preference is {cells['preference']!r}, expected 0, null, or a number from 1 to 2")
    first, second = (_text(row, cells[name], name) for name in ("output_1", "output_2"))
    return Ranked(read_dialogue(row, spec).messages, first, second, 0.5 if said == 0.0 else 2.0 - said)


def _numeric(value: Any) -> float | None:
    """A number, also one written as text; None for nothing; NaN for what is no number and so fits no range."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "none", "null")):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        found = _float(value)
    except ValueError:
        return math.nan
    return None if math.isnan(found) else found


def _text(row: Row, cell: Any, column: str) -> str:
    if not isinstance(cell, str):
        raise row.error(f"'{column}' holds {kind_of(cell)}, expected a text")
    return cell.strip()


# ---------------------------------------------------------------------- several completions with scores (UltraFeedback)


def _scored(row: Row, cells: dict[str, Any], spec: PromptFile) -> Iterator[Ranked | UnusableRow]:
    """Every pair of a prompt's completions; equal scores are a tie."""
    completions = cells["completions"]
    if isinstance(completions, dict):
        completions = [dict(zip(completions, ones, strict=False)) for ones in zip(*completions.values(), strict=False)]
    if not isinstance(completions, list) or not all(isinstance(one, dict) for one in completions):
        raise row.error("'completions' must be a list of objects with response and overall_score")
    if len(completions) < 2:
        raise UnusableRow("fewer than two completions")
    messages = read_dialogue(row, spec).messages
    texts = [_text(row, one.get("response"), "response") for one in completions]
    scores = [_score(row, one) for one in completions]
    for i, j in combinations(range(len(texts)), 2):
        first, second = scores[i], scores[j]
        if first is None or second is None:
            yield UnusableRow("a completion has no overall_score")
        else:
            yield Ranked(messages, texts[i], texts[j], 0.5 if first == second else float(first > second))


def _score(row: Row, completion: dict[str, Any]) -> float | None:
    value = completion.get("overall_score")
    score = None if value == "N/A" else _numeric(value)
    if score is not None and math.isnan(score):
        raise row.error(f"overall_score is {value!r}, expected a number")
    return score


# ------------------------------------------------------------------------------ chosen and rejected (HH, TRL, ShareGPT)


def _chosen(row: Row, cells: dict[str, Any]) -> Ranked:
    columns = [next((name for name in names if name in cells), names[0]) for names in (_CHOSEN, _REJECTED)]
    if not any(name in cells for name in columns) and not {one.lower() for one in cells} & set(columns):
        found = ", ".join(repr(name[:40]) for name in list(cells)[:12])
        if said := _one_answer(cells):
            raise row.error(f"{said} (columns: {found})")
        near = next((hint for name in (*columns, "output_1", "completions") if (hint := _near(name, cells))), "")
        raise row.error(f"no ranked answers (columns: {found}){near}; {SHAPES}")
    chosen, rejected = (find_column(row, cells, (name,)) for name in columns)
    return Ranked(*_dialogues(row, cells, chosen, rejected), _p_chosen(row, cells))


def _one_answer(cells: dict[str, Any]) -> str:
    """What a row with one answer is, in words, and what a pair is; the empty string for a row of anything else."""
    there = {name.lower(): value for name, value in cells.items() if value is not None}
    if not any(_is_answer(there.get(name)) for name in _ONE_ANSWER):
        return ""
    if label := next((name for name in _LABELS if name in there), ""):
        return f"a single answer that its '{label}' rates (a KTO row), not a pair; {_TWO}; {_JOINED}"
    return f"a single answer that nothing rates, not a pair; {_TWO}" if _is_answer(there.get("completion")) else ""


def _is_answer(value: Any) -> bool:
    """Whether a cell is a text or the messages of one answer, and not a list of completions."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) and {"role", "from"} & one.keys() for one in value)
    return isinstance(value, str)


def _p_chosen(row: Row, cells: dict[str, Any]) -> float:
    """The soft label where there is one; else 1, or 0.5 where both answers have one score (UltraFeedback binarized).

    Raises `UnusableRow` where there is a column for one that holds nothing: a missing verdict is no verdict.
    """
    if "p_chosen" in cells:
        if cells["p_chosen"] in (None, ""):
            raise UnusableRow(NO_P_CHOSEN)
        return number(row, cells, "p_chosen", 1.0, 1.0)
    if misspelt := get_close_matches("p_chosen", cells, n=1, cutoff=0.9):
        raise row.error(f"unknown column '{misspelt[0]}'; did you mean 'p_chosen'?")
    better, worse = _numeric(cells.get("score_chosen")), _numeric(cells.get("score_rejected"))
    if better is None or worse is None or math.isnan(better) or math.isnan(worse) or better > worse:
        return 1.0
    if better < worse:
        raise UnusableRow("the rejected answer has the higher score")
    return 0.5


def _dialogues(row: Row, cells: dict[str, Any], chosen: str, rejected: str) -> tuple[Messages, str, str]:
    """The prompt's turns and the two answers."""
    whole = all(_is_dialogue(cells[one]) for one in (chosen, rejected))
    if any(dict.get(cells, name) not in ((None, "") if whole else (None,)) for name in _PROMPT):
        column = find_column(row, cells, _PROMPT)
        messages = read_cell(row, cells[column], column).messages
        if not messages:
            raise row.error(f"'{column}' has no turns")
        if column == "instruction":
            messages = alpaca(row, messages, cells.get("input"), cells.get("history"))
        messages = _with_system(cells, messages)
        if messages[-1].role != "user":
            raise row.error(f"the prompt must end with a user turn, this one ends with the role {messages[-1].role}")
        return (
            messages,
            _answer(row, cells[chosen], chosen, messages),
            _answer(row, cells[rejected], rejected, messages),
        )
    near = _near("prompt", [name for name in cells if name not in (chosen, rejected)])
    both = (_whole(row, cells[one], one, near) for one in (chosen, rejected))
    messages, better, worse = _apart(*both)
    return _with_system(cells, messages), better, worse


def _is_dialogue(cell: Any) -> bool:
    """Whether a cell is a transcript or messages with more than an answer, so that it can hold its prompt itself."""
    return is_transcript(cell) if isinstance(cell, str) else isinstance(cell, list) and len(cell) > 1


def _with_system(cells: dict[str, Any], messages: Messages) -> Messages:
    """The turns after what the `system` (or `system_prompt`) column says, unless they have a system turn."""
    system = cells.get("system") or cells.get("system_prompt")
    if isinstance(system, str) and system.strip() and messages[0].role != "system":
        return (Message("system", system), *messages)
    return messages


def _apart(better: Messages, worse: Messages) -> tuple[Messages, str, str]:
    """What two dialogues share, and their last answers."""
    if better[-1].role != "assistant" or worse[-1].role != "assistant":
        raise UnusableRow("an answer is empty")
    if better[:-1] != worse[:-1]:
        raise UnusableRow("the two dialogues differ before the last answer")
    if len(better) < 2 or better[-2].role != "user":
        raise UnusableRow("no user turn comes before the answer")
    return better[:-1], better[-1].content, worse[-1].content


def _answer(row: Row, cell: Any, column: str, prompt: Messages) -> str:
    """One answer beside an explicit prompt: a text, one assistant message, or the whole dialogue again."""
    if isinstance(cell, str):
        return cell.strip()
    messages = read_messages(row, cell, column)
    if len(messages) > 1 and messages[:-1] in (prompt, prompt[1:] if prompt[0].role == "system" else prompt):
        messages = messages[-1:]
    if len(messages) != 1 or messages[0].role != "assistant":
        raise row.error(f"'{column}' must be one assistant message after the prompt, found {len(messages)} messages")
    return messages[0].content


def _whole(row: Row, cell: Any, column: str, near: str) -> Messages:
    """A dialogue that ends with the answer: a transcript or a list of messages; `near` names a misspelt prompt."""
    messages = read_cell(row, cell, column).messages
    if isinstance(cell, str) and len(messages) == 1 and messages[0].content == cell:
        raise row.error(f"no prompt: no 'prompt' column, and '{column}' is not a Human:/Assistant: transcript{near}")
    if not messages:
        raise row.error(f"'{column}' has no turns")
    if isinstance(cell, str) and messages[-1].role == "user" and not cell.rstrip().endswith("Assistant:"):
        raise UnusableRow(f"a transcript ends with a Human turn, not with an answer {READS_SO}")
    return messages


def _near(name: str, cells: Iterable[str]) -> str:
    """``"; did you mean 'promt'?"`` for a column whose name is nearly the one that is wanted."""
    found = get_close_matches(name, list(cells), n=1, cutoff=0.7)
    return f"; did you mean '{found[0]}'?" if found else ""
