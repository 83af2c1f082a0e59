"""Linear layers on a CPU by oneDNN, which torch asks for in half precision alone.

In float32 torch multiplies matrices by MKL. oneDNN, which torch brings with it too, is quicker for few rows, which is
what each step of generating has, and for a whole vocabulary: `make bench ONLY=linear` tells by how much. It compiles
and keeps code for every number of rows, so long texts, each of a length of its own, are left to MKL. The sums are the
same but for the order of their terms.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

FEW, WIDE = 64, 16384
"""oneDNN reads layers of at most so many rows, or of at least so many outputs."""
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")  # 0.5 MiB each; it keeps 1024 unless it is told


class QuickLinear(nn.Linear):
    """A linear layer that is read by oneDNN where that is quicker and no gradient is asked for."""

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        plain = input.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or torch.is_grad_enabled()
        if plain or not (self.out_features >= WIDE or input.numel() <= FEW * self.in_features):
            return super().forward(input)
        return _linear(input, self.weight, self.bias)


def quickened(model: Any) -> Any:
    """The model, whose float32 linear layers on a CPU are now read by oneDNN, if this torch has it."""
    if _has_it():
        for module in model.modules():
            if type(module) is nn.Linear and _is_plain(module.weight):
                module.__class__ = QuickLinear
    return model


def _is_plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return found


@cache
def _has_it() -> bool:
    """By trying, for the function is one of torch's own inner ones."""
    rows, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        with torch.no_grad():
            return torch.equal(_linear(rows, weight, None), rows @ weight.T)
    except Exception:
        return False
