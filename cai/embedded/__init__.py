"""The model that ships with the package: a small world with known facts, its recipe, its weights, its prompts."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def weights_path() -> Path:
    """The folder of the shipped model: config, safetensors, tokenizer, chat template, model card."""
    return _HERE / "weights"


def prompts_path() -> Path:
    """The shipped prompt file, JSONL: `messages`, `kind`, `split`."""
    return _HERE / "prompts.jsonl"


def people_path() -> Path:
    """The shipped file of ranked answers to harmless prompts: `prompt`, `chosen`, `rejected`, `kind`, `split`."""
    return _HERE / "helpfulness.jsonl"
