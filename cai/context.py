"""How many tokens a model can read, by its configuration and its table of positions."""

from __future__ import annotations

from typing import Any


def context_length(config: Any) -> int | None:
    """`max_position_embeddings` of a model's text configuration; None if it does not say."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if isinstance(length, int) and length > 0 else None


def readable_tokens(model: Any) -> int | None:
    """`context_length` less the places that a table of positions keeps for pads, as RoBERTa's does."""
    length = context_length(model.config)
    places = (one for name, one in model.named_modules() if name.endswith("position_embeddings"))
    pads = (getattr(one, "padding_idx", None) for one in places)
    return length and length - next((pad + 1 for pad in pads if pad is not None), 0)
