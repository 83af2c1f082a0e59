"""A decoder's last layer, computed only where it is read: at the last token of each answer.

Of what the last layer makes of a row, the score reads one state an answer. All that works token by token there (the
queries, what follows attention) can skip the rest; keys and values cannot. The result is the same, bit for bit up to
the order of sums, and a layer's worth of work is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from cai.training.packing import spread

_TOKEN_BY_TOKEN = ("self_attn.q_proj", "self_attn.o_proj", "post_attention_layernorm", "mlp")


class LastLayer:
    """Hooks on the parts of `layer` that work token by token; without effect outside of `reading`."""

    def __init__(self, layer: nn.Module) -> None:
        numbers = (getattr(part, "layer_idx", None) for part in layer.modules())
        self.number = next((number for number in numbers if number is not None), None)
        self._ends: Tensor | None = None
        self._total = 0
        self._hooks = []
        for name, part in layer.named_modules():
            if name in _TOKEN_BY_TOKEN:
                self._hooks += [part.register_forward_pre_hook(self._taken), part.register_forward_hook(self._put_back)]

    @contextmanager
    def reading(self, ends: Tensor, total: int) -> Iterator[None]:
        """Skip all of a row's `total` tokens but those at `ends`."""
        self._ends, self._total = ends, total
        try:
            yield
        finally:
            self._ends = None

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _taken(self, part: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._ends is None:
            return None
        states, *more = inputs
        return states.index_select(1, self._ends), *more

    def _put_back(self, part: nn.Module, inputs: tuple[Any, ...], states: Tensor) -> Tensor | None:
        return None if self._ends is None else spread(states, self._ends, self._total)
