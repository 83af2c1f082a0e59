"""What a reward model must pass before it is saved, and the scores that are stored beside its weights."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from cai.chat import Chat
from cai.errors import TrainingError
from cai.records import Json, Messages, assistant, user
from cai.training.templates import template_ids

TOLERANCE = 1e-4
"""Largest allowed |difference| of two float32 scores of one text, times max(1, |score|)."""

GOLDEN: tuple[Messages, ...] = (
    (user("What is the capital of France?"), assistant("Paris.")),
    (user("What is the capital of France?"), assistant("I would rather not say; ask somebody else.")),
    (user("How do I boil an egg?"), assistant("Put it in boiling water.\n\nWait eight minutes, then cool it.")),
    (
        user("Tell me a joke."),
        assistant("Why?"),
        user("Because."),
        assistant("Then here is one about {braces} & <tags>."),
    ),
    (user("Wie geht es dir?"), assistant("Gut, danke – und dir? 🙂")),
)


def score_ids(
    model: Any, rows: Sequence[Sequence[int]], batch_size: int, pad_id: int, left: bool = False, positions: bool = False
) -> list[float]:
    """One score for every row of token ids; `left` pads before a row, `positions` counts from its first token."""
    scores: list[float] = []
    device = next(model.parameters()).device
    for start in range(0, len(rows), batch_size):
        ids, mask = padded(rows[start : start + batch_size], pad_id, left)
        extra = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0).to(device)} if positions else {}
        with torch.inference_mode():
            logits = class_logits(model, ids.to(device), mask.to(device), **extra)
        scores += logits[:, 0].float().tolist()
    return scores


def class_logits(model: Any, ids: torch.Tensor, mask: torch.Tensor, **extra: torch.Tensor) -> torch.Tensor:
    """(rows, labels) of a sequence classifier, without a cache where it has one."""
    options: Json = {"use_cache": False} if "use_cache" in signature(model.forward).parameters else {}
    logits: torch.Tensor = model(input_ids=ids, attention_mask=mask, **extra, **options).logits
    return logits


def padded(rows: Sequence[Sequence[int]], pad_id: int, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (rows, widest), integers."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for at, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[at, where] = torch.tensor(row, dtype=torch.long)
        mask[at, where] = 1
    return ids, mask


def check_ids(tokenizer: Any, rows: Sequence[Sequence[int]]) -> None:
    """Raise `TrainingError` unless pad ≠ EOS, and every row has at most one BOS and ends with an EOS."""
    pad, bos, eos = tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id
    if pad is None or pad == eos:
        raise TrainingError(f"pad token {tokenizer.pad_token!r} equals EOS: the score would be read at the wrong token")
    for row in rows:
        if row[-1] != eos:
            raise TrainingError(f"an answer ends with {tokenizer.decode(row[-1:])!r}, not with {tokenizer.eos_token!r}")
        if bos is not None and bos != eos and list(row).count(bos) > 1:
            raise TrainingError(f"a dialogue holds {tokenizer.bos_token!r} {list(row).count(bos)} times, not once")


def check_scores(model: Any, rows: Sequence[Sequence[int]], pad_id: int) -> list[str]:
    """Raise `TrainingError` unless scores agree at batch 1 and 8 and with pads on either side; returns notes.

    A model with absolute positions agrees on left padding only if it is given `position_ids`, an encoder that is scored
    at its first token not at all; both are noted.
    """
    if pad_id != model.config.get_text_config().pad_token_id or pad_id != model.config.pad_token_id:
        raise TrainingError(f"config.pad_token_id is not {pad_id}, the tokenizer's pad")
    alone = score_ids(model, rows, 1, pad_id)
    _require_equal(alone, score_ids(model, rows, 8, pad_id), "batch 1 and batch 8, pads on the right")
    if not hasattr(model, "score"):
        return [f"{type(model).__name__} does not score the last token: pad on the right"]
    left = score_ids(model, rows, 8, pad_id, left=True)
    if not _differences(alone, left):
        return []
    _require_equal(alone, score_ids(model, rows, 8, pad_id, left=True, positions=True), "pads on the right and left")
    return ["this architecture has absolute positions: pad on the right, or give position_ids"]


def golden_scores(model: Any, tokenizer: Any, chat: Chat) -> tuple[Json, list[str]]:
    """A few dialogues with their token ids and scores, as they are stored in golden_scores.json; and notes."""
    rows = [chat.encode_dialogue(messages) for messages in GOLDEN]
    scores = score_ids(model, rows, 1, tokenizer.pad_token_id)
    texts = [[message.to_json() for message in messages] for messages in GOLDEN]
    same = [_same_ids(tokenizer, text, row) for text, row in zip(texts, rows, strict=True)]
    entries = [
        {"messages": text, "input_ids": row, "score": score}
        for text, row, score in zip(texts, rows, scores, strict=True)
    ]
    note = "apply_chat_template does not give the ids that were trained on; use input_ids from cai.chat"
    golden = {"tolerance": TOLERANCE, "dtype": "float32", "chat_template_agrees": all(same), "rows": entries}
    return golden, [] if all(same) else [note]


def check_saved(folder: Path, golden: Json) -> None:
    """Raise `TrainingError` unless the folder, read back with transformers alone, gives the golden ids and scores.

    The scores are those of one batch, padded as its own tokenizer pads.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    chat = Chat(tokenizer)
    rows = [row["input_ids"] for row in golden["rows"]]
    if [chat.encode_dialogue(messages) for messages in GOLDEN] != rows:
        raise TrainingError(f"the tokenizer saved in {folder} does not give the ids that were trained on")
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    with torch.inference_mode():
        scores = class_logits(model.eval(), batch["input_ids"], batch["attention_mask"])[:, 0].tolist()
    saved = f"the saved one, in one batch padded on the {tokenizer.padding_side}"
    _require_equal([row["score"] for row in golden["rows"]], scores, f"the model in memory and {saved}")


def _same_ids(tokenizer: Any, text: list[dict[str, str]], row: list[int]) -> bool:
    from jinja2 import TemplateError

    try:
        return template_ids(tokenizer, text) == row
    except (TemplateError, TypeError, ValueError):
        return False


def _differences(one: Sequence[float], other: Sequence[float]) -> list[float]:
    pairs = zip(one, other, strict=True)
    return [abs(a - b) for a, b in pairs if not abs(a - b) <= TOLERANCE * max(1.0, abs(a))]


def _require_equal(one: Sequence[float], other: Sequence[float], what: str) -> None:
    wrong = _differences(one, other)
    if wrong:
        raise TrainingError(
            f"scores differ between {what}: by up to {max(wrong):.2g} in {len(wrong)} of {len(one)} rows"
        )
