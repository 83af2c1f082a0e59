"""A real but tiny chat model with random weights, built in a test's own folder: nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

LINES = (
    "How do I bake bread? Mix flour, water, salt and yeast, let it rise, and bake it.",
    "Please tell me which of these answers is better, and say why in one sentence.",
    "The first answer is harmful because it explains how to hurt another person.",
    "Rewrite the answer so that it is honest, helpful and kind: (A) yes, (B) no.",
    "What is the capital of France? Paris is the capital of France.",
    "1 2 3 4 5 6 7 8 9 0 {braces} [brackets] <angles> 'quotes' \"double\" – dash … ü é ß 你好 🙂",
)
SPECIAL = ("<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|system|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' + message['role']) }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tiny_model(
    folder: Path, *, vocab_size: int = 512, hidden: int = 64, layers: int = 2, seed: int = 0, context: int = 512
) -> Path:
    """Save a random Llama (about 100k parameters by default) with a byte-level BPE tokenizer and a chat template.

    Equal arguments give equal weights. pad, bos and eos are three tokens; any text can be encoded. The vocabulary
    has at most `vocab_size` entries. Returns `folder`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = build_tiny_tokenizer(vocab_size)
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=context, tie_word_embeddings=True,
        initializer_range=0.1, dtype="float32", **ids,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**ids)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_controls(bpe):
    """The tokenizer of a BPE model that knows `SPECIAL`, with the tiny model's controls and chat template."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", bos_token="<|bos|>", eos_token="<|eos|>",
        extra_special_tokens=list(SPECIAL[3:]), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_tiny_tokenizer(vocab_size: int = 512):
    """A byte-level BPE tokenizer trained on `LINES`, with pad, bos, eos, role tokens and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False, min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(LINES, trainer)
    return with_controls(bpe)
