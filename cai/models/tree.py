"""Questions of many stems in one row, in which nothing that they share stands twice: `[stem | endings | stem | …]`.

Questions of a group begin with one stem; their endings share what they begin with too, and a stem takes over what it
shares with the one before it (two orders of a pair share the dialogue). Every token is computed once, no row is padded
and no cache is copied: attention alone knows which tokens come before which. It is two calls of PyTorch's fused
attention a group, the stem's own and all endings'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from cai.models.questions import MIN_SHARED, Group, Question, shared_length
from cai.packed import for_each_query, require_plain, spread

TREE = "cai_tree"
"""The name of `attend_in_tree` among the attention functions of transformers."""
_MOST_READS = 256  # logits are reads × vocabulary
_MOST_MASKED = 2**24  # numbers in the masks of a row
_FEW = 512
"""So many tokens of endings, or as many as their stem has, are attended to at once, though none reads another's."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Branch:
    """A group in the row. Spans count from the row's first token, or with `before`, from the cache's.

    `before` are the spans of what the stem takes over, `own` is what it adds and `endings` what follows it. Masks are
    added to scores: `own_mask` (own, stem), None where the stem takes over nothing; `mask` (endings, stem + endings).
    `reads` are the places among the endings that are read.
    """

    before: tuple[Span, ...]
    own: Span
    endings: Span
    own_mask: Tensor | None
    mask: Tensor
    reads: Tensor


@dataclass(frozen=True, slots=True)
class Tree:
    """A row of T tokens: ids and positions (1, T), `reads` the places that are read; `cached` tokens come before it.

    `found` says for each question, in the groups' order, where among `reads` each of its picks is. Of the layer
    numbered `last`, if any, only what is at `reads` is computed.
    """

    ids: Tensor
    positions: Tensor
    reads: Tensor
    found: tuple[tuple[int, ...], ...]
    branches: tuple[Branch, ...]
    cached: int
    longest: int
    last: int | None
    told: list[int] = field(default_factory=list)
    """The number of each layer whose attention was told of the row."""


def fits(group: Group, cached: int) -> bool:
    """Whether a row can hold the group, cut or not, at no more than its masks may take."""
    longest = max(len(one.ids) for one in group.questions)
    own = group.stem - cached if cached else 0
    return own * group.stem <= _MOST_MASKED and (longest - group.stem) * longest <= _MOST_MASKED


def _cut(group: Group, tokens: int) -> Iterator[Group]:
    """The group in parts, of which the later ones in a row take over the first one's stem."""
    most = min(max(_FEW, group.stem), max(1, tokens - group.stem))
    some: list[Question] = []
    endings = reads = 0
    for question in group.questions:
        size, picks = len(question.ids) - group.stem, len(question.picks)
        if some and (endings + size > most or reads + picks > _MOST_READS):
            yield Group(some, group.stem)
            some, endings, reads = [], 0, 0
        some = [*some, question]
        endings, reads = endings + size, reads + picks
    yield Group(some, group.stem)


def batches_of(groups: Sequence[Group], cached: int, tokens: int) -> Iterator[list[Group]]:
    """Groups in their order, as many in a row as keep to `tokens`, and to what masks and logits may take."""
    batch: list[Group] = []
    held = [0, 0, 0]
    for group in chain.from_iterable(_cut(one, tokens) for one in groups):
        endings = sum(len(one.ids) - group.stem for one in group.questions)
        stem = group.stem - cached
        size = [stem + endings, endings * (group.stem + endings) + (stem * group.stem if cached else 0)]
        size.append(sum(len(one.picks) for one in group.questions))
        held = [one + more for one, more in zip(held, size, strict=True)]
        if batch and (held[0] > tokens or held[1] > _MOST_MASKED or held[2] > _MOST_READS):
            yield batch
            batch, held = [], size
        batch.append(group)
    if batch:
        yield batch


def plant(groups: Sequence[Group], cached: int, model: Any, last: int | None) -> Tree:
    """The row of `groups`, whose stems all begin with the same `cached` tokens that are not in the row."""
    row = _Row(cached, model.dtype, model.device)
    branches = [row.add(group) for group in groups]
    placed = torch.tensor([row.ids, row.positions], device=model.device)
    reads = torch.tensor(row.reads, device=model.device)
    longest = max(len(one.ids) for group in groups for one in group.questions)
    return Tree(placed[:1], placed[1:], reads, tuple(row.found), tuple(branches), cached, longest, last)


class _Row:
    """A row as it grows."""

    def __init__(self, cached: int, dtype: torch.dtype, device: torch.device) -> None:
        self.cached, self.dtype, self.device = cached, dtype, device
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.reads: list[int] = []
        self.found: list[tuple[int, ...]] = []
        self._stem: tuple[int, ...] = ()
        self._spans: tuple[Span, ...] = ()

    def add(self, group: Group) -> Branch:
        stem = group.questions[0].ids[: group.stem]
        shared = shared_length(self._stem, stem) if self._stem else 0
        taken = _first_of(self._spans, shared) if shared - self.cached >= MIN_SHARED else ()
        depth = sum(end - start for start, end in taken)
        if not taken and self.cached:
            taken, depth = ((0, self.cached),), self.cached
        own = self._write(stem[depth:], depth)
        self._stem, self._spans = stem, (*taken, own)
        start, first_read = len(self.ids), len(self.reads)
        mask = self._endings(group)
        reads = torch.tensor([place - start for place in self.reads[first_read:]], device=self.device)
        own_mask = None
        if taken:
            shape = (own[1] - own[0], len(stem))
            own_mask = torch.full(shape, -torch.inf, device=self.device, dtype=self.dtype).triu(depth + 1)
        endings = (start + self.cached, len(self.ids) + self.cached)
        return Branch(taken, own, endings, own_mask, mask, reads)

    def _write(self, ids: Sequence[int], position: int) -> Span:
        start = len(self.ids) + self.cached
        self.ids += ids
        self.positions += range(position, position + len(ids))
        return start, start + len(ids)

    def _endings(self, group: Group) -> Tensor:
        """Write what follows the stem, and say which of it reads what: (endings, stem + endings)."""
        start = len(self.ids)
        endings = tuple(one.ids[group.stem :] for one in group.questions)
        written = (_kept if sum(map(len, endings)) <= _FEW else _written)(endings)
        self.ids += written.ids
        self.positions += [group.stem + depth for depth in written.depths]
        asked = [
            [start + line[len(line) - 1 - back] for back, _, _ in question.picks]
            for question, line in zip(group.questions, written.lines, strict=True)
        ]
        read = sorted({place for places in asked for place in places})
        number = {place: len(self.reads) + at for at, place in enumerate(read)}
        self.reads += read
        self.found += [tuple(number[place] for place in places) for places in asked]
        return torch.nn.functional.pad(written.mask.to(self.device, self.dtype), (group.stem, 0))


@dataclass(frozen=True, slots=True)
class _Written:
    """Endings with what they begin with alike written once: tokens, their depths, where each ending's tokens stand.

    `mask` is 0 from each token to what comes before it in its ending and to itself, else -inf.
    """

    ids: list[int]
    depths: list[int]
    lines: list[list[int]]
    mask: Tensor


def _written(endings: tuple[tuple[int, ...], ...]) -> _Written:
    ids: list[int] = []
    depths: list[int] = []
    lines: list[list[int]] = []
    firsts: list[int] = []
    before: tuple[int, ...] = ()
    for ending in endings:
        shared = shared_length(before, ending)
        line = lines[-1][:shared] if lines else []
        lines.append([*line, *range(len(ids), len(ids) + len(ending) - shared)])
        firsts.append(shared)
        ids += ending[shared:]
        depths += range(shared, len(ending))
        before = ending
    mask = torch.full((len(ids), len(ids)), -torch.inf)
    for first, line in zip(firsts, lines, strict=True):
        places = torch.tensor(line)
        mask[places[first:, None], places] = torch.full((len(line) - first, len(line)), -torch.inf).triu(first + 1)
    return _Written(ids, depths, lines, mask)


_kept = lru_cache(maxsize=64)(_written)
"""The same, remembered: most groups are asked the same questions."""


def _first_of(spans: Sequence[Span], count: int) -> tuple[Span, ...]:
    """The spans of the first `count` tokens of `spans`."""
    kept: list[Span] = []
    for start, end in spans:
        if count <= 0:
            break
        kept.append((start, min(end, start + count)))
        count -= end - start
    return tuple(kept)


def attend_in_tree(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, tree: Tree | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of each token to what comes before it; query (1, heads, T, size) gives (1, T, heads, size).

    An attention function of transformers; `tree` comes down to it through the model's keyword arguments. Raises
    `CannotPack` if it does not, or if the layer is more than plain causal attention.
    """
    require_plain(tree, more, tree.longest if tree else 0)
    assert tree is not None
    tree.told.append(getattr(module, "layer_idx", -1))
    key, value = for_each_query(query, key, value)
    only_reads = tree.last is not None and tree.last == getattr(module, "layer_idx", None)
    found: list[Tensor] = []
    for branch in tree.branches:
        spans = (*branch.before, (branch.own[0], branch.endings[1]))
        keys, values = (_joined(one, spans) for one in (key, value))
        start, end = (place - tree.cached for place in branch.own)
        if start < end and not only_reads:
            stem = keys.shape[2] - (branch.endings[1] - branch.endings[0])
            asking, kept, causal = query[:, :, start:end], (keys[:, :, :stem], values[:, :, :stem]), not branch.before
            found.append(scaled_dot_product_attention(asking, *kept, branch.own_mask, is_causal=causal, scale=scaling))
        asking, mask = query[:, :, end : branch.endings[1] - tree.cached], branch.mask
        if only_reads:
            asking, mask = asking.index_select(2, branch.reads), mask[branch.reads]
        found.append(scaled_dot_product_attention(asking, keys, values, mask, scale=scaling))
    states = torch.cat(found, dim=2).transpose(1, 2)
    return spread(states, tree.reads, query.shape[2]) if only_reads else states, None


def _joined(states: Tensor, spans: Sequence[Span]) -> Tensor:
    """The tokens of `spans` of (1, heads, tokens, size); a view where they stand side by side."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    parts = [states[:, :, start:end] for start, end in merged]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
