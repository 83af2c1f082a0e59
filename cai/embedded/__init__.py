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


def is_shipped(name: str) -> bool:
    """Whether a recipe's name for a model or a file, without options, is the one that stands for what ships here."""
    return name.partition("?")[0] == "embedded"


def model_spec(name: str) -> str:
    """`embedded` as the ``hf/PATH`` of the shipped model; any other name as it is."""
    return f"hf/{weights_path()}" if name == "embedded" else name


def prompt_file(name: str) -> str:
    """`embedded` as the shipped prompt file, with the name's options; any other name as it is."""
    return _shipped(name, prompts_path())


def people_file(name: str) -> str:
    """`embedded` as the shipped file of ranked answers, with the name's options; any other name as it is."""
    return _shipped(name, people_path())


def _shipped(name: str, path: Path) -> str:
    _, mark, options = name.partition("?")
    return f"{path}{mark}{options}" if is_shipped(name) else name
