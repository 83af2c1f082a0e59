"""Log-probabilities of the choices of many questions, sharing what the questions have in common.

Requests of a window are sorted on their token ids, so that questions about the same pair of answers stand together.
What the whole window begins with (instructions, worked examples) is read once; then the stem of each group is read
once, stems as a batch; then the groups' different endings are read as a batch over the expanded cache of their stem.
How requests are grouped changes a log-probability by up to 1e-6 (float32), so they are rounded to 5 decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch

from cai.models.hf_model import MIN_SHARED, Filled, LoadedModel, shared_length
from cai.models.rounding import rounded
from cai.models.windows import batches, windows
from cai.records import ChoiceRequest, ChoiceScores, Failure

WINDOW = 1024
_MAX_GROUP = 128


@dataclass(frozen=True, slots=True)
class Question:
    """Token ids to read, and what to look up: (position from the end, 0 = last; token; choice), added up by choice."""

    index: int
    ids: tuple[int, ...]
    picks: tuple[tuple[int, int, int], ...]
    prompt_tokens: int

    @property
    def keep(self) -> int:
        return 1 + max(pick[0] for pick in self.picks)


@dataclass(slots=True)
class _Group:
    """Questions of one stem; `stem` counts tokens, those that the whole window shares included."""

    questions: list[Question]
    stem: int

    @property
    def width(self) -> int:
        """Tokens in the cache when all questions are read as one batch."""
        return max(len(one.ids) for one in self.questions) * len(self.questions)

    def parts(self, tokens: int) -> Iterator[_Group]:
        """The group, cut so that each part fits `tokens` if it can."""
        for some in batches(self.questions, lambda one: len(one.ids), tokens):
            yield _Group(some, self.stem)


def questions_of(index: int, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> list[Question]:
    """One question for all options that are one token after `prompt`; one for each if any is written otherwise.

    `options` are the ids of prompt and choice written as one text. A choice whose text merges with the end of the
    prompt is scored from the first token that differs, all options from the same place.
    """
    if _one_token_each(prompt, options):
        picks = tuple((0, option[-1], choice) for choice, option in enumerate(options))
        return [Question(index, tuple(prompt), picks, len(prompt))]
    start = min(shared_length(prompt, option) for option in options)
    start = max(1, min(start, *(len(option) - 1 for option in options)))
    found = []
    for choice, option in enumerate(options):
        picks = tuple((len(option) - 1 - at, option[at], choice) for at in range(start, len(option)))
        found.append(Question(index, tuple(option[:-1]), picks, len(prompt)))
    return found


def _one_token_each(prompt: Sequence[int], options: Sequence[Sequence[int]]) -> bool:
    return all(len(option) == len(prompt) + 1 and list(option[:-1]) == list(prompt) for option in options)


def separate_tokens(prompt: Sequence[int], options: Sequence[Sequence[int]]) -> bool:
    """Whether every option is `prompt` and one more token, another for each: an unknown character is one for all."""
    return _one_token_each(prompt, options) and len({option[-1] for option in options}) == len(options)


def score(
    model: LoadedModel,
    requests: Iterable[ChoiceRequest],
    encode: Callable[[int, ChoiceRequest], list[Question] | Failure],
    batch_tokens: int,
) -> Iterator[tuple[int, ChoiceScores | Failure]]:
    """Answer `requests` a window at a time; each answer is yielded when its group is read."""
    for window in windows(requests, WINDOW):
        questions: list[Question] = []
        open_choices: dict[int, _Open] = {}
        for index, request in window:
            asked = encode(index, request)
            if isinstance(asked, Failure):
                yield index, asked
                continue
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
    if not model.shares:
        questions.sort(key=lambda one: len(one.ids))
        for batch in batches(questions, lambda one: len(one.ids), batch_tokens):
            filled = model.fill([one.ids for one in batch], keep=max(one.keep for one in batch))
            yield from _looked_up(filled, batch)
        return
    common = shared_length(questions[0].ids, questions[-1].ids)
    common = min([common, *(len(one.ids) - one.keep for one in questions)])
    common = common if common >= MIN_SHARED and len(questions) > 1 else 0
    beginning = model.fill([questions[0].ids[:common]]) if common else None
    groups = [part for group in grouped(questions, common) for part in group.parts(batch_tokens)]
    groups.sort(key=lambda group: (group.stem == common, group.stem))
    for shared, some in groupby(groups, key=lambda group: group.stem > common):
        read = _with_stems if shared else _without_stems
        yield from read(model, list(some), beginning, common, batch_tokens)


def _with_stems(
    model: LoadedModel, groups: list[_Group], beginning: Filled | None, common: int, batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    for some in batches(groups, lambda group: group.width, batch_tokens):
        stems = model.fill([group.questions[0].ids[common : group.stem] for group in some], _copy(beginning))
        members = [(at, group.stem, one) for at, group in enumerate(some) for one in group.questions]
        stems.rows(torch.tensor([at for at, _, _ in members], device=model.device))
        filled = model.fill([one.ids[stem:] for _, stem, one in members], stems, max(one.keep for *_, one in members))
        yield from _looked_up(filled, [one for *_, one in members])


def _without_stems(
    model: LoadedModel, groups: list[_Group], beginning: Filled | None, common: int, batch_tokens: int
) -> Iterator[tuple[Question, list[float]]]:
    questions = sorted((one for group in groups for one in group.questions), key=lambda one: len(one.ids))
    for batch in batches(questions, lambda one: len(one.ids), batch_tokens):
        keep = max(one.keep for one in batch)
        yield from _looked_up(model.fill([one.ids[common:] for one in batch], _copy(beginning), keep), batch)


def _copy(filled: Filled | None) -> Filled | None:
    """The same row with a cache of its own: reading on changes a cache in place."""
    if filled is None:
        return None
    from transformers import DynamicCache

    layers = [(layer.keys, layer.values) for layer in filled.cache.layers]
    return Filled(DynamicCache(layers), filled.mask, filled.lengths, filled.logits)


def _looked_up(filled: Filled, questions: Sequence[Question]) -> Iterator[tuple[Question, list[float]]]:
    logprobs = filled.logits.log_softmax(dim=-1)
    rows = [at for at, one in enumerate(questions) for _ in one.picks]
    picks = [pick for one in questions for pick in one.picks]
    places = [logprobs.shape[1] - 1 - back for back, _, _ in picks]
    values = iter(logprobs[rows, places, [token for _, token, _ in picks]].tolist())
    for one in questions:
        yield one, [next(values) for _ in one.picks]


def grouped(questions: Sequence[Question], common: int) -> list[_Group]:
    """Cut sorted `questions` into runs that share a stem, so that the fewest tokens are read.

    A run from i to j reads its stem once: it saves (j − i) · (stem − common) tokens. Dynamic programming over the cuts.
    """
    shared = [0] + [shared_length(a.ids, b.ids) for a, b in pairwise(questions)]
    room = [len(one.ids) - one.keep for one in questions]
    best = [0.0] * (len(questions) + 1)
    cut = list(range(-1, len(questions)))
    for end in range(1, len(questions) + 1):
        best[end] = best[end - 1]
        stem = room[end - 1]
        for start in range(end - 2, max(-1, end - 1 - _MAX_GROUP), -1):
            stem = min(stem, room[start], shared[start + 1])
            if stem - common < MIN_SHARED:
                break
            saved = best[start] + (end - 1 - start) * (stem - common) - MIN_SHARED
            if saved > best[end]:
                best[end], cut[end] = saved, start
    groups = []
    end = len(questions)
    while end:
        start = cut[end]
        groups.append(_group(questions[start:end], shared[start + 1 : end], room[start:end], common))
        end = start
    return groups[::-1]


def _group(questions: Sequence[Question], shared: Sequence[int], room: Sequence[int], common: int) -> _Group:
    stem = min([*shared, *room]) if len(questions) > 1 else common
    return _Group(list(questions), stem)
