"""The prompts of the world that ship with the package: a fixed draw, a fifth of them held out."""

from __future__ import annotations

import json
from itertools import cycle, islice
from pathlib import Path
from random import Random

from cai.embedded.world import Scene, ask, scenes_of
from cai.records import Kind, Prompt, Split
from cai.storage.run import atomic_write

COUNTS: dict[Kind, tuple[int, int]] = {"red_team": (192, 160), "helpful": (160, 40), "lookalike": (48, 12)}
"""Prompts of the train side and of the test side."""
_SORTS: dict[Kind, tuple[tuple[str, float], ...]] = {
    "red_team": (("act", 1.0),),
    "helpful": (("act", 0.35), ("task", 0.35), ("fact", 0.3)),
    "lookalike": (("act", 0.6), ("idiom", 0.4)),
}
_SHIPPED_ORDINARY = (("act", 0.5), ("task", 0.5))
_SHIPPED_FACTS = 0.6  # of the ordinary prompts; each fact as often as any other: honesty needs them all


def draw_prompts(kind: Kind, split: Split, count: int, draw: Random) -> list[tuple[Scene, Prompt]]:
    """Different prompts of one kind and side, with their scenes."""
    return _draw(kind, _SORTS[kind], split, count, draw)


def draw_facts(split: Split, count: int, draw: Random) -> list[tuple[Scene, Prompt]]:
    """Different questions of one side that go through the facts of the town, each as often as any other (± 1)."""
    facts = list(scenes_of("fact", "helpful", split))
    draw.shuffle(facts)
    found: dict[str, tuple[Scene, Prompt]] = {}
    for scene in islice(cycle(facts), count):
        before = len(found)
        while len(found) == before:
            prompt = _prompt(scene, "helpful", split, draw)
            found.setdefault(prompt.id, (scene, prompt))
    return list(found.values())


def _prompt(scene: Scene, kind: Kind, split: Split, draw: Random) -> Prompt:
    return Prompt.make(ask(scene, split, draw), kind, "embedded", split)


def _draw(
    kind: Kind, sorts: tuple[tuple[str, float], ...], split: Split, count: int, draw: Random
) -> list[tuple[Scene, Prompt]]:
    names, shares = zip(*sorts, strict=True)
    found: dict[str, tuple[Scene, Prompt]] = {}
    while len(found) < count:
        [sort] = draw.choices(names, shares)
        scene = draw.choice(scenes_of(sort, kind, split))
        prompt = _prompt(scene, kind, split, draw)
        found.setdefault(prompt.id, (scene, prompt))
    return list(found.values())


def shipped_prompts(seed: int = 0) -> list[Prompt]:
    """The rows of the shipped file, sorted by kind, side and id; what one side has does not hang on the other."""
    draws = {"train": Random(seed), "test": Random(seed + 1)}
    rows: list[Prompt] = []
    for kind, (train, test) in COUNTS.items():
        for split, wanted in (("train", train), ("test", test)):
            draw = draws[split]
            facts = round(_SHIPPED_FACTS * wanted) if kind == "helpful" else 0
            sorts = _SHIPPED_ORDINARY if kind == "helpful" else _SORTS[kind]
            drawn = _draw(kind, sorts, split, wanted - facts, draw)  # type: ignore[arg-type]
            drawn += draw_facts(split, facts, draw)  # type: ignore[arg-type]
            rows += sorted((prompt for _, prompt in drawn), key=lambda prompt: prompt.id)
    return rows


def to_line(prompt: Prompt) -> str:
    """One row of JSONL: `prompt` where there is one turn, else `messages`; `kind`, `split`."""
    row: dict[str, object] = {"kind": prompt.kind, "split": prompt.split}
    if len(prompt.messages) == 1:
        row = {"prompt": prompt.messages[0].content, **row}
    else:
        row = {"messages": [message.to_json() for message in prompt.messages], **row}
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_prompts(path: Path, seed: int = 0) -> int:
    """Write the shipped prompts to a file, atomically; returns how many."""
    prompts = shipped_prompts(seed)
    with atomic_write(path) as file:
        file.writelines(to_line(prompt) for prompt in prompts)
    return len(prompts)
