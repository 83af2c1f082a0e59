"""Text from users and models is data: it is encoded so that no part of it can become a control token.

A tokenizer turns the string ``<|im_end|>`` into the token that ends a turn, wherever the string comes from. Here the
strings are masked inside contents before a chat template sees them; what is left of them in the rendered text is the
template's own, and the masked ones are encoded as the plain characters that they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

_OPEN = "\U0010fa00"
_ANCHOR = "\U0010fa01"
_FIRST = 0xF0000
_BRACKETED = re.compile(r"[<\[{|｜].*[>\]}|｜]", re.DOTALL)


def control_strings(tokenizer: Any, template: str) -> dict[str, int]:
    """Every string that `tokenizer` reads as a control token, with its id.

    These are its special tokens, and the added tokens that are bracketed (``<|user|>``, ``[INST]``) or named by the
    chat template: many tokenizers add those without declaring them special. Added words and runs of spaces are text.
    """
    special = set(tokenizer.all_special_tokens)
    special |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    found = {}
    for text, token_id in tokenizer.get_added_vocab().items():
        if text in special or (text.strip() and (_BRACKETED.fullmatch(text) or text in template)):
            found[text] = int(token_id)
    for text in special - found.keys():
        found[text] = int(tokenizer.convert_tokens_to_ids(text))
    return {text: found[text] for text in sorted(found, key=len, reverse=True) if text}


class GuardedEncoder:
    """Encodes text in which control tokens stand only where they were written outside `mask`.

    `encode(mask(a) + b)` reads control strings in b and none in a. If a holds none, the result is what the tokenizer
    itself gives for a + b, without the BOS or EOS that it may add.
    """

    def __init__(self, tokenizer: Any, template: str = "") -> None:
        self.tokenizer = tokenizer
        self.strings = control_strings(tokenizer, template)
        self._masked = [_OPEN, *self.strings]
        self._code = {text: _OPEN + chr(_FIRST + index) for index, text in enumerate(self._masked)}
        either = "|".join(re.escape(text) for text in self.strings)
        self._pattern = re.compile(f"({either})" if either else "(?!)()")
        self._mask_pattern = re.compile("|".join(filter(None, (re.escape(_OPEN), either))))
        unknown = getattr(tokenizer, "unk_token_id", None)
        self.ids = frozenset(self.strings.values()) - {unknown}

    def mask(self, text: str) -> str:
        """`text` with every control string in it replaced by two private characters that stand for it."""
        return self._mask_pattern.sub(lambda match: self._code[match.group()], text)

    def unmask(self, text: str) -> str:
        """The inverse of `mask`."""
        return re.sub(f"{_OPEN}(.)", lambda match: self._masked[ord(match.group(1)) - _FIRST], text)

    def control(self, text: str) -> list[str]:
        """The control strings in masked `text`, in order."""
        return [match.group() for match in self._pattern.finditer(text)]

    def last_control(self, text: str) -> int | None:
        """Where the last control string of masked `text` begins."""
        starts = [match.start() for match in self._pattern.finditer(text)]
        return starts[-1] if starts else None

    def encode(self, text: str) -> list[int]:
        """Token ids of masked `text`."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each of masked `texts`; faster than one after the other."""
        plain = {at: text for at, text in enumerate(texts) if _OPEN not in text}
        encoded = dict(zip(plain, self._standard(list(plain.values())), strict=True)) if plain else {}
        return [
            encoded[at] if at in encoded and self._keeps_controls(encoded[at], text) else self.encode_runs(text)
            for at, text in enumerate(texts)
        ]

    def _keeps_controls(self, ids: Sequence[int], text: str) -> bool:
        """Whether the control tokens are those that `text` was written with."""
        written = [self.strings[one] for one in self.control(text)]
        return [one for one in ids if one in self.ids] == [one for one in written if one in self.ids]

    def encode_runs(self, text: str) -> list[int]:
        """Token ids of masked `text`, run by run between its control tokens: slower, and right for every text."""
        ids: list[int] = []
        pieces = self._pattern.split(text)
        for index in range(0, len(pieces), 2):
            run = pieces[index]
            if index and self._flag(pieces[index - 1], "rstrip"):
                run = run.lstrip()
            if index + 1 < len(pieces) and self._flag(pieces[index + 1], "lstrip"):
                run = run.rstrip()
            if run:
                ids += self._plain_run(self.unmask(run), first=index == 0 or not ids)
            if index + 1 < len(pieces):
                ids.append(self.strings[pieces[index + 1]])
        return ids

    def _standard(self, texts: list[str]) -> list[list[int]]:
        encoded = self.tokenizer(
            texts, add_special_tokens=False, split_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return list(encoded["input_ids"])

    def _plain_run(self, run: str, first: bool) -> list[int]:
        ids = self._plain(run, first)
        if self.ids.isdisjoint(ids):
            return ids
        # A unigram vocabulary may hold the control string itself as a piece: give it no chance to be seen whole.
        by_character = [one for character in run for one in self._plain(character, False)]
        return [one for one in by_character if one not in self.ids]

    def _plain(self, run: str, first: bool) -> list[int]:
        if self._backend is None:
            return self._plain_slow(run)
        ids = self._backend.encode(run if first else _ANCHOR + run, add_special_tokens=False).ids
        return [self._renumbered.get(one, one) for one in (ids if first else ids[1:])]

    def _plain_slow(self, run: str) -> list[int]:
        tokens: list[str] = []
        for piece in re.split("|".join(f"(?<={re.escape(text[0])})(?={re.escape(text[1:])})" for text in self.strings
                                       if len(text) > 1) or "(?!)", run):  # fmt: skip
            tokens += self.tokenizer.tokenize(piece, split_special_tokens=True)
        return list(self.tokenizer.convert_tokens_to_ids(tokens))

    def _flag(self, text: str, side: str) -> bool:
        token = self.tokenizer.added_tokens_decoder.get(self.strings[text])
        return bool(getattr(token, side, False))

    @cached_property
    def _backend(self) -> Any:
        """The tokenizer's own Rust pipeline without its control tokens; None for a tokenizer written in Python."""
        if not getattr(self.tokenizer, "is_fast", False):
            return None
        from tokenizers import AddedToken, Tokenizer

        layout = json.loads(self.tokenizer.backend_tokenizer.to_str())
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        kept = [
            AddedToken(one["content"], **{flag: one[flag] for flag in flags})
            for one in layout["added_tokens"]
            if one["content"] not in self.strings
        ]
        layout |= {"added_tokens": [], "truncation": None, "padding": None, "post_processor": None}
        plain = Tokenizer.from_str(json.dumps(layout))
        plain.add_tokens(kept)
        plain.add_special_tokens([AddedToken(_ANCHOR, normalized=False, special=True)])
        return plain

    @cached_property
    def _renumbered(self) -> dict[int, int]:
        """Ids that text tokens have in `_backend` -> the ids that they have in the tokenizer."""
        new = {token.content: one for one, token in self._backend.get_added_tokens_decoder().items()}
        return {one: int(self.tokenizer.convert_tokens_to_ids(text)) for text, one in new.items() if text != _ANCHOR}
