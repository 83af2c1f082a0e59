"""A causal language model in memory: the two forward passes that scoring and generating are made of."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache

from cai.linear import quickened
from cai.models.questions import Group
from cai.models.tree import TREE, Tree, attend_in_tree, plant
from cai.packed import CannotPack, LastLayer, layers_of


@dataclass(slots=True)
class Filled:
    """Keys and values of some rows, padded on the left, and which of the columns are tokens.

    `mask` is [rows, columns], 1 where a token stands; `lengths` [rows] counts them; `logits` are of the last `keep`
    positions, [rows, keep, vocabulary], float32.
    """

    cache: Any
    mask: torch.Tensor
    lengths: torch.Tensor
    logits: torch.Tensor

    def rows(self, index: torch.Tensor) -> None:
        """Keep, repeat or reorder rows in place."""
        if self.cache is not None:
            self.cache.reorder_cache(index)
        self.mask, self.lengths, self.logits = self.mask[index], self.lengths[index], self.logits[index]


class LoadedModel:
    """The weights on their device. `reach` is how many tokens a text may have for each to attend to all before it."""

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.device = model.device
        self.pad_id = pad_id
        self.reach = _reach(model.config)
        accepted = inspect.signature(model.forward).parameters
        self._positions = "position_ids" in accepted
        self._keeps = "logits_to_keep" in accepted
        self.in_rows: bool | None = None  # whether `read` gives what `fill` gives; None until it was tried
        self._last: LastLayer | None = None

    def shares(self, columns: int) -> bool:
        """Whether a beginning can be computed once for many rows, which with their padding take so many `columns`.

        An attention window counts columns; one that is wider than all that is read masks nothing.
        """
        return columns <= self.reach

    def fill(
        self, rows: Sequence[Sequence[int]], before: Filled | None = None, keep: int = 1, whole: bool = False
    ) -> Filled:
        """Read `rows` (each of at least one token), after what `before` holds: one row for all of them, or one each.

        After `whole` rows single tokens alone may be read (`step`): the cache lets go of what a window has passed.
        """
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for at, row in enumerate(rows):
            ids[at, width - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[at, width - len(row) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        if before is None:
            cache = DynamicCache(config=self.model.config) if whole else DynamicCache()
            known = torch.zeros(len(rows), dtype=torch.long, device=self.device)
            return self._forward(ids, mask, mask, known, cache, keep)
        if len(rows) > 1 and len(before.lengths) == 1:
            before.rows(torch.zeros(len(rows), dtype=torch.long, device=self.device))
        return self._forward(ids, mask, torch.cat([before.mask, mask], dim=1), before.lengths, before.cache, keep)

    def step(self, filled: Filled, tokens: torch.Tensor) -> None:
        """Append one token to every row, in place; `tokens` is [rows]."""
        new = torch.ones_like(tokens)[:, None]
        mask = torch.cat([filled.mask, new], dim=1)
        after = self._forward(tokens[:, None], new, mask, filled.lengths, filled.cache, 1)
        filled.cache, filled.mask, filled.lengths, filled.logits = after.cache, after.mask, after.lengths, after.logits

    @property
    def grows(self) -> bool:
        """Whether `read` may be tried."""
        return self.reach > 0 and self._positions and self._keeps

    def read(self, groups: Sequence[Group], before: Filled | None = None) -> tuple[Tree, torch.Tensor]:
        """`groups` in one row after the one row that `before` holds, which stays as it is.

        Gives the row and the logits of what is read of it, (reads, vocabulary), in the model's own type. Raises
        `CannotPack`, or anything else, if the model's attention is not one that can be told of the row.
        """
        AttentionInterface.register(TREE, attend_in_tree)
        if self._last is None and (layers := list(layers_of(self.model))):
            self._last = LastLayer(layers[-1])
        last = self._last.number if self._last else None
        tree = plant(groups, int(before.lengths[0]) if before else 0, self.model, last)
        reading: AbstractContextManager[None] = nullcontext()
        if self._last:
            reading = self._last.reading(tree.reads, tree.ids.shape[1])
        with _attention(self.model, TREE), reading:
            logits = self.model(
                input_ids=tree.ids, position_ids=tree.positions, past_key_values=copied(before), tree=tree,
                use_cache=before is not None, logits_to_keep=tree.reads,
            ).logits  # fmt: skip
        layers_told, layers_there = len(tree.told), self.model.config.get_text_config(decoder=True).num_hidden_layers
        if layers_told != layers_there:
            raise CannotPack(f"{layers_told} of its {layers_there} layers let their attention be chosen")
        return tree, logits[0]

    def _forward(
        self, ids: torch.Tensor, new: torch.Tensor, mask: torch.Tensor, known: torch.Tensor, cache: Any, keep: int
    ) -> Filled:
        extra: dict[str, Any] = {}
        if self._positions:
            extra["position_ids"] = (known[:, None] + new.cumsum(dim=1) - 1).clamp(min=0)
        if self._keeps:
            extra["logits_to_keep"] = keep
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
        return Filled(out.past_key_values, mask, known + new.sum(dim=1), out.logits[:, -keep:].float())


@contextmanager
def _attention(model: Any, name: str) -> Iterator[None]:
    """The model with another kind of attention, its own in each part of it afterwards."""
    configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}.values()
    before = [(config, config._attn_implementation_internal) for config in configs]
    try:
        model.set_attn_implementation(name)
        yield
    finally:
        for config, kind in before:
            config._attn_implementation_internal = kind


def copied(filled: Filled | None) -> Any:
    """A cache of its own with the same keys and values: reading on changes a cache in place."""
    if filled is None:
        return None
    return DynamicCache([(layer.keys, layer.values) for layer in filled.cache.layers])


def _reach(config: Any) -> float:
    """The most tokens of which every layer lets each attend to all before it, so that a cache may be continued.

    Infinite for plain attention; the width of the window where some layers have one; 0 for any other kind of layer.
    """
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    if "local" in (getattr(text, "attention_layers", None) or ()):
        window = text.window_size
    recurrent = any(hasattr(text, name) for name in ("state_size", "ssm_cfg", "mamba_d_state", "attn_layer_indices"))
    if recurrent or getattr(text, "use_bidirectional_attention", None):
        return 0
    if window is None:
        return math.inf if kinds == {"full_attention"} else 0
    return float(window) if kinds <= {"full_attention", "sliding_attention"} else 0


def load(
    folder: str,
    dtype: str,
    device: str,
    adapter: str | None,
    revision: str | None,
    trust_remote_code: bool,
    pad_id: int,
) -> LoadedModel:
    """Read the weights (safetensors only) and put them on `device` ("auto" takes CUDA, then MPS, then the CPU)."""
    from transformers import AutoModelForCausalLM

    remote = {"trust_remote_code": True, "code_revision": revision} if trust_remote_code else {}
    with _silent():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True, **remote
        )
        model, report = loaded
        if missing := sorted(report["missing_keys"]):
            # transformers fills them with random numbers and goes on.
            raise ValueError(f"the files lack {len(missing)} weights of a language model, such as {missing[0]}")
        if adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    model = quickened(model.to(_device(device)).eval())
    return LoadedModel(model, pad_id)


@contextmanager
def _silent() -> Iterator[None]:
    """No bars and no tables from transformers, nor warnings about names that it has renamed."""
    from transformers.utils import logging as module

    logging: Any = module
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _device(name: str) -> str:
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
