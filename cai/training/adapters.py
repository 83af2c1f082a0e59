"""Low-rank adapters (Hu et al. 2021): added before training, merged into the weights when the model is saved."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from peft import LoraConfig, get_peft_model

from cai.recipe import LoraSettings

Task = Literal["CAUSAL_LM", "SEQ_CLS"]
_DROPOUTS = ("dropout", "pdrop", "dropout_prob", "dropout_p", "layerdrop")


def lora_config(settings: LoraSettings, task: Task, drawn: Collection[str] = ()) -> LoraConfig:
    """Adapters on every linear layer but the head, which a reward model trains whole, and those of weights `drawn`."""
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type=task,
        exclude_modules=sorted({name.rpartition(".")[0] for name in drawn}) or None,
    )


def with_adapters(model: Any, settings: LoraSettings | None, task: Task, drawn: Collection[str] = ()) -> Any:
    """`model` itself when there are no settings; else its peft wrapper.

    Trainable are the adapters, the head, and the weights that `drawn` names: an adapter would leave them as random as
    they are.
    """
    if settings is None:
        return model
    wrapper = get_peft_model(model, lora_config(settings, task, drawn))
    for name, one in model.named_parameters():
        if name in drawn:
            one.requires_grad_(True)
    return wrapper


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
