"""The rows of a token embedding that a training reads; no other gets a gradient, so no other is kept in the optimizer.

Of a vocabulary of 50,000 or 150,000 tokens, a set of preferences has a tenth or less. Adam leaves a row whose gradient
was always zero where it is, but for weight decay, so training the rows that are read and decaying the rest once at the
end is training them all; what it saves is their gradients, their moments, and the passes over them in every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ReadRows:
    """A token embedding with the rows of the tokens `read` alone in its place, until they are put back."""

    def __init__(self, embedding: nn.Embedding, read: Sequence[int], device: torch.device) -> None:
        self._embedding, self._whole, self._pad = embedding, embedding.weight, embedding.padding_idx
        self._device = device
        self.ids = torch.tensor(read, device=device)
        places = torch.full((len(self._whole),), -1, device=device)
        places[self.ids] = torch.arange(len(read), device=device)
        embedding.weight = nn.Parameter(self._whole.detach()[self.ids.to(self._whole.device)])
        if self._pad is not None:
            embedding.padding_idx = read.index(self._pad)
        self._whole.data = self._whole.data.cpu()
        self._hook = embedding.register_forward_pre_hook(lambda _, asked: (places[asked[0]], *asked[1:]))

    def restore(self, decay: float = 1.0) -> None:
        """Put the whole embedding back, with the rows as they are now and the others times `decay`."""
        rows = self._embedding.weight
        self._hook.remove()
        self._embedding.weight, self._embedding.padding_idx = self._whole, self._pad
        self.fill(self._whole, rows, decay)
        self._whole.data = self._whole.data.to(self._device)

    def fill(self, whole: Tensor, rows: Tensor, decay: float) -> None:
        """Write the trained `rows` into `whole`, which is an embedding as it was before, and decay the others."""
        with torch.no_grad():
            whole.mul_(decay)
            whole[self.ids.to(whole.device)] = rows.detach().to(whole.device)


def read_rows(model: Any, tokens: Iterable[int], device: torch.device | None = None) -> ReadRows | None:
    """`model` made to train the embeddings of `tokens` alone; None where they are not trained, or not plain or shared.

    The padding token counts as one of them. `device` is where the model is going to be, if it is not there yet.
    """
    embedding = model.get_input_embeddings()
    plain = isinstance(embedding, nn.Embedding) and embedding.max_norm is None and not embedding.sparse
    if not plain or embedding.scale_grad_by_freq or not embedding.weight.requires_grad:
        return None
    holders = [one for module in model.modules() for one in module._parameters.values() if one is embedding.weight]
    if len(holders) > 1:
        return None
    pads = [] if embedding.padding_idx is None else [embedding.padding_idx]
    return ReadRows(embedding, sorted({*tokens, *pads}), device or embedding.weight.device)
