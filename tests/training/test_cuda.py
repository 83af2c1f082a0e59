"""Packed rows on a GPU: FlashAttention and compiled FlexAttention, both ways. Skipped where there is no GPU."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config

from cai.training.losses import group_loss
from cai.training.scoring import PADDED, Scorer, Way, best_way, try_flash_attention
from tests.training.groups import PAD, SHAPE, classifier, group

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("default"),
]
CONFIG = {**SHAPE, "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.2}
LEAN = Way("flex", lean=True)


def gradients(model, way, groups, in_bfloat16=False) -> torch.Tensor:
    scorer = Scorer(model, PAD, way, in_bfloat16).train()
    group_loss(scorer(groups), groups)[1].backward()
    found = torch.cat([one.grad.flatten() for one in model.parameters()])
    model.zero_grad()
    scorer.restore()
    return found


@pytest.mark.parametrize("in_bfloat16", [False, True])
def test_the_fast_way_is_taken_and_learns_what_padded_rows_learn(in_bfloat16):
    model = classifier(Qwen3Config(**CONFIG)).cuda()
    groups = [group(3, [2, 1]), group(140, [24, 2]), group(20, [9, 4, 7])]
    way = Way("flash", lean=True) if in_bfloat16 else LEAN
    assert best_way(Scorer(model, PAD, PADDED, in_bfloat16), groups) == (way, "")
    right = gradients(model, PADDED, groups)
    for other in (way, LEAN, Way(way.kind), Way("blocks")):
        allowed = 0.1 if in_bfloat16 else 1e-4
        assert (gradients(model, other, groups, in_bfloat16) - right).norm() <= allowed * right.norm()


def test_flash_attention_reads_what_blocks_read():
    try_flash_attention([group(3, [2, 1]), group(140, [24, 2]), group(20, [9, 4, 7])], torch.device("cuda"))


def test_rows_of_many_lengths_are_compiled_for_once():
    model = classifier(Qwen3Config(**CONFIG)).cuda()
    torch._dynamo.utils.counters.clear()
    for blocks in range(1, 15):
        groups = [group(100 * blocks, [20, 9, 4], seed=blocks)]
        right = gradients(model, PADDED, groups)
        assert (gradients(model, LEAN, groups) - right).norm() <= 1e-4 * right.norm()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 8
