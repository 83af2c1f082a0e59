"""Scores of the answers of many groups in one forward pass, by the fastest way that the backbone gives right."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from cai.packed import CannotPack, LastLayer, layers_of
from cai.training.checks import class_logits, padded
from cai.training.packing import BLOCKS, attend_in_blocks, flex_inputs, pack
from cai.training.parallel import Team
from cai.training.rows import Group
from cai.training.schedule import packed_batches, padded_batches


class Way(NamedTuple):
    """How groups are read: packed, by one of two kinds of attention, or one answer a row.

    "flash" reads blocks too, in half precision on CUDA by FlashAttention. A `lean` way computes of the last layer what
    the score reads, and no more.
    """

    kind: Literal["flash", "flex", "blocks", "padded"]
    lean: bool = False


PADDED = Way("padded")
TOLERANCE = 1e-4
"""Largest |difference| of two float32 hidden states of one answer, packed and padded, times the largest of them."""
FLASH_TOLERANCE = 0.05
"""Largest |difference| of attention to normal random values, in bfloat16 and in float32; wrong texts differ by 1."""
_ATTENTION = {"flash": BLOCKS, "flex": "flex_attention", "blocks": BLOCKS}
_NAMES = {"flash": " by FlashAttention", "flex": " by FlexAttention"}
_PASS_ON_CPU, _PASS_ELSEWHERE = 128, 4096


class Head(nn.Linear):
    """The last layer of a reward model, which gives scores with all of float32's digits whatever the others do."""

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.float(), self.weight, self.bias)


class Scorer(nn.Module):
    """A sequence classifier that reads groups."""

    def __init__(self, model: Any, pad_id: int, way: Way, in_bfloat16: bool = False) -> None:
        super().__init__()
        self.model, self.pad_id, self.way, self.in_bfloat16 = model, pad_id, PADDED, in_bfloat16
        self._attention = model.config._attn_implementation
        self._layers = list(layers_of(model))  # which are of other types once they are sharded
        self._last: LastLayer | None = None
        for layer in model.modules():
            if type(layer) is nn.Linear and layer.out_features == 1:
                layer.__class__ = Head
        self.take(way)

    def take(self, way: Way) -> None:
        """Read groups by `way` from now on."""
        self.restore()
        self.way = way
        if way != PADDED:
            AttentionInterface.register(BLOCKS, attend_in_blocks)
            self.model.set_attn_implementation(_ATTENTION[way.kind])
        self._last = LastLayer(self._layers[-1]) if way.lean else None

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def forward(self, groups: Sequence[Group], states: bool = False) -> Tensor:
        """(answers,) scores in float32, one group's after the other's; or the `states` that `read` gives."""
        if states:
            return self.read(groups)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            if self.way == PADDED:
                scores = class_logits(self.model, *self._rows(groups))
            else:
                scores = self.model.score(self.read(groups))
        first: Tensor = scores[:, 0].float()
        return first.clone()  # the hooks of sharded modules may not be given a view

    def read(self, groups: Sequence[Group]) -> Tensor:
        """(answers, size): what the backbone makes of each answer's last token."""
        backbone = getattr(self.model, self.model.base_model_prefix)
        if self.way == PADDED:
            ids, mask = self._rows(groups)
            hidden: Tensor = backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            return hidden[torch.arange(len(ids), device=self.device), mask.sum(1) - 1]
        last, flex = self._last.number if self._last else None, self.way.kind == "flex"
        told: Literal["masks", "spans", "neither"] = "neither" if flex else "masks"
        if self.way.kind == "flash" and torch.is_autocast_enabled(self.device.type):
            told = "spans"
        packed = pack(groups, self.device, last, told)
        if flex:
            inputs = flex_inputs(packed, self.pad_id)
        else:
            inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "packed": packed}
        skipping: AbstractContextManager[None] = nullcontext()
        if self._last:
            skipping = self._last.reading(packed.ends, inputs["input_ids"].shape[1])
        with skipping:
            row: Tensor = backbone(use_cache=False, **inputs).last_hidden_state[0]
        return row[packed.ends]

    def batches(self, chosen: Sequence[int], groups: Sequence[Group], budget: int) -> list[list[int]]:
        """The groups numbered `chosen` in micro-batches of at most `budget` tokens, pads counted."""
        if self.way != PADDED:
            return packed_batches(chosen, {at: groups[at].tokens for at in chosen}, budget)
        overhead = _PASS_ON_CPU if self.device.type == "cpu" else _PASS_ELSEWHERE
        rows, widths = {at: len(groups[at].tails) for at in chosen}, {at: groups[at].width for at in chosen}
        return padded_batches(chosen, rows, widths, budget, overhead)

    def restore(self) -> Any:
        """The classifier as it came, which is read padded."""
        if self._last:
            self._last.remove()
        if self.way != PADDED:
            self.model.set_attn_implementation(self._attention)
        self.way, self._last = PADDED, None
        return self.model

    def _rows(self, groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
        ids, mask = padded([row for group in groups for row in group.rows], self.pad_id)
        return ids.to(self.device), mask.to(self.device)


def best_way(scorer: Scorer, groups: Sequence[Group], team: Team | None = None) -> tuple[Way, str]:
    """The fastest way whose hidden states are those of the padded one, by trying, and why it is not a faster one.

    The trial takes the shortest, the middle and the longest group, in float32; CUDA's kernels, which differ by type and
    direction, must also manage a backward pass in the type that is trained in. A way must do for every process of the
    `team`. The scorer is left as it came.
    """
    model, team = scorer.model, team or Team.gathered()
    name = type(model).__name__
    if not hasattr(model, "score"):
        return PADDED, f"{name} does not score the last token: answers are read one a row, padded"
    by_width = sorted(groups, key=lambda one: one.width)
    sample = [by_width[0], by_width[len(by_width) // 2], by_width[-1]]
    ways = [Way("blocks", lean=True), Way("blocks")]
    if next(model.parameters()).device.type == "cuda":
        ways = [Way("flex", lean=True), Way("flex"), *ways]
        if scorer.in_bfloat16:
            ways = [Way("flash", lean=True), Way("flash"), *ways]
    problems: dict[str, str] = {}
    with torch.no_grad():  # what is gathered of a sharded model in inference mode could not be trained
        right = scorer(sample, states=True)
        for way in ways:
            problem = team.agreed(_problem(scorer, way, sample, right))
            team.part_again(scorer)
            if not problem:
                break
            problems[way.kind] = f"{name} cannot read packed rows{_NAMES.get(way.kind, '')}: {problem}"
        else:
            way, problems[""] = PADDED, "answers are read one a row, padded"
            if team.shards:  # a whole pass: older torch cannot part again what one that broke off has gathered
                scorer(sample, states=True)
                team.part_again(scorer)
    return way, "; ".join(text for kind, text in problems.items() if kind != way.kind)


def _problem(scorer: Scorer, way: Way, sample: Sequence[Group], right: Tensor) -> str:
    """What is wrong with a way, or nothing. A model may fail in any manner under an attention that it does not know."""
    try:
        scorer.take(way)
        found = scorer(sample, states=True)
        if way.kind in _NAMES:
            try_a_step(scorer, sample)
        if way.kind == "flash":
            try_flash_attention(sample, scorer.device)
    except CannotPack as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        scorer.restore()
    off = float((found - right).abs().max() / right.abs().max().clamp(min=1e-30))
    return "" if off <= TOLERANCE else f"its states differ by {off:.1g}"


def try_a_step(scorer: Scorer, groups: Sequence[Group]) -> None:
    """Forward and backward as in training, for nothing but to see whether they can be done."""
    training = scorer.model.training
    try:
        with torch.inference_mode(False), torch.enable_grad():
            scorer.train()(groups).sum().backward()
    finally:
        scorer.model.train(training)
        scorer.model.zero_grad()


def try_flash_attention(groups: Sequence[Group], device: torch.device) -> None:
    """Raise `CannotPack` unless it reads of random numbers what blocks read: it is not tried in float32."""
    size = (3, 1, 1, sum(group.tokens for group in groups), 64)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)
    query, key, value = noise
    right, _ = attend_in_blocks(None, query, key, value, None, packed=pack(groups, device))
    with torch.autocast(device.type, torch.bfloat16):
        found, _ = attend_in_blocks(None, query, key, value, None, packed=pack(groups, device, told="spans"))
    off = float((found - right).abs().max())
    if not off <= FLASH_TOLERANCE:
        raise CannotPack(f"what it reads differs by {off:.1g}")
