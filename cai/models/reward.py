"""Scores of answers under a saved reward model: ours, or any sequence classifier with one label."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cai.context import readable_tokens
from cai.errors import ConfigError, EngineError
from cai.fitting import Row, TooLong, fitted
from cai.records import Messages, assistant

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
    """Indices of the items or sets that lost the left of their prompt, and of those that have no score, by why.

    `reason` is what the template said of the first that it could not render.
    """

    truncated: set[int] = field(default_factory=set)
    too_long: set[int] = field(default_factory=set)
    not_rendered: set[int] = field(default_factory=set)
    reason: str = ""

    @property
    def not_scored(self) -> set[int]:
        """Those that have no score."""
        return self.too_long | self.not_rendered


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
    """A reward model, loaded once. `notes` tells what became of what the last call was given.

    An item over `max_length` tokens loses the left of its prompt, or with `too_long` "reject" it has no score.
    """

    def __init__(
        self, folder: Path, device: str = "auto", batch_tokens: int = 16384, max_length: int | None = None,
        too_long: TooLong = "truncate_left",
    ) -> None:  # fmt: skip
        from cai.chat import Chat
        from cai.linear import quickened

        model, self.tokenizer = _load(folder)
        self.model = quickened(model.to(_device(device)).eval())
        self.chat = Chat(self.tokenizer)
        self.batch_tokens, self.too_long = batch_tokens, too_long
        self.notes = ScoringNotes()
        self.max_length = min(filter(None, (max_length, readable_tokens(self.model))), default=None)

    def score(
        self, items: Sequence[tuple[Messages, str]], progress: Callable[[int, int], None] | None = None
    ) -> list[float]:
        """See `score_responses`. Each answer is cut by itself: its score depends on no other."""
        sets = [(messages, (response,)) for messages, response in items]
        return [score for [score] in self._scored(sets, [[at] for at in range(len(sets))], progress)]

    def score_together(
        self, sets: Sequence[tuple[Messages, Sequence[str]]], progress: Callable[[int, int], None] | None = None
    ) -> list[list[float]]:
        """The scores of every prompt's answers that are compared with one another; `notes` counts such sets.

        As in training, all answers to a prompt lose the same tokens of it, whichever set they are in, so that only the
        answers differ. Where that would take all of its last user turn, the longest answer goes, and the sets that it
        is in are `UNSCORED`, as are those of which one answer cannot be rendered.
        """
        asked: dict[Messages, list[int]] = {}
        for at, (messages, _) in enumerate(sets):
            asked.setdefault(messages, []).append(at)
        return self._scored(sets, asked.values(), progress)

    def _scored(
        self, sets: Sequence[tuple[Messages, Sequence[str]]], groups: Iterable[Sequence[int]],
        progress: Callable[[int, int], None] | None,
    ) -> list[list[float]]:  # fmt: skip
        """The scores of all sets; those of a group, by number, are of one prompt and are cut alike."""
        self.notes = ScoringNotes()
        read: dict[int, list[list[int]]] = {}
        for group in groups:
            read |= self._read(sets, group)
        rows = [ids for at, (_, answers) in enumerate(sets) for ids in read.get(at) or [[]] * len(answers)]
        scores = iter(self._scores(rows, progress))
        return [[next(scores) for _ in answers] for _, answers in sets]

    def _read(self, sets: Sequence[tuple[Messages, Sequence[str]]], group: Sequence[int]) -> dict[int, list[list[int]]]:
        """Token ids of the answers of each set of the group that can be scored; the notes tell of the others."""
        messages = sets[group[0]][0]
        encoded = {text: self._encoded(messages, text) for at in group for text in sets[at][1]}
        rows = {text: row for text, row in encoded.items() if row is not None}
        there = [at for at in group if all(text in rows for text in sets[at][1])]
        answers = [sets[at][1] for at in there]
        left, lost = fitted(self.chat, messages, rows, answers, self.max_length, self.too_long)
        kept = [there[number] for number in left]
        self.notes.not_rendered.update(set(group).difference(there))
        self.notes.too_long.update(set(there).difference(kept))
        self.notes.truncated.update(kept if lost else ())
        return {at: [rows[text].without(lost).ids for text in sets[at][1]] for at in kept}

    def _encoded(self, messages: Messages, response: str) -> Row | None:
        try:
            return Row(*self.chat.encode_supervised((*messages, assistant(response))))
        except ConfigError as error:
            self.notes.reason = self.notes.reason or str(error)
            return None

    def _scores(self, rows: Sequence[list[int]], progress: Callable[[int, int], None] | None) -> list[float]:
        """A score for each row that has tokens."""
        scores = [UNSCORED] * len(rows)
        done = 0
        for batch in _batches(rows, self.batch_tokens):
            for index, score in zip(batch, self._forward([rows[index] for index in batch]), strict=True):
                scores[index] = score
            done += len(batch)
            if progress:
                progress(done, len(rows))
        return scores

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
