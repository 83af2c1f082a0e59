"""What the consumers are to find in the files: the sample run's own records, in the order of the splits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cai.records import Messages, Preference, Prompt
from tests.exports.sample_run import sample_drafts, sample_preferences, sample_prompts

Pair = tuple[Messages, str, str, float]
"""The turns, the better answer, the worse one, and the probability that it is the better one."""


def prompts() -> list[Prompt]:
    """The prompts, those of the train split first."""
    return sorted(sample_prompts(), key=lambda one: one.split != "train")


def pairs(one_turn: bool = False, system: bool = True) -> list[Pair]:
    """All pairs but ties; asked, only those of one turn, and of these only those without a system's."""
    found = sorted(sample_preferences(sample_prompts()), key=lambda one: one.prompt.split != "train")
    kept = [one for one in found if one.p_a != 0.5 and _kept(one.prompt, one_turn, system)]
    return [_pair(one) for one in kept]


def comparisons() -> list[Preference]:
    """All preferences of the run whose prompts have one turn, ties too, in the order of the run."""
    return sample_preferences(sample_prompts("single"))


def _kept(prompt: Prompt, one_turn: bool, system: bool) -> bool:
    roles = [one.role for one in prompt.messages]
    return (not one_turn or "assistant" not in roles) and (system or "system" not in roles)


def _pair(one: Preference) -> Pair:
    sides = (one.response_a, one.response_b)
    better, worse = sides if one.p_a > 0.5 else reversed(sides)
    return one.prompt.messages, better, worse, max(one.p_a, 1.0 - one.p_a)


def answers(one_turn: bool = False) -> Iterator[tuple[Messages, str, bool]]:
    """Turns, an answer, and whether it is wanted: both answers of every pair, the better one first."""
    for turns, chosen, rejected, _ in pairs(one_turn):
        yield turns, chosen, True
        yield turns, rejected, False


def demonstrations() -> list[tuple[Messages, str]]:
    """Turns and the answer to learn: every revision, or the first answer where there is none."""
    drafts = sorted(sample_drafts(sample_prompts()), key=lambda one: one.prompt.split != "train")
    texts = [(one, [each.revision for each in one.rounds if each.revision] or [one.response]) for one in drafts]
    return [(one.prompt.messages, text) for one, some in texts for text in some]


def margin(p: float) -> float:
    """The logit of p, which ends at that of 0.999."""
    p = min(p, 0.999)
    return math.log(p / (1.0 - p))


def dialogue(turns: Sequence, answer: str | None = None) -> str:
    """A dialogue as the tiny model's chat template has it; without an answer it ends where one is to begin."""
    text = "<|bos|>" + "".join(
        f"<|{one.role}|>{one.content}" + ("<|eos|>" if one.role == "assistant" else "") for one in turns
    )
    return text + "<|assistant|>" + ("" if answer is None else f"{answer}<|eos|>")


def said(turns: Sequence, answer: str) -> list[str]:
    """What the assistant says in a dialogue, turn by turn."""
    return [f"{one.content}<|eos|>" for one in turns if one.role == "assistant"] + [f"{answer}<|eos|>"]


def in_json(turns: Sequence) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in turns]
