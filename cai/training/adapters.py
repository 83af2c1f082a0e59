"""Low-rank adapters (Hu et al. 2021): added before training, merged into the weights when the model is saved."""

from __future__ import annotations

from typing import Any, Literal

from peft import LoraConfig, get_peft_model

from cai.recipe import LoraSettings

_DROPOUTS = ("dropout", "pdrop", "dropout_prob", "dropout_p", "layerdrop")


def lora_config(settings: LoraSettings, task: Literal["CAUSAL_LM", "SEQ_CLS"]) -> LoraConfig:
    """Adapters on every linear layer but the head; a reward head is trained whole."""
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type=task,
    )


def with_adapters(model: Any, settings: LoraSettings | None, task: Literal["CAUSAL_LM", "SEQ_CLS"]) -> Any:
    """`model` itself when there are no settings; else its peft wrapper, with only the adapters (and head) trainable."""
    return model if settings is None else get_peft_model(model, lora_config(settings, task))


def merged(model: Any) -> Any:
    """The plain model, with adapters folded into its weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def disable_dropout(model: Any) -> None:
    """Set every dropout of a backbone to zero, whether a layer of its own or a number that a layer holds.

    Noise in a score helps no comparison, and packed and padded rows would differ.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and name.endswith(_DROPOUTS):
                setattr(module, name, 0.0)
