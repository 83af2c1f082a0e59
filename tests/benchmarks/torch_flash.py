"""FlashAttention-2 for transformers where the package flash-attn is not installed: the kernels that PyTorch brings.

As with that package, padded rows are read without their pads; where the rows lie is worked out once a forward pass, not
once a layer. On CUDA, in bfloat16 or under its autocast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

NAME = "torch_varlen"


class Rows(NamedTuple):
    """Where the tokens of padded rows stand, where each row begins among them, and the longest row."""

    mask: Tensor
    places: Tensor
    starts: Tensor
    longest: int


_last: list[Rows] = []


def flash_attention() -> str:
    """The name of an attention of transformers: that of flash-attn, or ours, which is then registered."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available():
        return "flash_attention_2"
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, flash_attention_mask)
    return NAME


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Causal attention; query (batch, heads, tokens, size) gives (batch, tokens, heads, size)."""
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype
    sides = [one.transpose(1, 2).to(dtype) for one in (query, key, value)]
    batch, width = sides[0].shape[:2]
    if attention_mask is None:
        return _flash(sides, None, width, scaling), None
    rows = _rows(attention_mask)
    read = _flash([one.flatten(0, 1)[rows.places] for one in sides], rows.starts, rows.longest, scaling)
    whole = read.new_zeros(batch * width, *read.shape[1:]).index_copy(0, rows.places, read)
    return whole.unflatten(0, (batch, width)), None


def _flash(sides: list[Tensor], starts: Tensor | None, longest: int, scaling: float | None) -> Tensor:
    found: Tensor = torch.ops.aten._flash_attention_forward(
        *sides, starts, starts, longest, longest, 0.0, True, False, scale=scaling
    )[0]
    return found


def _rows(mask: Tensor) -> Rows:
    if not (_last and _last[0].mask is mask):
        lengths = mask.sum(1, dtype=torch.int32)
        starts = pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        _last[:] = [Rows(mask, mask.flatten().nonzero().flatten(), starts, int(lengths.max()))]
    return _last[0]
