"""Scores of answers under a saved reward model: ours, or any sequence classifier with one label."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cai.context import readable_tokens
from cai.errors import EngineError
from cai.records import Messages, assistant

TooLong = Literal["truncate_left", "reject"]
UNSCORED = math.nan
"""The score of an answer that leaves no room for any of its question, or that the template cannot render."""


def score_responses(
    model: Path, items: Iterable[tuple[Messages, str]], *, device: str = "auto", batch_tokens: int = 16384,
    max_length: int | None = None, progress: Callable[[int, int], None] | None = None,
) -> list[float]:  # fmt: skip
    """One score for every (prompt, response), in order; in float32, whatever the neighbours in a batch.

    Rendered as in training. A dialogue over `max_length` tokens (by default the model's context) loses the left of its
    prompt, as in training; one that would lose all of its last user turn is `UNSCORED`. Raises `EngineError` for a
    folder that holds no reward model.
    """
    scorer = RewardScorer(model, device, batch_tokens, max_length)
    return scorer.score(list(items), progress)


@dataclass(slots=True)
class ScoringNotes:
    """Indices of the items that lost the left of their prompt, and of those that have no score, by why.

    `reason` is what the template said of the first that it could not render.
    """

    truncated: set[int] = field(default_factory=set)
    too_long: set[int] = field(default_factory=set)
    not_rendered: set[int] = field(default_factory=set)
    reason: str = ""


def trained_with(folder: Path) -> tuple[int | None, TooLong]:
    """`max_length` and `too_long` of the training that a reward model comes from, as its training.json tells them.

    Of a model that was trained elsewhere: None, which is its context, and "truncate_left".
    """
    try:
        settings = json.loads((folder / "training.json").read_text(encoding="utf-8"))["settings"]
        length, policy = settings["max_length"], settings["too_long"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, "truncate_left"
    return (length if isinstance(length, int) else None), ("reject" if policy == "reject" else "truncate_left")


class RewardScorer:
    """A reward model, loaded once. `notes` tells what became of the items of the last call of `score`.

    An item over `max_length` tokens loses the left of its prompt, or with `too_long` "reject" it has no score.
    """

    def __init__(
        self, folder: Path, device: str = "auto", batch_tokens: int = 16384, max_length: int | None = None,
        too_long: TooLong = "truncate_left",
    ) -> None:  # fmt: skip
        from cai.chat import Chat

        self.model, self.tokenizer = _load(folder)
        self.model = self.model.to(_device(device)).eval()
        self.chat = Chat(self.tokenizer)
        self.batch_tokens, self.too_long = batch_tokens, too_long
        self.notes = ScoringNotes()
        self.max_length = min(filter(None, (max_length, readable_tokens(self.model))), default=None)

    def score(
        self, items: Sequence[tuple[Messages, str]], progress: Callable[[int, int], None] | None = None
    ) -> list[float]:
        """See `score_responses`."""
        self.notes = ScoringNotes()
        rows = [self._encoded(at, messages, response) for at, (messages, response) in enumerate(items)]
        scores = [UNSCORED] * len(rows)
        done = 0
        for batch in _batches(rows, self.batch_tokens):
            for index, score in zip(batch, self._forward([rows[index] for index in batch]), strict=True):
                scores[index] = score
            done += len(batch)
            if progress:
                progress(done, len(rows))
        return scores

    def _encoded(self, at: int, messages: Messages, response: str) -> list[int]:
        """Token ids; none if the row cannot be scored."""
        from cai.errors import ConfigError

        try:
            ids, answer = self.chat.encode_supervised((*messages, assistant(response)))
        except ConfigError as error:
            self.notes.not_rendered.add(at)
            self.notes.reason = self.notes.reason or str(error)
            return []
        excess = len(ids) - self.max_length if self.max_length else 0
        kept = int(ids[0] == self.tokenizer.bos_token_id)
        if excess <= 0:
            return ids
        asked = self.chat.question_end(messages)
        unasked = asked is not None and kept + excess >= asked
        if self.too_long == "reject" or unasked or kept + excess > answer.index(True):
            self.notes.too_long.add(at)
            return []
        self.notes.truncated.add(at)
        return ids[:kept] + ids[kept + excess :]

    def _forward(self, rows: Sequence[list[int]]) -> list[float]:
        import torch

        width = max(map(len, rows))
        pad_id = self.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        scores: list[float] = logits[:, 0].float().tolist()
        return scores


def _batches(rows: Sequence[list[int]], budget: int) -> Iterator[list[int]]:
    """Indices of the rows that have tokens, longest first, so that rows × widest ≤ `budget`."""
    order = sorted((index for index, row in enumerate(rows) if row), key=lambda index: -len(rows[index]))
    start = 0
    while start < len(order):
        size = max(1, budget // len(rows[order[start]]))
        yield order[start : start + size]
        start += size


def _load(folder: Path) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    if not (folder / "config.json").is_file():
        raise EngineError(f"{folder} is not a model folder: it has no config.json")
    library: Any = logging
    bars, verbosity = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except SafetensorError as error:
        raise EngineError(f"no reward model can be loaded from {folder}: its weights are broken: {error}") from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise EngineError(f"no reward model can be loaded from {folder}: {' '.join(str(error).split())}") from error
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()
    if report["missing_keys"]:
        raise EngineError(f"{folder} is not a reward model: it has no weights for {', '.join(report['missing_keys'])}")
    if model.config.num_labels != 1:
        raise EngineError(f"{folder} has {model.config.num_labels} labels; a reward model has one")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id != model.config.get_text_config().pad_token_id:
        raise EngineError(f"{folder}: the tokenizer's pad token is not config.pad_token_id; scores would be misread")
    return model, tokenizer


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
