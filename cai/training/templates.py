"""A chat template that writes a dialogue just as it was written in training, so that others score what we score."""

from __future__ import annotations

import json
from typing import Any

from cai.chat import _FIXED, Chat
from cai.records import assistant, user

_TRANSCRIPT = r"""{%- set speaker = {'system': 'System', 'user': 'Human', 'assistant': 'Assistant'} -%}
BOS{%- for message in messages -%}
{{- '\n\n' + speaker[message['role']] + ': ' -}}
{{- message['content'] | replace('\n\nSystem:', '\n\n System:') | replace('\n\nHuman:', '\n\n Human:')
    | replace('\n\nAssistant:', '\n\n Assistant:') -}}
{%- endfor -%}
{{- '\n\nAssistant:' if add_generation_prompt else eos_token -}}"""


def closed_template(chat: Chat) -> str | None:
    """A template under which `apply_chat_template` alone gives the ids of `chat.encode_dialogue`.

    The transcript becomes one; a chat template is wrapped so that an answer ends with one EOS and that the day, and
    other values that a caller might give, are what `Chat` takes. None if the tokenizer's own does all this already.
    """
    if chat.mode == "transcript":
        begins = chat.encode_dialogue((user("a"), assistant("b")))[0] == chat.tokenizer.bos_token_id
        return _TRANSCRIPT.replace("BOS", "{{- bos_token -}}" if begins else "")
    source, tail, end = chat._template.removesuffix("\n"), chat._tail, chat._end
    given = "".join(f"{{% set {name} = {json.dumps(value)} %}}" for name, value in _FIXED.items() if name in source)
    if tail == end and not given and chat._template == chat.tokenizer.chat_template:
        return None
    cut = f"whole[:{-len(tail)}]" if tail else "whole"
    return (
        f"{given}{{% if add_generation_prompt or messages[-1]['role'] != 'assistant' %}}{source}"
        f"{{% else %}}{{% set whole %}}{source}{{% endset %}}"
        f"{{{{ {cut} + {json.dumps(end, ensure_ascii=False)} }}}}{{% endif %}}"
    )


def template_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """What anybody gets who renders `messages` with the tokenizer alone."""
    encoded = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)
    return list(encoded["input_ids"])
