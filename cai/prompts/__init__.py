"""Prompt files (JSONL, JSON, CSV, TSV, text, Parquet, a `datasets` folder; also .gz) to `Prompt` records."""

from __future__ import annotations

from cai.prompts.reading import FileReport, PromptSet, read_prompts
from cai.prompts.spec import KEYS, PromptFile, parse_spec
from cai.prompts.splits import opening_turn, split_of

__all__ = ["KEYS", "FileReport", "PromptFile", "PromptSet", "opening_turn", "parse_spec", "read_prompts", "split_of"]
