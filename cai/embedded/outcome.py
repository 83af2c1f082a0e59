"""What a run did in the embedded world: every answer of it classed by the oracle, before, between and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Literal

from cai.embedded.answers import Answer, answer, kinds_of_answer
from cai.embedded.oracle import CLASSES, classify, family_of, find
from cai.embedded.people import ranked_pairs
from cai.embedded.principles import Family, prefer
from cai.embedded.prompts import draw_facts, draw_prompts
from cai.embedded.world import Scene, read_scene
from cai.intervals import clustered_share
from cai.records import Candidates, Draft, Json, Judgement, Kind, Messages, Prompt, Split
from cai.storage.run import Run, read_rows

KINDS: tuple[Kind, ...] = ("red_team", "helpful", "lookalike")
DRAWS = 10
"""Between the seeds of one draw of held-out prompts and pairs and those of the next."""


def outcome(folder: Path, split: Split = "test") -> Json:
    """``{"first answer": …, "revision 1": …, "policy": …}``: the share of each class, its 95 % interval by `unit_of`.

    Red-team prompts of the world and of `split` alone; "policy" is the answers that the run's own policy was kept with,
    repeated ones left out. Steps that the run has not come to are left out. Raises `RunError` when no run is there.
    """
    run = Run.existing(folder)
    done = [name for name in run.manifest.get("plan", {}) if name in run.steps]
    revised = [name for name in done if name.startswith("revise-")]
    labels: dict[str, list[tuple[str | None, str]]] = {}
    if revised:
        for stage, messages, text in _drafts(run.path(f"{revised[-1]}.jsonl"), split):
            labels.setdefault(stage, []).append((unit_of(messages), classify(messages, text)))
    if "sample" in done:
        for candidates in _candidates(run.path("sample.jsonl"), split):
            for text in candidates.responses:
                row = (unit_of(candidates.prompt.messages), classify(candidates.prompt, text))
                labels.setdefault("policy", []).append(row)
    return {stage: {one: _share(rows, one) for one in CLASSES} for stage, rows in labels.items()}


def _share(rows: Sequence[tuple[str | None, str]], label: str) -> Json:
    return clustered_share([unit for unit, _ in rows], [found == label for _, found in rows]).to_json()


def unit_of(messages: Messages) -> str | None:
    """What repeats from prompt to prompt: the fact asked for, or the act or task with its purpose; None if unknown."""
    scene = read_scene(messages)
    if scene is None:
        return None
    return f"{scene.name} of {scene.person}" if scene.sort == "fact" else f"{scene.name} {scene.purpose}".strip()


def by_round(folder: Path) -> list[Json]:
    """``[{round, n, harmful, harmful_low, harmful_high, evasive, …}, …]``: shares on held-out red-team prompts.

    Every class has its share and the ends of its 95 % interval. Round 0 is the first answer.
    """
    stages = [classes for stage, classes in outcome(folder).items() if stage != "policy"]
    return [
        {
            "round": number,
            "n": classes["harmful"]["n"],
            **{name: share["value"] for name, share in classes.items()},
            **{f"{name}_{end}": share[end] for name, share in classes.items() for end in ("low", "high")},
        }
        for number, classes in enumerate(stages)
    ]


def questions(count: int, which: int = 0) -> list[Prompt]:
    """Held-out prompts, `count` of each kind and as many of fact; `source` says which: a kind, or "fact"."""
    draw = Random(1 + DRAWS * which)
    drawn = [replace(prompt, source=kind) for kind in KINDS for _, prompt in draw_prompts(kind, "test", count, draw)]
    return drawn + [replace(prompt, source="fact") for _, prompt in draw_facts("test", count, draw)]


def class_of(draft: Draft) -> tuple[str, bool]:
    """The class of a first answer, and whether it is padded."""
    found = find(draft.prompt.messages, draft.response)
    return found.label, found.answer is not None and found.answer.long


@dataclass(frozen=True, slots=True)
class SeparatedPair:
    """Two answers to one prompt that the rules separate; `classes` says of which class the better and the worse are."""

    messages: Messages
    better: str
    worse: str
    classes: tuple[str, str]


def separated_pairs(folder: Path, principles: Sequence[str]) -> Iterator[SeparatedPair]:
    """All pairs of the policy's answers to held-out prompts of which more of the principles prefer one than the other.

    Principles are names that `oracle.family_of` knows; others have no say. An answer that cannot be placed is worse
    than any that can.
    """
    families = [family for name in principles if (family := family_of(name))]
    run = Run.existing(folder)
    for candidates in _candidates(run.path("sample.jsonl"), "test"):
        messages = candidates.prompt.messages
        scene = read_scene(messages)
        if scene is None:
            continue
        placed = [(text, find(messages, text)) for text in dict.fromkeys(candidates.responses)]
        for (a, first), (b, second) in combinations(placed, 2):
            lead = _lead(scene, first.answer, second.answer, families)
            if lead > 0:
                yield SeparatedPair(messages, a, b, (first.label, second.label))
            elif lead:
                yield SeparatedPair(messages, b, a, (second.label, first.label))


def grammar_pairs(principles: Sequence[str], count: int = 400, which: int = 0) -> Iterator[SeparatedPair]:
    """One pair of the grammar's own answers to each of `count` held-out red-team prompts.

    All of the principles that tell the two apart prefer the same one; a prompt for which there is no such pair has
    none.
    """
    families = {family for name in principles if (family := family_of(name))}
    draw = Random(3 + DRAWS * which)
    for scene, prompt in draw_prompts("red_team", "test", count, draw):
        every = list(combinations(kinds_of_answer(scene), 2))
        for names in draw.sample(every, len(every)):
            first, second = (answer(scene, name, draw) for name in names)
            sides = {prefer(scene, first, second, family) for family in families} - {None}
            if len(sides) == 1:
                both = ((first.text, names[0]), (second.text, names[1]))
                better, worse = both if sides == {"a"} else (both[1], both[0])
                yield SeparatedPair(prompt.messages, better[0], worse[0], (better[1], worse[1]))
                break


def helpful_pairs(count: int = 200, which: int = 0) -> Iterator[SeparatedPair]:
    """Help and a worse answer to `count` held-out ordinary prompts and as many look-alikes.

    `classes` are the kind of prompt and what is wrong with the worse.
    """
    draw = Random(5 + DRAWS * which)
    for kind in ("helpful", "lookalike"):
        for one in ranked_pairs(kind, "test", count, draw):
            yield SeparatedPair(one.prompt.messages, one.better, one.worse, (kind, one.fault))


def better_sides(judgement: Judgement, principles: Iterable[str]) -> dict[str, Literal["a", "b"]]:
    """Which answer each principle prefers, by the rules; nothing of what the world or its families do not know."""
    messages = judgement.prompt.messages
    scene = read_scene(messages)
    if scene is None:
        return {}
    first, second = (find(messages, text).answer for text in (judgement.response_a, judgement.response_b))
    found: dict[str, Literal["a", "b"]] = {}
    for name in principles:
        family = family_of(name)
        if first is not None and second is not None and family and (side := prefer(scene, first, second, family)):
            found[name] = side
    return found


def _lead(scene: Scene, a: Answer | None, b: Answer | None, families: Sequence[Family]) -> int:
    if a is None or b is None:
        return (a is not None) - (b is not None)
    sides = [prefer(scene, a, b, family) for family in families]
    return sides.count("a") - sides.count("b")


def _drafts(path: Path, split: Split) -> Iterator[tuple[str, Messages, str]]:
    for row in read_rows(path):
        draft = Draft.from_json(row)
        if not _is_asked_for(draft.prompt, split):
            continue
        yield "first answer", draft.prompt.messages, draft.response
        for number, one in enumerate(draft.rounds, 1):
            if one.revision is not None:
                yield f"revision {number}", draft.prompt.messages, one.revision


def _candidates(path: Path, split: Split) -> Iterator[Candidates]:
    for row in read_rows(path):
        candidates = Candidates.from_json(row)
        if _is_asked_for(candidates.prompt, split):
            yield candidates


def _is_asked_for(prompt: Prompt, split: Split) -> bool:
    return prompt.kind == "red_team" and prompt.split == split and read_scene(prompt.messages) is not None


def outcome_table(figures: Json) -> str:
    """The same as text: a line a stage, shares in per cent, the interval of the harmful ones."""
    shown = [one for one in CLASSES[1:] if any(stage[one]["value"] for stage in figures.values())]
    head = f"{'answers to red-team prompts':<30}{'n':>6}  {'harmful (95 %)':<24}"
    lines = [head + "".join(f"{one:>11}" for one in shown)]
    for stage, classes in figures.items():
        harm = classes["harmful"]
        interval = f"{harm['value']:.1%} ({harm['low']:.1%} to {harm['high']:.1%})"
        others = "".join(f"{classes[one]['value']:>11.1%}" for one in shown)
        lines.append(f"{stage:<30}{harm['n']:>6}  {interval:<24}{others}")
    return "\n".join(lines)
