"""What rows that hold several texts ask of a transformers model, and how they save its last layer.

In such rows attention alone knows of the texts. It has to be plain causal attention, and to get what is told it through
the model's keyword arguments.

Of what the last layer makes of a row, few tokens are read. All that works token by token there (the queries, what
follows attention) can skip the rest; keys and values cannot. The result is the same, bit for bit up to the order of
sums, and a layer's worth of work is saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_CHANGES_SCORES = ("softcap", "s_aux", "position_bias", "head_mask")


class CannotPack(ValueError):
    """An attention layer asks for what packed rows cannot give; the message says what."""


def require_plain(told: object, more: Mapping[str, Any], longest: int) -> None:
    """Raise `CannotPack` unless the layer was `told` of the row and is plain attention over `longest` tokens."""
    if told is None:
        raise CannotPack("its layers do not hand keyword arguments on to attention")
    odd = [name for name in _CHANGES_SCORES if more.get(name) is not None]
    window = more.get("sliding_window")
    if window is not None and window < longest:
        odd.append(f"a window of {window} tokens")
    if odd:
        raise CannotPack(f"its attention has {', '.join(odd)}")


def for_each_query(query: Tensor, *shared: Tensor) -> tuple[Tensor, ...]:
    """Keys and values, repeated for the heads of queries that share them; all are (1, heads, tokens, size)."""
    times = query.shape[1] // shared[0].shape[1]
    return shared if times == 1 else tuple(one.repeat_interleave(times, dim=1) for one in shared)


def sent(values: Sequence[Any], device: torch.device | str) -> Tensor:
    """Numbers as a tensor on `device`, without waiting for what that is still busy with."""
    return torch.tensor(values).to(device, non_blocking=True)


def spread(states: Tensor, places: Tensor, total: int) -> Tensor:
    """(1, n, …) put at the n `places` of (1, total, …), zeros elsewhere."""
    row = states.new_zeros(1, total, *states.shape[2:])
    return row.index_copy(1, places, states)


def layers_of(model: Any) -> Iterator[nn.Module]:
    """The repeated layers of a transformers model, which are never split further."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return (module for module in model.modules() if type(module).__name__ in names)


_TOKEN_BY_TOKEN = ("self_attn.q_proj", "self_attn.o_proj", "post_attention_layernorm", "mlp")


class LastLayer:
    """Hooks on the parts of `layer` that work token by token; without effect outside of `reading`."""

    def __init__(self, layer: nn.Module) -> None:
        numbers = (getattr(part, "layer_idx", None) for part in layer.modules())
        self.number = next((number for number in numbers if number is not None), None)
        self._places: Tensor | None = None
        self._total = 0
        self._hooks = []
        for name, part in layer.named_modules():
            if name in _TOKEN_BY_TOKEN:
                self._hooks += [part.register_forward_pre_hook(self._taken), part.register_forward_hook(self._put_back)]

    @contextmanager
    def reading(self, places: Tensor, total: int) -> Iterator[None]:
        """Skip all of a row's `total` tokens but those at `places`."""
        self._places, self._total = places, total
        try:
            yield
        finally:
            self._places = None

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _taken(self, part: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._places is None:
            return None
        states, *more = inputs
        return states.index_select(1, self._places), *more

    def _put_back(self, part: nn.Module, inputs: tuple[Any, ...], states: Tensor) -> Tensor | None:
        return None if self._places is None else spread(states, self._places, self._total)
