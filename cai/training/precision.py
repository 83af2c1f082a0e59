"""bfloat16 where it is asked for and the processor has it; weights, moments, scores and losses stay in float32."""

from __future__ import annotations

from typing import Any, Literal

import torch


def autocast_type(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> tuple[bool, str]:
    """Whether to compute in bfloat16 on `device`, and a note if it was asked for in vain; "auto" does on CUDA alone."""
    if asked == "float32" or (asked == "auto" and device.type != "cuda"):
        return False, ""
    if _has_bfloat16(device):
        return True, ""
    return False, "" if asked == "auto" else f"this {device.type} has no bfloat16; the training was in float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        built: Any = torch.backends.mkldnn
        return built.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type in ("mps", "xpu")
