"""bfloat16 where it is asked for and the processor has it; weights, moments, scores and losses stay in float32."""

from __future__ import annotations

from typing import Any, Literal

import torch

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Of x86 processors; of others it is not known whether they are faster so."""


def autocast_type(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> tuple[bool, str]:
    """Whether to compute in bfloat16 on `device`, and a note if it was asked for in vain.

    "auto" does on CUDA, and on a CPU that has instructions for it, where it is faster; others only emulate it.
    """
    if asked == "float32" or (asked == "auto" and not _is_quick(device)):
        return False, ""
    if _has_bfloat16(device):
        return True, ""
    return False, "" if asked == "auto" else f"this {device.type} has no bfloat16; the training was in float32"


def _is_quick(device: torch.device) -> bool:
    if device.type != "cpu":
        return device.type == "cuda"
    told: Any = getattr(torch.cpu, "get_capabilities", dict)  # which older torch lacks
    return any(told().get(name) for name in _INSTRUCTIONS)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        built: Any = torch.backends.mkldnn
        return built.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type in ("mps", "xpu")
