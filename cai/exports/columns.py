"""Columns that exports share: messages as TRL writes them, and their Arrow types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cai.records import Message

if TYPE_CHECKING:
    import pyarrow as pa


def turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages as a list of ``{"role", "content"}``."""
    return [message.to_json() for message in messages]


def arrow_schema(**columns: str) -> pa.Schema:
    """A schema from column names to "turns", "text", "int" or "float", none of them null."""
    import pyarrow as pa

    message = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
    types = {"turns": pa.list_(message), "text": pa.string(), "int": pa.int64(), "float": pa.float64()}
    return pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()])
