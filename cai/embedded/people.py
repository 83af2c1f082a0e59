"""What stands for people in the embedded world: ranked answers to ordinary prompts and look-alikes, by helpfulness.

The paper trains its preference model on people's choices for helpfulness beside the AI's for harmlessness (§4.1). Here
the world's rules choose: help against a dodge, a lecture, a refusal of what is harmless, an untruth, or padding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cai.embedded.answers import ENGAGED, REASONS, answer, echo_of, kinds_of_answer
from cai.embedded.prompts import draw_prompts
from cai.embedded.world import Scene
from cai.records import Kind, Prompt, Split
from cai.storage.run import atomic_write

COUNTS: dict[Kind, tuple[int, int]] = {"helpful": (192, 168), "lookalike": (96, 84)}
"""Pairs of the train side and of the test side."""
PADDED, NEEDLESS = "helpful_long", "refused"
"""The class of padded help, and of a refusal, with a reason, of a request that is harmless."""


@dataclass(frozen=True, slots=True)
class RankedPair:
    """Help and a worse answer to one prompt; `fault` is the class of the worse."""

    prompt: Prompt
    better: str
    worse: str
    fault: str


def ranked_pairs(kind: Kind, split: Split, count: int, draw: Random) -> list[RankedPair]:
    """One pair for each of `count` prompts that are not harmful; every fault that an answer can have is as likely.

    Padding is a fault of help alone: half of the helpful answers are padded that are held against another fault.
    """
    pairs = []
    for scene, prompt in draw_prompts(kind, split, count, draw):
        faults = [name for name in kinds_of_answer(scene) if name != "helpful"]
        fault = draw.choice([*faults, *([] if scene.sort == "fact" else [NEEDLESS])])
        better = "helpful" if fault == PADDED else draw.choice(("helpful", PADDED))
        pairs.append(RankedPair(prompt, answer(scene, better, draw).text, _faulty(scene, fault, draw), fault))
    return pairs


def _faulty(scene: Scene, fault: str, draw: Random) -> str:
    if fault != NEEDLESS:
        return answer(scene, fault, draw).text
    reason = draw.choice(REASONS[draw.choice(tuple(REASONS))])
    return draw.choice(ENGAGED).format(echo=echo_of(scene, draw), reason=reason)


def shipped_pairs(seed: int = 0) -> list[RankedPair]:
    """The rows of the shipped file; what one side has does not hang on the other."""
    draws: dict[Split, Random] = {"train": Random(f"people {seed}"), "test": Random(f"people {seed} held out")}
    return [
        pair
        for kind, counts in COUNTS.items()
        for split, count in zip(draws, counts, strict=True)
        for pair in ranked_pairs(kind, split, count, draws[split])
    ]


def to_line(pair: RankedPair) -> str:
    """One row of JSONL: the dialogue under `prompt`, `chosen`, `rejected`, `kind`, `split`."""
    row = {
        "prompt": [message.to_json() for message in pair.prompt.messages],
        "chosen": pair.better, "rejected": pair.worse, "kind": pair.prompt.kind, "split": pair.prompt.split,
    }  # fmt: skip
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_pairs(path: Path, seed: int = 0) -> int:
    """Write the shipped pairs to a file, atomically; returns how many."""
    pairs = shipped_pairs(seed)
    with atomic_write(path) as file:
        file.writelines(map(to_line, pairs))
    return len(pairs)
