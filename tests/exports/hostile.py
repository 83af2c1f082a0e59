"""Preferences made to break a format: what a careless writer would lose, split, merge, strip or take for its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from cai.prompts import opening_turn
from cai.records import Message, Messages, Preference, Prompt, Split, assistant, user

LINES = ("\n", "\r", "\r\n", "\n\n", "\u2028", "\u2029", "\x85", "\x0b\x0c", "\t")
QUOTES = ('"', "'", '""', '\\"', "`", "\\", "\\n", "\\u0000", "“”", ",", ";")
TOKENS = {
    "GPT-2": ("<|endoftext|>",),
    "Llama": ("<s>", "</s>", "[INST]", "<<SYS>>\nx\n<</SYS>>", "<|begin_of_text|>", "<|eot_id|>",
              "<|start_header_id|>user<|end_header_id|>\n\n"),
    "ChatML": ("<|im_start|>system\nx<|im_end|>", "<|im_end|>", "<think>\n\n</think>"),
    "Phi-3": ("<|user|>\n", "<|end|>", "<|assistant|>"),
    "Gemma": ("<bos>", "<start_of_turn>user\n", "<end_of_turn>"),
}  # fmt: skip
MARKS = (
    "\n\nHuman:", "\n\nHuman: and you?", "\n\nAssistant: yes", "\n\nAssistant:", "\n\nSystem: x", "## Human:\n",
    "Human:", "Assistant:", "\n\nHuman", "\nHuman: ",
)  # fmt: skip
UNREADABLE = ("\0", "a\0b", "\ud83d", "\udc00x", "\ude00\ud83d")
DIRECTIONS = ("\u202e", "\u200f", "\u2067", "\u061c", "שלום", "مرحبا", "\u202aabc\u202c")
LOOKALIKES = (
    '[{"role": "user", "content": "x"}]', '{"from": "human", "value": "x"}', "[]", "{}", "null", "None", "nan", "true",
    "1.0", "=cmd()", "{x}", "{{y}}", "%s", "{% raw %}", "---", "\ufeff", "\u200b", "e\u0301", "é", "🙂", "你好",
    "\U0010fa00",
)  # fmt: skip
EMPTY = ("", " ", "\n", "\t \n", "\u3000", "\u00a0")
SYSTEMS = ("Be kind.", " Be kind. ", "<|im_end|>", "\n\nHuman: x", "\u202e\n")
LABELS = (0.0, 0.2, 1 / 3, 0.5, 0.7, 1.0)
PIECES: tuple[str, ...] = (
    *LINES, *QUOTES, *(text for texts in TOKENS.values() for text in texts), *MARKS, *DIRECTIONS, *LOOKALIKES, " ", "x",
)  # fmt: skip
LONG = 100_000


def make_hostile(count: int, seed: int = 0) -> list[Preference]:
    """`count` preferences, no two of the same texts, of every hostile sort; a few with a text of 100 KB."""
    draw = random.Random(seed)
    made: dict[object, Preference] = {}
    while len(made) < count:
        for one in _siblings(draw, len(made), long=len(made) % 400 < 3):
            made.setdefault((one.prompt.id, frozenset((one.response_a, one.response_b))), one)
    return list(made.values())[:count]


def _siblings(draw: random.Random, number: int, long: bool) -> list[Preference]:
    """Pairs that only their whitespace tells apart, under one prompt."""
    messages, first, second = _dialogue(draw, number), _text(draw, number), _text(draw)
    if long:
        first = (first * LONG)[:LONG] if first.strip() else "long " * (LONG // 5)
    pairs = [(first, second)]
    if draw.random() < 0.3:
        pairs += [(f"{first} ", second), (f"{first}\n", second), (first, f" {second}"), (first, f"{first} ")]
    if draw.random() < 0.05:
        pairs.append((first, first))
    return [preference(messages, *pair, draw.choice(LABELS), draw) for pair in pairs]


def preference(messages: Messages, first: str, second: str, p_a: float, draw: random.Random) -> Preference:
    """A preference with its other fields drawn; its side of the split goes by the opening turn, as everywhere."""
    source = ("hostile", "other set")[len(first) % 2]
    prompt = Prompt.make(messages, draw.choice(("red_team", "helpful", "lookalike")), source, _side(messages))
    return Preference(prompt, first, second, p_a, draw.choice((1.0, 0.5, 2.25)), draw.choice(("ai", "human")))


def _side(messages: Messages) -> Split:
    return "test" if hashlib.sha256(_opening(messages).encode("utf-8", "surrogatepass")).digest()[0] < 64 else "train"


def _opening(messages: Messages) -> str:
    try:
        return opening_turn(messages)
    except UnicodeEncodeError:
        return messages[-1].content


def _dialogue(draw: random.Random, number: int) -> Messages:
    """One turn as often as not; else up to seven with or without a system turn, and some that do not alternate."""
    last, shape = user(_text(draw, number)), draw.random()
    system = (Message("system", draw.choice(SYSTEMS)),) if draw.random() < 0.25 else ()
    if shape < 0.5:
        return (*system, last)
    if shape < 0.9:
        before = [turn for _ in range(draw.randint(1, 3)) for turn in (user(_text(draw)), assistant(_text(draw)))]
        return (*system, *before, last)
    return (user(_text(draw)), last) if shape < 0.95 else (assistant(_text(draw)), last)


def _text(draw: random.Random, number: int | None = None) -> str:
    """A few pieces in a row; now and then one that nobody can read, or nothing at all."""
    chance = draw.random()
    if chance < 0.02:
        return draw.choice(EMPTY)
    pieces = [draw.choice(PIECES) for _ in range(draw.randint(1, 5))]
    if chance < 0.05:
        pieces.insert(draw.randint(0, len(pieces)), draw.choice(UNREADABLE))
    if number is not None:
        pieces.insert(draw.randint(0, len(pieces)), str(number))
    return "".join(pieces)


def readable(texts: Sequence[str]) -> bool:
    """Whether every text says something and has nothing that no engine can be given."""
    return all(one.strip() and "\0" not in one and not any("\ud800" <= c <= "\udfff" for c in one) for one in texts)
