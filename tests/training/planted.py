"""A task that a small model can learn: the better answer is the one about France."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import torch

from cai.records import Messages, Preference, Prompt, assistant, user
from cai.training.backbone import Backbone

GOOD = ("Paris is the capital.", "It is Paris.", "The capital of France is Paris.")
BAD = ("Mix flour and water.", "It explains how to hurt.", "1 2 3 4 5 6.")


def preferences(n: int, p: float = 1.0, seed: int = 0) -> list[Preference]:
    """`n` pairs, each with its own prompt, the better answer on either side."""
    draws = random.Random(seed)
    rows = []
    for number in range(n):
        prompt = Prompt.make((user(f"What is the capital? {'Please. ' * draws.randint(0, 3)}{number}"),))
        one = Preference(prompt, draws.choice(GOOD), draws.choice(BAD), p)
        rows.append(one if draws.random() < 0.5 else one.swap())
    return rows


def dialogues(n: int, seed: int = 0) -> list[Messages]:
    """`n` questions, all answered well."""
    draws = random.Random(seed)
    return [(user(f"What is the capital? {number}"), assistant(draws.choice(GOOD))) for number in range(n)]


def weights_hash(folder: Path) -> str:
    """Of the saved tensors, byte for byte."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def with_a_drawn_head(made: Backbone) -> Backbone:
    """The same, with scores that differ before any training."""
    torch.manual_seed(0)
    torch.nn.init.normal_(made.model.score.weight, std=0.2)
    return made
