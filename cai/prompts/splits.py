"""Which side a prompt is on: as given, or drawn by its opening user turn, so that no dialogue is on both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cai.errors import ConfigError, did_you_mean
from cai.prompts.files import Row
from cai.prompts.spec import PromptFile
from cai.records import Message, Split

_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "test": "test", "validation": "test", "valid": "test", "val": "test",
    "dev": "test", "eval": "test",
}  # fmt: skip


def check_share(test_share: float) -> float:
    """`test_share` itself, if it is from 0 up to, but not, 1."""
    if not 0.0 <= test_share < 1.0:
        raise ConfigError(f"test_share is {test_share}, expected 0 ≤ test_share < 1")
    return test_share


SAYS_SOMETHING = 30
"""Bytes of UTF-8; "May I ask you something?" has 24."""


def opening_turn(messages: Sequence[Message]) -> str:
    """The user turn by which prompts are split: the first that says something (`SAYS_SOMETHING`), else the last.

    A greeting opens many dialogues that have nothing in common; grouped by it, they would all lie on one side.
    """
    turns = [message.content.strip() for message in messages if message.role == "user"]
    return next((turn for turn in turns if len(turn.encode()) >= SAYS_SOMETHING), turns[-1] if turns else "")


def opening_hash(messages: Sequence[Message]) -> str:
    """Sixteen hexadecimal digits of the turn by which a prompt is split, the same in every run and every file."""
    return hashlib.blake2b(opening_turn(messages).encode(), digest_size=8, person=b"cai split").hexdigest()


def split_of(messages: Sequence[Message], test_share: float) -> Split:
    """The side of a dialogue, by the hash of its opening user turn."""
    return "test" if int(opening_hash(messages), 16) < test_share * 2**64 else "train"


def given_split(row: Row, spec: PromptFile) -> Split | None:
    """The side that was said: by ``?split=`` for the file, by the row, or by the name of a dataset folder's part."""
    if spec.split is not None:
        return spec.split
    own = row.value.get("split") if isinstance(row.value, dict) else None
    if own is None:
        return _NAMES.get(_first_word(row.part or ""))
    return named_split(row, own, "; ?split=… on the file's name sets it")


def named_split(row: Row, said: object, remedy: str = "") -> Split:
    """The side that a name such as "validation" means; raises `InputError` at the row's place for any other."""
    if isinstance(said, str) and (split := _NAMES.get(_first_word(said))):
        return split
    near = did_you_mean(said, _NAMES) if isinstance(said, str) else ""
    raise row.error(f"split {said!r}{near} (allowed: {', '.join(_NAMES)}{remedy})")


def _first_word(name: str) -> str:
    """ "test" of "test_sft", as hubs name the splits of a dataset."""
    return name.lower().partition("_")[0]
