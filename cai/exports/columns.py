"""Columns that exports share: messages as TRL writes them, and their Arrow types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from cai.records import Message

if TYPE_CHECKING:
    import pyarrow as pa

Turn = dict[str, Any]


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Messages as a list of ``{"role", "content"}``."""
    return [message.to_json() for message in messages]


def answer_turn(text: str) -> Turn:
    """An answer as the assistant's turn."""
    return {"role": "assistant", "content": text}


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """A schema from column names to the names of `_types`, none of them null."""
    import pyarrow as pa

    types = _types()
    return pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()])


@cache
def _types() -> dict[str, pa.DataType]:
    """ "turns" is a list of messages, "tagged" one of ``{"from", "value"}``; "history" a list of [user, assistant]."""
    import pyarrow as pa

    def struct(**fields: pa.DataType) -> pa.StructType:
        return pa.struct([pa.field(name, kind) for name, kind in fields.items()])

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    turn, tagged = struct(role=text, content=text), struct(**{"from": text, "value": text})
    vote = struct(
        principle_id=text, order=text, sample=whole, logprob_a=real, logprob_b=real, mass=real, rationale=text,
        sampled=pa.bool_(), count_a=whole, count_b=whole,
    )  # fmt: skip
    return {
        "text": text,
        "int": whole,
        "float": real,
        "bool": pa.bool_(),
        "turn": turn,
        "turns": pa.list_(turn),
        "tagged_turn": tagged,
        "tagged_turns": pa.list_(tagged),
        "history": pa.list_(pa.list_(text)),
        "ranked": pa.list_(struct(rank=whole, completion=pa.list_(turn))),
        "reward_model": struct(style=text, ground_truth=text),
        "extra_info": struct(split=text, index=whole, id=text, kind=text, source=text),
        "votes": pa.list_(vote),
        "provenance": struct(**dict.fromkeys(PROVENANCE, text)),
    }


PROVENANCE = ("constitution_sha256", "model", "judge", "seed", "cai_version")
