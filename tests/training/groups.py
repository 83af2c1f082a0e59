"""Groups of random tokens, and small backbones with random weights to read them."""

from __future__ import annotations

import random

import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig

from cai.training.rows import Comparison, Group

VOCABULARY, PAD, EOS = 97, 0, 2
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "pad_token_id": PAD, "eos_token_id": EOS, "num_labels": 1,
}  # fmt: skip


def group(stem: int, tails: list[int], seed: int = 0, weight: float = 1.0) -> Group:
    """A stem of so many tokens, answers of so many, EOS included, and a soft label for every two."""
    draws = random.Random(f"{seed}/{stem}/{tails}")
    tokens = [[draws.randrange(3, VOCABULARY) for _ in range(length - 1)] + [EOS] for length in tails]
    pairs = [(a, b) for b in range(len(tails)) for a in range(b)]
    compared = tuple(Comparison(a, b, draws.random(), weight * draws.uniform(0.5, 2.0)) for a, b in pairs)
    return Group([draws.randrange(3, VOCABULARY) for _ in range(stem)], tuple(tokens), compared)


def classifier(config=None, seed: int = 0):
    """A sequence classifier with weights large enough that a wrong token shows in its score."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chosen = config or LlamaConfig(**SHAPE, num_key_value_heads=2, initializer_range=0.2)
        return AutoModelForSequenceClassification.from_config(chosen).eval()
