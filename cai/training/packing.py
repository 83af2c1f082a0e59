"""A prompt and all its answers in one row, `[stem | a | b | …]`, and several such groups one after the other.

Every token is computed once and none is a pad. A group is a tree: each answer reads the stem and itself, and its
positions go on from the stem's end, so each gets the score that it would get alone. Linear layers see one row of
tokens; attention alone knows of groups. There are two kinds of it: `attend_in_blocks`, a call of PyTorch's fused causal
attention for each answer, which wastes nothing and so is the fastest on a CPU, and FlexAttention under `packed_mask` on
CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from cai.packed import for_each_query, require_plain, sent, spread
from cai.training.rows import Group

BLOCKS = "cai_blocks"
"""The name of `attend_in_blocks` among the attention functions of transformers."""
_FLEX_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Packed:
    """Groups as one row of T tokens. `stems` and `tails` give lengths group by group, `ends` each answer's last token.

    ids, positions: (1, T), integers; ends: (answers,); `masks`: for each tail but a group's first, (tail, stem + tail),
    True where it reads. Of the layer numbered `last`, if any, only what is at `ends` is read.
    """

    ids: Tensor
    positions: Tensor
    ends: Tensor
    stems: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[Tensor, ...], ...]
    last: int | None = None

    @property
    def sizes(self) -> list[int]:
        """Lengths of the parts that the row is made of: a stem with its first tail, then each other tail."""
        pairs = zip(self.stems, self.tails, strict=True)
        return [size for stem, (first, *rest) in pairs for size in (stem + first, *rest)]

    @property
    def longest(self) -> int:
        """Tokens of the longest answer with its stem."""
        return max(stem + max(tails) for stem, tails in zip(self.stems, self.tails, strict=True))


def pack(
    groups: Sequence[Group], device: torch.device | str = "cpu", last: int | None = None, masked: bool = True
) -> Packed:
    """`groups` one after the other in one row; with `masks` unless `masked` is False, for they cost memory."""
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
        if masked
    )
    row = sent([ids, positions], device)
    return Packed(row[:1], row[1:], sent(ends, device), stems, tails, masks, last)


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
    if query.device.type != "cpu":
        return _attended(module, query, key, value, packed, scaling, dropout), None
    with torch.autocast("cpu", enabled=False):  # the backward pass in bfloat16 takes four times as long there
        return _attended(module, query.float(), key.float(), value.float(), packed, scaling, dropout), None


def _attended(
    module: Any, query: Tensor, key: Tensor, value: Tensor, packed: Packed, scaling: float | None, dropout: float
) -> Tensor:
    at_ends = packed.last is not None and packed.last == getattr(module, "layer_idx", None)
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
