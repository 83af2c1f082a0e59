"""A real but tiny judge whose tokenizer merges what a test names, so that labels are not one token where one looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.tiny import SPECIAL, build_tiny_model, with_controls


def merging_tokenizer(merges: Sequence[tuple[str, str]]) -> Any:
    """Bytes, and only these `merges`, across spaces and punctuation; "Ġ" is the space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIAL, *alphabet, *("".join(pair) for pair in merges)]
    bpe = Tokenizer(models.BPE(vocab={piece: at for at, piece in enumerate(pieces)}, merges=list(merges)))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(list(SPECIAL))
    return with_controls(bpe)


def build_judge(folder: Path, merges: Sequence[tuple[str, str]]) -> Path:
    """A tiny random Llama with that tokenizer."""
    build_tiny_model(folder, context=4096)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    merging_tokenizer(merges).save_pretrained(folder)
    return folder
