"""Log-probabilities of the choices of many questions, sharing what the questions have in common.

Requests of a window are sorted on their token ids, so that questions about the same pair of answers stand together.
What the whole window begins with (instructions, worked examples) is read once. Then groups of questions are read, as
many as fit, in one row in which the stem of each group stands once (`tree`). A model that cannot be told of such rows
reads stems as a batch, and the groups' different endings over the expanded cache of their stem. Where an attention
window is narrower than a question, that question is read whole.
How requests are grouped changes a log-probability by some 1e-6, rarely 3e-5 (float32): they are rounded (`rounding`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from random import Random

import torch

from cai.chat import Encoded
from cai.models.hf_model import Filled, LoadedModel, copied
from cai.models.questions import MIN_SHARED, Group, Question, grouped, questions_of, shared_length
from cai.models.rounding import rounded
from cai.models.tree import batches_of, fits
from cai.models.windows import batches, windows
from cai.records import ChoiceRequest, ChoiceScores, Failure

_log = logging.getLogger(__name__)
WINDOW = 1024
_AT_ONCE = 2**20  # logits
TOLERANCE = 1e-4
"""Largest |difference| of a log-probability in float32, read from a row of groups and from a padded batch, in nats."""


def score(
    model: LoadedModel,
    requests: Iterable[ChoiceRequest],
    encode: Callable[[Sequence[ChoiceRequest]], Iterable[Encoded | Failure]],
    batch_tokens: int,
) -> Iterator[tuple[int, ChoiceScores | Failure]]:
    """Answer `requests` a window at a time; each answer is yielded when its group is read."""
    for window in windows(requests, WINDOW):
        questions: list[Question] = []
        open_choices: dict[int, _Open] = {}
        for (index, request), encoded in zip(window, encode([one for _, one in window]), strict=True):
            if isinstance(encoded, Failure):
                yield index, encoded
                continue
            asked = questions_of(index, *encoded)
            questions += asked
            open_choices[index] = _Open(len(asked), [0.0] * len(request.choices))
        for question, logprobs in _answers(model, sorted(questions, key=lambda one: one.ids), batch_tokens):
            waiting = open_choices[question.index]
            for (_, _, choice), logprob in zip(question.picks, logprobs, strict=True):
                waiting.logprobs[choice] += logprob
            waiting.left -= 1
            if not waiting.left:
                yield question.index, ChoiceScores(rounded(waiting.logprobs), question.prompt_tokens)


@dataclass(slots=True)
class _Open:
    left: int
    logprobs: list[float]


@torch.inference_mode()
def _answers(
    model: LoadedModel, questions: list[Question], batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    if not questions:
        return
    sharing = [one for one in questions if model.shares(len(one.ids))]
    yield from _whole(model, [one for one in questions if not model.shares(len(one.ids))], batch_tokens)
    if sharing:
        yield from _sharing(model, sharing, batch_tokens)


def _whole(
    model: LoadedModel, questions: Sequence[Question], batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    by_length = sorted(questions, key=lambda one: len(one.ids))
    for batch in batches(by_length, lambda one: len(one.ids), batch_tokens):
        keep = max(one.keep for one in batch)
        yield from _looked_up(model.fill([one.ids for one in batch], keep=keep, whole=True), batch)


def _sharing(
    model: LoadedModel, questions: Sequence[Question], batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    common = shared_length(questions[0].ids, questions[-1].ids)
    common = min([common, *(len(one.ids) - one.keep for one in questions)])
    common = common if common >= MIN_SHARED and len(questions) > 1 else 0
    beginning = model.fill([questions[0].ids[:common]]) if common else None
    groups = grouped(questions, common)
    if model.in_rows is None:
        model.in_rows = model.grows and _reads_rows(model)
    rows, rest = [], groups
    if model.in_rows:
        fitting = [fits(_stemmed(group), common) for group in groups]
        rows = [_stemmed(group) for group, fit in zip(groups, fitting, strict=True) if fit]
        rest = [group for group, fit in zip(groups, fitting, strict=True) if not fit]
    for some in batches_of(rows, common, batch_tokens):
        yield from _from_row(model, some, beginning)
    yield from _from_batches(model, rest, beginning, common, batch_tokens)


def _stemmed(group: Group) -> Group:
    """The same; of a lone question, all that is not read is stem."""
    if len(group.questions) > 1:
        return group
    [question] = group.questions
    return replace(group, stem=len(question.ids) - question.keep)


def _from_row(
    model: LoadedModel, groups: Sequence[Group], beginning: Filled | None
) -> Iterator[tuple[Question, list[float]]]:
    tree, logits = model.read(groups, beginning)
    questions = [one for group in groups for one in group.questions]
    places = [place for found in tree.found for place in found]
    tokens = [token for one in questions for _, token, _ in one.picks]
    values = iter(_logprobs(logits, places, tokens).tolist())
    for one in questions:
        yield one, [next(values) for _ in one.picks]


def _reads_rows(model: LoadedModel) -> bool | None:
    """Whether a row gives what a padded batch gives, by trying with tokens of no meaning; None without memory for it.

    The row has all that rows can have: a cached beginning, a stem that is taken over in part, endings that share
    tokens, one of several that are read. A model may fail at it in any manner.
    """
    draw = Random(0)
    most = model.model.get_input_embeddings().num_embeddings
    ids = [draw.randrange(most) for _ in range(90)]
    begun, dialogue, orders = ids[:20], ids[20:44], (ids[44:62], ids[62:71])
    endings = (ids[71:75], [*ids[71:73], *ids[75:80]], ids[80:81], [ids[81], *ids[82:86]])
    asked: list[Question] = []
    for order in orders:
        for number, ending in enumerate(endings):
            prompt, last = (*begun, *dialogue, *order, *ending), number == len(endings) - 1
            picks = ((0, ids[-1], 0), (1, prompt[-1], 0)) if last else ((0, ids[-1], 0), (0, ids[-2], 1))
            asked.append(Question(len(asked), prompt, picks, len(prompt)))
    stem = len(begun) + len(dialogue)
    groups = [
        Group(asked[at : at + len(endings)], stem + len(order))
        for at, order in zip((0, len(endings)), orders, strict=True)
    ]
    try:
        beginning = model.fill([begun])
        filled = model.fill([one.ids[len(begun) :] for one in asked], _copy(beginning), 2)
        right = _numbered(_looked_up(filled, asked))
        found = dict(_numbered(_from_row(model, groups, beginning)))
    except torch.OutOfMemoryError:
        return None
    except Exception as error:
        _log.info("questions are read in batches, not in rows: %s: %s", type(error).__name__, error)
        return False
    dtype = model.model.dtype
    coarse = 8 * torch.finfo(dtype).eps * float(filled.logits.abs().max())
    allowed = TOLERANCE if dtype == torch.float32 else max(TOLERANCE, coarse)
    return all(abs(a - b) <= allowed for key, values in right for a, b in zip(values, found[key], strict=True))


def _numbered(answers: Iterable[tuple[Question, list[float]]]) -> list[tuple[int, list[float]]]:
    return [(id(question), logprobs) for question, logprobs in answers]


def _from_batches(
    model: LoadedModel, groups: Sequence[Group], beginning: Filled | None, common: int, batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    parts = [part for group in groups for part in group.parts(batch_tokens)]
    parts.sort(key=lambda group: (group.stem == common, group.stem))
    for shared, some in groupby(parts, key=lambda group: group.stem > common):
        read = _with_stems if shared else _without_stems
        yield from read(model, list(some), beginning, common, batch_tokens)


def _with_stems(
    model: LoadedModel, groups: list[Group], beginning: Filled | None, common: int, batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    for some in _in_reach(model, batches(groups, lambda group: group.width, batch_tokens)):
        stems = model.fill([group.questions[0].ids[common : group.stem] for group in some], _copy(beginning))
        members = [(at, group.stem, one) for at, group in enumerate(some) for one in group.questions]
        stems.rows(torch.tensor([at for at, _, _ in members], device=model.device))
        filled = model.fill([one.ids[stem:] for _, stem, one in members], stems, max(one.keep for *_, one in members))
        yield from _looked_up(filled, [one for *_, one in members])


def _in_reach(model: LoadedModel, cut: Iterable[list[Group]]) -> Iterator[list[Group]]:
    """The batches; groups one by one where padding, between stems and endings, would take a batch beyond a window."""
    for some in cut:
        endings = max(len(one.ids) - group.stem for group in some for one in group.questions)
        if model.shares(max(group.stem for group in some) + endings):
            yield some
        else:
            yield from ([group] for group in some)


def _without_stems(
    model: LoadedModel, groups: list[Group], beginning: Filled | None, common: int, batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    questions = sorted((one for group in groups for one in group.questions), key=lambda one: len(one.ids))
    for batch in batches(questions, lambda one: len(one.ids), batch_tokens):
        keep = max(one.keep for one in batch)
        yield from _looked_up(model.fill([one.ids[common:] for one in batch], _copy(beginning), keep), batch)


def _copy(filled: Filled | None) -> Filled | None:
    """The same row with a cache of its own."""
    return filled and Filled(copied(filled), filled.mask, filled.lengths, filled.logits)


def _looked_up(filled: Filled, questions: Sequence[Question]) -> Iterator[tuple[Question, list[float]]]:
    width = filled.logits.shape[1]
    picks = [((at + 1) * width - 1 - back, token) for at, one in enumerate(questions) for back, token, _ in one.picks]
    places, tokens = [place for place, _ in picks], [token for _, token in picks]
    values = iter(_logprobs(filled.logits.flatten(0, 1), places, tokens).tolist())
    for one in questions:
        yield one, [next(values) for _ in one.picks]


def _logprobs(logits: torch.Tensor, places: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of `tokens` at `places` of logits (reads, vocabulary), float32.

    Few reads at a time: a whole vocabulary's worth of many would leave the processor's cache at every step.
    """
    few = max(1, _AT_ONCE // logits.shape[1])
    totals = torch.cat([some.float().logsumexp(dim=-1) for some in torch.split(logits, few)])
    return logits[places, tokens].float() - totals[places]
