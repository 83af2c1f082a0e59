"""Asking the embedded model in batches, with transformers alone: text, and log-probabilities of the two labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.dialogues import LABELS
from cai.embedded.tokenizer import load_tokenizer
from cai.errors import EngineError
from cai.records import Messages


def usable(device: str) -> str:
    """The device, if it is there. Raises `EngineError`."""
    import torch

    try:
        torch.device(device)
    except RuntimeError:
        raise EngineError(f"device {device} is not known (expected cpu, cuda, cuda:1, mps, …)") from None
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"device {device} is not there: {str(error).splitlines()[0]}; cpu is") from None
    return device


@dataclass(frozen=True, slots=True)
class Asker:
    """A loaded model in float32."""

    model: Any
    tokenizer: Any
    batch_size: int = 64

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Asker:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        quiet: Any = logging.disable_progress_bar
        quiet()
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        model = model.to(device).eval()
        return cls(model, load_tokenizer(folder))

    def texts(
        self, dialogues: Sequence[Messages], max_tokens: int = 120, seed: int | None = 0, prefix: str = ""
    ) -> list[str]:
        """What the assistant says after `prefix`, at T = 1 (greedy where `seed` is None); unfinished it ends in "…"."""
        import torch

        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        if seed is not None:
            torch.manual_seed(seed)
            sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        said: list[str] = [""] * len(dialogues)
        rendered = [self._render(messages, prefix) for messages in dialogues]
        for indices in self._batches(rendered):
            encoded = self._pad([rendered[index] for index in indices])
            with torch.inference_mode():
                out = self.model.generate(**encoded, max_new_tokens=max_tokens, **sampling)
            for index, row in zip(indices, out[:, encoded["input_ids"].shape[1] :].tolist(), strict=True):
                said[index] = self._decode(row)
        return said

    def label_logprobs(
        self, dialogues: Sequence[tuple[Messages, str]], choices: tuple[str, str] = LABELS
    ) -> list[tuple[float, float]]:
        """Log-probabilities of the two choices after each dialogue and assistant prefix, over the whole vocabulary.

        Raises `EngineError` unless each choice is one token of the model's.
        """
        import torch

        written = self.tokenizer(list(choices), add_special_tokens=False)["input_ids"]
        if any(len(one) != 1 for one in written):
            raise EngineError(f"the model writes {choices[0]!r} and {choices[1]!r} with more than one token each")
        ids = [one for [one] in written]
        scores: list[tuple[float, float]] = [(0.0, 0.0)] * len(dialogues)
        rendered = [self._render(messages, prefix) for messages, prefix in dialogues]
        for indices in self._batches(rendered):
            encoded = self._pad([rendered[index] for index in indices])
            with torch.inference_mode():
                logits = self.model(**encoded, logits_to_keep=1).logits[:, -1].float()
            both = logits.log_softmax(-1)[:, ids].tolist()
            for index, (a, b) in zip(indices, both, strict=True):
                scores[index] = (a, b)
        return scores

    def _render(self, messages: Messages, prefix: str = "") -> list[int]:
        text = self.tokenizer.apply_chat_template(
            [message.to_json() for message in messages], tokenize=False, add_generation_prompt=True
        )
        return list(self.tokenizer(text + prefix, add_special_tokens=False)["input_ids"])

    def _batches(self, rendered: list[list[int]]) -> list[list[int]]:
        order = sorted(range(len(rendered)), key=lambda index: len(rendered[index]))
        return [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]

    def _pad(self, rows: list[list[int]]) -> dict[str, Any]:
        import torch

        width, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        ids = [[pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self.model.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def _decode(self, row: list[int]) -> str:
        end = self.tokenizer.eos_token_id
        text: str = self.tokenizer.decode(row[: row.index(end)] if end in row else row, skip_special_tokens=True)
        return text.strip() if end in row else f"{text.strip()}…"
