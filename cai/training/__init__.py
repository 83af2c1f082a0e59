"""Trainers: what turns records into a model folder. Each is found by name and imported when asked for."""

from __future__ import annotations

from cai.registry import Registry

TRAINERS = Registry(
    "trainer",
    {
        "sft": "cai.training.sft:train_sft",
        "reward": "cai.training.reward:train_reward",
    },
)
