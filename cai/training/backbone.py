"""From the folder of a language model, decoder or encoder, to a reward model and its tokenizer, ready to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cai.chat import Chat, Template
from cai.context import readable_tokens
from cai.errors import TrainingError
from cai.training.adapters import disable_dropout
from cai.training.templates import closed_template

PAD = "<|pad|>"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, SafetensorError)
"""What transformers raises for a folder whose files are not what they should be."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A float32 sequence classifier with one label, its tokenizer, how dialogues are written, and what was changed.

    `drawn` names the weights that the folder did not hold: the head, and an encoder's pooler.
    """

    model: Any
    tokenizer: Any
    chat: Chat
    notes: tuple[str, ...]
    drawn: frozenset[str] = frozenset()

    @property
    def came_with_head(self) -> bool:
        """Whether the folder held a reward model already: a head, and not a language model alone."""
        return not self.drawn

    @property
    def context(self) -> int | None:
        """The most tokens that the model can read, or None if it does not say."""
        return readable_tokens(self.model)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder; raises `TrainingError` if there is none, or it has no EOS."""
    return _with_eos(_read_tokenizer(folder), folder)


def load_backbone(folder: Path, seed: int, template: Template = "auto") -> Backbone:
    """A reward model that starts from the language model in `folder`.

    Its head starts at zero, so that every answer is worth the same before a label was seen. What a drawn head would say
    of answers is no smaller than what labels near one half ask for, and some of it would stay. Other weights that the
    folder lacks, such as an encoder's pooler, are drawn from `seed`.

    The tokenizer's own template is made to write what `template` does, pad is made a token of its own where it is
    missing or equal to EOS, and pads go to the right, where no architecture scores by them. Raises `TrainingError`.
    """
    tokenizer = _read_tokenizer(folder)
    ends = _own_ends(tokenizer)
    notes = [
        ends, _own_pad(_with_eos(tokenizer, folder)), _pads_on_the_right(tokenizer), _own_template(tokenizer, template)
    ]  # fmt: skip
    model, drawn = _classifier(folder, seed)
    _at_zero(model, drawn)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        _grow(model, len(tokenizer))
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = tokenizer.pad_token_id
    disable_dropout(model)
    return Backbone(model, tokenizer, Chat(tokenizer), tuple(note for note in notes if note), drawn)


def _read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not (folder / "config.json").is_file():
        raise TrainingError(f"{folder} is not a model folder: it has no config.json")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except UNREADABLE as error:
        raise TrainingError(f"no tokenizer can be loaded from {folder}: {cause(error)}") from error


def _with_eos(tokenizer: Any, folder: Path) -> Any:
    if tokenizer.eos_token_id is None:
        raise TrainingError(f"the tokenizer of {folder} has no EOS token, which every answer must end with")
    return tokenizer


def _classifier(folder: Path, seed: int) -> tuple[Any, frozenset[str]]:
    from transformers import AutoModelForSequenceClassification

    # "regression" is the one problem type for which pipelines and servers return the score as it is.
    kind = {"num_labels": 1, "id2label": {0: "reward"}, "label2id": {"reward": 0}, "problem_type": "regression"}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True,
                **kind,
            )  # fmt: skip
        except (*UNREADABLE, RuntimeError) as error:
            raise TrainingError(f"no reward model can be built from {folder}: {cause(error)}") from error
    return model, frozenset(loaded["missing_keys"])


def _at_zero(model: Any, drawn: frozenset[str]) -> None:
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer.out_features == 1 and f"{name}.weight" in drawn:
            for one in layer.parameters():
                nn.init.zeros_(one)


def _own_ends(tokenizer: Any) -> str:
    """Let an encoder's marks of a text's two ends be BOS and EOS; says what was done, or nothing."""
    if tokenizer.eos_token_id is not None or tokenizer.sep_token_id is None or tokenizer.cls_token_id is None:
        return ""
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    return f"the tokenizer had no EOS; its {tokenizer.cls_token} and {tokenizer.sep_token} stand for BOS and EOS"


def _own_pad(tokenizer: Any) -> str:
    """Give the tokenizer a pad token of its own if it needs one; says what was done, or nothing."""
    before = tokenizer.pad_token
    if before is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return ""
    tokenizer.add_special_tokens({"pad_token": PAD})
    was = "no pad token" if before is None else f"pad = EOS ({before})"
    return f"the tokenizer had {was}; {PAD} (id {tokenizer.pad_token_id}) was added as pad"


def _pads_on_the_right(tokenizer: Any) -> str:
    """Let the tokenizer pad behind a text, as rows are in training; says what was done, or nothing."""
    if tokenizer.padding_side == "right":
        return ""
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "right"  # the latter is what is saved
    return "the tokenizer padded on the left; that of the reward model pads on the right, as in training"


def _own_template(tokenizer: Any, template: Template) -> str:
    """Make the tokenizer's own template write what `Chat` writes; says what was done, or nothing."""
    chat = Chat(tokenizer, template)
    closed = closed_template(chat)
    if closed is None:
        return ""
    had_one, tokenizer.chat_template = bool(tokenizer.chat_template), closed
    if chat.mode == "transcript":
        before = "the tokenizer's chat template was not used" if had_one else "the tokenizer had no chat template"
        return f"{before}; the Human/Assistant transcript was stored as one"
    return "the chat template did not end an answer with one EOS; it was wrapped so that it does"


def _grow(model: Any, rows: int) -> None:
    """Make room for new tokens; their rows are zero, for they are only ever masked."""
    old = model.get_input_embeddings().num_embeddings
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[old:] = 0.0


def cause(error: BaseException) -> str:
    """What a library said of a model folder that cannot be read, on one line."""
    broken = "its weights are broken: " if isinstance(error, SafetensorError) else ""
    return broken + " ".join(str(error).split())[:300]
