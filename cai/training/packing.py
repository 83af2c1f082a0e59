"""A prompt and all its answers in one row, `[stem | a | b | …]`, and several such groups one after the other.

Every token is computed once and none is a pad. A group is a tree: each answer reads the stem and itself, and its
positions go on from the stem's end, so each gets the score that it would get alone. Linear layers see one row of
tokens; attention alone knows of groups. There are three kinds of it: `attend_in_blocks`, a call of PyTorch's fused
causal attention for each answer, which wastes nothing and so is the fastest on a CPU; on CUDA, in bfloat16, the same
blocks in one call of FlashAttention for rows of many lengths, which needs no compiling; and FlexAttention under
`packed_mask`, which does float32 as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from cai.packed import for_each_query, require_plain, sent, spread
from cai.training.rows import Group

BLOCKS = "cai_blocks"
"""The name of `attend_in_blocks` among the attention functions of transformers."""
_FLEX_BLOCK = 128


class Spans(NamedTuple):
    """Which keys each part of a packed row reads, as FlashAttention asks: part by part, one after the other.

    places: (K,), where each key stands in the row; starts: (parts + 1,) of int32, where the keys of each part begin
    among them, and the same of its queries; longest: how many the longest part has of queries and of keys.
    """

    places: Tensor
    query_starts: Tensor
    key_starts: Tensor
    longest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Packed:
    """Groups as one row of T tokens. `stems` and `tails` give lengths group by group, `ends` each answer's last token.

    ids, positions: (1, T), integers; ends: (answers,); `masks`: for each tail but a group's first, (tail, stem + tail),
    True where it reads. Of the layer numbered `last`, if any, only what is at `ends` is read. With `spans`, attention
    is in half precision on CUDA.
    """

    ids: Tensor
    positions: Tensor
    ends: Tensor
    stems: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[Tensor, ...], ...]
    last: int | None = None
    spans: Spans | None = None

    @property
    def sizes(self) -> list[int]:
        """Lengths of the parts that the row is made of: a stem with its first tail, then each other tail."""
        return _parts(self.stems, self.tails)

    @property
    def longest(self) -> int:
        """Tokens of the longest answer with its stem."""
        return max(stem + max(tails) for stem, tails in zip(self.stems, self.tails, strict=True))


def pack(
    groups: Sequence[Group], device: torch.device | str = "cpu", last: int | None = None,
    told: Literal["masks", "spans", "neither"] = "masks",
) -> Packed:  # fmt: skip
    """`groups` one after the other in one row; with `masks`, which cost memory, or `spans`, if they are `told`."""
    ids: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    for group in groups:
        stem = len(group.stem)
        ids += group.stem
        positions += range(stem)
        for tail in group.tails:
            ids += tail
            positions += range(stem, stem + len(tail))
            ends.append(len(ids) - 1)
    stems = tuple(len(group.stem) for group in groups)
    tails = tuple(tuple(len(tail) for tail in group.tails) for group in groups)
    masks = tuple(
        tuple(torch.ones(tail, stem + tail, dtype=torch.bool, device=device).tril(stem) for tail in rest)
        for stem, (_, *rest) in zip(stems, tails, strict=True)
        if told == "masks"
    )
    spans = _spans(stems, tails, device) if told == "spans" else None
    row = sent([ids, positions], device)
    return Packed(row[:1], row[1:], sent(ends, device), stems, tails, masks, last, spans)


def _spans(stems: Sequence[int], tails: Sequence[Sequence[int]], device: torch.device | str) -> Spans:
    places: list[int] = []
    begin = 0
    for stem, (first, *rest) in zip(stems, tails, strict=True):
        end = begin + stem + first
        places += range(begin, end)
        for tail in rest:
            places += range(begin, begin + stem)
            places += range(end, end + tail)
            end += tail
        begin = end
    queries = _parts(stems, tails)
    keys = [stem + tail for stem, own in zip(stems, tails, strict=True) for tail in own]
    starts = sent([[*accumulate(queries, initial=0)], [*accumulate(keys, initial=0)]], device).int()
    return Spans(sent(places, device), starts[0], starts[1], (max(queries), max(keys)))


def _parts(stems: Sequence[int], tails: Sequence[Sequence[int]]) -> list[int]:
    pairs = zip(stems, tails, strict=True)
    return [size for stem, (first, *rest) in pairs for size in (stem + first, *rest)]


def attend_in_blocks(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, packed: Packed | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of every answer to its stem and itself; query (1, heads, T, size) gives (1, T, heads, size).

    An attention function of transformers; `packed` comes down to it through the model's keyword arguments. Raises
    `CannotPack` if it does not, or if the layer is more than plain causal attention.
    """
    require_plain(packed, more, packed.longest if packed else 0)
    assert packed is not None
    key, value = for_each_query(query, key, value)
    if packed.spans:
        return _attended_at_once(module, query, key, value, packed, packed.spans, scaling, dropout), None
    if query.device.type != "cpu":
        return _attended(module, query, key, value, packed, scaling, dropout), None
    with torch.autocast("cpu", enabled=False):  # the backward pass in bfloat16 takes four times as long there
        return _attended(module, query.float(), key.float(), value.float(), packed, scaling, dropout), None


def _attended(
    module: Any, query: Tensor, key: Tensor, value: Tensor, packed: Packed, scaling: float | None, dropout: float
) -> Tensor:
    at_ends = _at_ends(module, packed)
    queries = iter(
        torch.split(query.index_select(2, packed.ends) if at_ends else query, 1 if at_ends else packed.sizes, 2)
    )
    keys, values = (iter(torch.split(one, packed.sizes, dim=2)) for one in (key, value))
    read: list[Tensor] = []
    for stem, masks in zip(packed.stems, packed.masks, strict=True):
        first_key, first_value = next(keys), next(values)
        options: Any = {"scale": scaling, "dropout_p": dropout}
        read.append(
            scaled_dot_product_attention(next(queries), first_key, first_value, is_causal=not at_ends, **options)
        )
        for mask in masks:
            own_key = torch.cat((first_key[:, :, :stem], next(keys)), dim=2)
            own_value = torch.cat((first_value[:, :, :stem], next(values)), dim=2)
            options["attn_mask"] = None if at_ends else mask
            read.append(scaled_dot_product_attention(next(queries), own_key, own_value, **options))
    states = torch.cat(read, dim=2).transpose(1, 2)
    return spread(states, packed.ends, query.shape[2]) if at_ends else states


def _at_ends(module: Any, packed: Packed) -> bool:
    return packed.last is not None and packed.last == getattr(module, "layer_idx", None)


def _attended_at_once(
    module: Any, query: Tensor, key: Tensor, value: Tensor, packed: Packed, spans: Spans, scaling: float | None,
    dropout: float,
) -> Tensor:  # fmt: skip
    """The same by FlashAttention, whose causal parts end with their last query at their last key."""
    at_ends, dtype = _at_ends(module, packed), torch.get_autocast_dtype(query.device.type)
    query_starts, (queries, keys) = spans.query_starts, spans.longest
    if at_ends:
        query = query.index_select(2, packed.ends)
        query_starts, queries = torch.arange(len(query_starts), dtype=torch.int32, device=query.device), 1
    asking, *told = (side[0].to(dtype) for side in (query, key, value))
    key_rows, value_rows = (side.index_select(1, spans.places).transpose(0, 1) for side in told)
    states = flash_attention(
        asking.transpose(0, 1), key_rows, value_rows, query_starts, spans.key_starts, queries, keys, dropout, scaling
    )[None]
    return spread(states, packed.ends, key.shape[2]) if at_ends else states


def flash_attention(
    query: Tensor, key: Tensor, value: Tensor, query_starts: Tensor, key_starts: Tensor, queries: int, keys: int,
    dropout: float = 0.0, scaling: float | None = None,
) -> Tensor:  # fmt: skip
    """FlashAttention-2 as PyTorch brings it: causal attention of many texts in one row, (tokens, heads, size)."""
    found: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, query_starts, key_starts, queries, keys, dropout, True, False, scale=scaling
    )[0]
    return found


def packed_mask(packed: Packed) -> Callable[[Any, Any, Any, Any], Tensor]:
    """Whether the token at place q reads the one at place k, as FlexAttention asks: (batch, head, q, k) to a boolean.

    Places behind the row, which fill it up to whole blocks, read themselves alone.
    """
    device, total = packed.ids.device, packed.ids.shape[1]
    group: list[int] = []
    branch: list[int] = []
    for number, (stem, tails) in enumerate(zip(packed.stems, packed.tails, strict=True)):
        lengths = (stem, *tails)
        group += [number] * sum(lengths)
        branch += [at for at, length in enumerate(lengths) for _ in range(length)]
    filler = range(-1, -1 - flex_length(total) + total, -1)
    groups = sent([*group, *filler], device)
    branches = sent([*branch, *(0 for _ in filler)], device)

    def reads(batch: Any, head: Any, q: Any, k: Any) -> Tensor:
        shared = (branches[k] == 0) | (branches[k] == branches[q])
        seen: Tensor = (q >= k) & (groups[q] == groups[k]) & shared
        return seen

    return reads


def flex_length(tokens: int) -> int:
    """`tokens` rounded up to whole blocks of FlexAttention."""
    return -(-tokens // _FLEX_BLOCK) * _FLEX_BLOCK


def flex_inputs(packed: Packed, pad_id: int) -> dict[str, Any]:
    """What a transformers model under its own `flex_attention` takes: ids, positions and a BlockMask."""
    length = flex_length(packed.ids.shape[1])
    filler = length - packed.ids.shape[1]
    return {
        "input_ids": torch.nn.functional.pad(packed.ids, (0, filler), value=pad_id),
        "position_ids": torch.nn.functional.pad(packed.positions, (0, filler)),
        "attention_mask": _mask_builder()(packed_mask(packed), None, None, length, length, device=packed.ids.device),
    }


@cache
def _mask_builder() -> Any:
    """Compiled, or it would hold the whole square of tokens at once."""
    from torch.nn.attention.flex_attention import create_block_mask

    return torch.compile(create_block_mask)
