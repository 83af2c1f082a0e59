"""The attention that stands in for flash-attn reads what transformers' own reads. Skipped where there is no GPU."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from tests.benchmarks.torch_flash import NAME, flash_attention


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_padded_rows_are_read_and_learned_from_alike():
    if flash_attention() != NAME:
        pytest.skip("flash-attn is installed")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=128, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_labels=1, pad_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config).cuda()
    ids = torch.randint(1, 50, (3, 40), device="cuda")
    mask = torch.ones_like(ids)
    for row, length in enumerate((40, 7, 23)):
        ids[row, : 40 - length], mask[row, : 40 - length] = 0, 0  # on the left, where a row would read its pads
    found = []
    for kind in ("sdpa", NAME):
        model.set_attn_implementation(kind)
        with torch.autocast("cuda", torch.bfloat16):
            scores = model(input_ids=ids, attention_mask=mask).logits
        scores.sum().backward()
        found.append((scores.float(), torch.cat([one.grad.flatten() for one in model.parameters()])))
        model.zero_grad()
    (scores, gradients), (flash_scores, flash_gradients) = found
    assert (scores - flash_scores).abs().max() <= 0.05 * scores.abs().max()
    assert (gradients - flash_gradients).norm() <= 0.05 * gradients.norm()
