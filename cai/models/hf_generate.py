"""Sampling completions from a local model in batches, where a text depends on its own request alone.

Each row draws its own numbers, from its seed and its number of tokens so far, so neighbours in a batch do not matter.
Equal prompts are read once, a beginning common to the whole batch is read once, and finished rows leave the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from cai.chat import Chat
from cai.models.hf_model import Filled, LoadedModel
from cai.models.questions import MIN_SHARED, shared_length
from cai.models.windows import batches, windows
from cai.records import Completion, Failure, GenerateRequest

WINDOW = 512
_Answer = tuple[int, Completion | Failure]


@dataclass(slots=True)
class _Row:
    index: int
    request: GenerateRequest
    prompt: list[int]
    new: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        return len(self.prompt) + self.request.sampling.max_tokens


def generate(
    model: LoadedModel,
    chat: Chat,
    requests: Iterable[GenerateRequest],
    encode: Callable[[GenerateRequest], list[int] | Failure],
    stop_ids: frozenset[int],
    batch_tokens: int,
) -> Iterator[_Answer]:
    """Answer `requests` a window at a time, longest prompts first; each completion is yielded when its row ends."""
    for window in windows(requests, WINDOW):
        rows = []
        for index, request in window:
            ids = encode(request)
            if isinstance(ids, Failure):
                yield index, ids
            else:
                rows.append(_Row(index, request, ids))
        rows.sort(key=lambda row: (-row.width, row.prompt))
        for batch in batches(rows, lambda row: row.width, batch_tokens):
            yield from _batch(model, chat, batch, stop_ids)


@torch.inference_mode()
def _batch(model: LoadedModel, chat: Chat, rows: list[_Row], stop_ids: frozenset[int]) -> Iterator[_Answer]:
    filled = _prompts(model, [row.prompt for row in rows], max(row.request.sampling.max_tokens for row in rows))
    while True:
        tokens = draw(filled.logits[:, -1], rows)
        kept = []
        for at, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            row.new.append(token)
            answer = _finished(chat, row, stop_ids)
            if answer is None:
                kept.append(at)
            else:
                yield row.index, answer
        if not kept:
            return
        if len(kept) < len(rows):
            rows = [rows[at] for at in kept]
            index = torch.tensor(kept, device=tokens.device)
            filled.rows(index)
            tokens = tokens[index]
        model.step(filled, tokens)


def _prompts(model: LoadedModel, prompts: list[list[int]], new: int) -> Filled:
    """Read the prompts, to which `new` tokens may be added: each different one once, what all begin with once."""
    number: dict[tuple[int, ...], int] = {}
    order = [number.setdefault(tuple(prompt), len(number)) for prompt in prompts]
    different = [list(prompt) for prompt in number]
    common = min(shared_length(different[0], other) for other in different) if len(different) > 1 else 0
    common = min([common, *(len(one) - 1 for one in different)])
    shares = model.shares(max(map(len, different)) + new)
    if common >= MIN_SHARED and shares:
        stem = model.fill([different[0][:common]])
        filled = model.fill([one[common:] for one in different], stem)
    else:
        filled = model.fill(different, whole=not shares)
    if order != list(range(len(different))):
        filled.rows(torch.tensor(order, device=model.device))
    return filled


def _finished(chat: Chat, row: _Row, stop_ids: frozenset[int]) -> Completion | None:
    if row.new[-1] in stop_ids:
        return _completion(chat, row, row.new[:-1], "stop")
    if chat.stop_strings:
        # A token is at least one byte, so the last 32 tokens hold any stop string that has just been completed.
        tail = chat.decode(row.new[-32:])
        if any(stop in tail for stop in chat.stop_strings):
            return _completion(chat, row, row.new, "stop")
    if len(row.new) >= row.request.sampling.max_tokens:
        return _completion(chat, row, row.new, "length")
    return None


def _completion(chat: Chat, row: _Row, ids: list[int], reason: str) -> Completion:
    text = chat.decode(ids, row.prompt)
    if chat.mode == "transcript" and not row.request.prefix:
        text = text.removeprefix(" ")
    for stop in chat.stop_strings:
        text = text.partition(stop)[0]
    return Completion(text, "stop" if reason == "stop" else "length", len(row.prompt), len(row.new))


def draw(logits: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
    """The next token of each row, [rows], from `logits` [rows, vocabulary]: greedy, or the inverse CDF of one number.

    The cumulative sum is taken in double precision and in the order of the vocabulary: sorting by probability would
    let a rounding error of the forward pass exchange two tokens.
    """
    greedy = logits.argmax(dim=-1)
    samplings = [row.request.sampling for row in rows]
    if all(one.temperature <= 0 for one in samplings):
        return greedy
    if logits.device.type == "mps":
        return draw(logits.cpu(), rows).to(logits.device)
    temperature = torch.tensor([one.temperature or 1.0 for one in samplings], device=logits.device)
    p = (logits.double() / temperature[:, None]).softmax(dim=-1)
    if any(one.top_p < 1 for one in samplings):
        p = _nucleus(p, torch.tensor([one.top_p for one in samplings], device=logits.device))
    cumulative = p.cumsum(dim=-1)
    u = torch.tensor([uniform(row.request.seed, len(row.new)) for row in rows], dtype=p.dtype, device=p.device)
    target = u[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=p.shape[-1] - 1)
    cold = torch.tensor([one.temperature <= 0 for one in samplings], device=logits.device)
    return torch.where(cold, greedy, drawn)


def _nucleus(p: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """`p` with everything below the least probability of the smallest set of mass `top_p` set to 0."""
    ordered = p.sort(dim=-1, descending=True).values
    before = ordered.cumsum(dim=-1) - ordered
    wanted = (before < top_p[:, None]).sum(dim=-1, keepdim=True) - 1
    least = ordered.gather(-1, wanted.clamp(min=0))
    return torch.where(p >= least, p, 0.0)


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) that depends on `seed` and `step` alone, equal on every machine."""
    digest = hashlib.blake2b(f"{seed}:{step}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
