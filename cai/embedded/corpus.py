"""The training text: groups of dialogues that share a beginning, drawn from one side of the world.

A group is a list of token sequences; every token carries a weight in the loss, that of its turn where the assistant
speaks (`Turn.weight`) and 0 on what it is shown. Sequences of a group share prefixes, and `trees.py` stores each shared
prefix once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from cai.dialogues import (
    LABELS,
    REASONING_PREFIX,
    YES_NO,
    TemplateName,
    comparison_messages,
    critique_messages,
    reasoned_verdict_prefix,
    revision_messages,
    rubric_messages,
    verdict_prefix,
)
from cai.embedded import critiques
from cai.embedded.answers import MIXES, Answer, answer, base_answer, kinds_of_answer
from cai.embedded.curriculum import FIRST, Phase
from cai.embedded.misfits import draw_misfit, sway
from cai.embedded.principles import FAMILIES, HARM_FAMILIES, Family, draw_wording, flaw_of, prefer
from cai.embedded.rewording import ask_reworded
from cai.embedded.tokenizer import BOS, END
from cai.embedded.world import Scene, ask, scenes_of
from cai.records import Kind, Messages, Split, user

# How often each corner of the world is drawn.
SCENES = {
    ("act", "red_team"): 0.46,
    ("act", "lookalike"): 0.15,
    ("act", "helpful"): 0.13,
    ("task", "helpful"): 0.08,
    ("idiom", "lookalike"): 0.05,
    ("fact", "helpful"): 0.13,
}
FAMILY_WEIGHTS: dict[Family, float] = {
    "harm": 4, "legality": 3, "insult": 2.5, "privacy": 1.5, "honesty": 2, "evasiveness": 1.5, "safe_help": 1.5,
    "helpfulness": 0.7, "preachiness": 2, "brevity": 1.7,
}  # fmt: skip
REVISIONS_PER_ANSWER = 2
NAMES: tuple[tuple[str, Family], ...] = (
    ("harmful", "harm"), ("untrue", "honesty"), ("evasive", "evasiveness"), ("preachy", "preachiness"),
    ("too long", "brevity"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Turn:
    """A dialogue that ends with what the assistant says, as (messages before, a prefix given, what is learned)."""

    messages: Messages
    learned: str
    prefix: str = ""
    ended: bool = True
    weight: float = 1.0


def draw_scene(draw: Random, split: Split) -> Scene:
    """A scene of one side."""
    [(sort, kind)] = draw.choices(tuple(SCENES), tuple(SCENES.values()))
    return draw.choice(scenes_of(sort, kind, split))


def draw_families(draw: Random, count: int) -> list[Family]:
    """Families of principles, without repetition."""
    left = dict(FAMILY_WEIGHTS)
    drawn: list[Family] = []
    while len(drawn) < count:
        [one] = draw.choices(tuple(left), tuple(left.values()))
        left.pop(one)
        drawn.append(one)
    return drawn


def revision_group(scene: Scene, draw: Random, split: Split = "train", phase: Phase = FIRST) -> list[Turn]:
    """A base answer to a prompt, and one answer criticised and revised under several principles."""
    messages = ask(scene, split, draw)
    turns = [Turn(messages, _base(scene, draw, phase).text)]
    complied = bool(phase.complied) and draw.random() < phase.complied
    shown = answer(scene, kinds_of_answer(scene)[0] if complied else draw.choice(kinds_of_answer(scene)), draw)
    for index, family in enumerate(_mixed_families(scene, shown, draw, phase.critiques, 0.5 if complied else 0.0)):
        wording = draw_wording(family, split, draw)
        said = critiques.critique(scene, shown, family, draw)
        asked = critique_messages(messages, shown.text, wording.critique)
        turns.append(Turn(asked, said, weight=phase.critique_weight))
        if index < REVISIONS_PER_ANSWER:
            revised = critiques.revise(scene, shown, family, draw)
            asked = revision_messages(messages, shown.text, wording.critique, said, wording.revision)
            turns.append(Turn(asked, revised.text))
    if draw.random() < phase.grades:
        asked_by = _mixed_families(scene, shown, draw, 3, 0.0)
        turns += [_graded(scene, messages, shown, family, draw, split, phase) for family in asked_by]
    return turns


def _graded(
    scene: Scene, messages: Messages, shown: Answer, family: Family, draw: Random, split: Split, phase: Phase
) -> Turn:
    """Whether the answer keeps to a principle, by yes or no."""
    asked = rubric_messages(messages, shown.text, draw_wording(family, split, draw).rubric)
    said = YES_NO.no if flaw_of(scene, shown, family) else YES_NO.yes
    return Turn(asked, said, YES_NO.prefix, ended=False, weight=phase.verdict_weight / 2)


def _mixed_families(scene: Scene, shown: Answer, draw: Random, count: int, from_harm: float) -> list[Family]:
    """Families of which about half find a flaw, or the given share looks for harm."""
    drawn = draw_families(draw, len(FAMILIES))
    flawed = [family for family in drawn if flaw_of(scene, shown, family)]
    clean = [family for family in drawn if not flaw_of(scene, shown, family)]
    harm = [family for family in drawn if family in HARM_FAMILIES]
    mixed: list[Family] = []
    for _ in range(count):
        want = draw.random() < 0.55
        pools = [[family for family in pool if family not in mixed] for pool in (harm, flawed, clean)]
        if from_harm and draw.random() < from_harm:
            mixed += pools[0][:1]
        else:
            mixed += (pools[1] if want and pools[1] else pools[2])[:1]
    return mixed or drawn[:1]


def draw_pair(scene: Scene, draw: Random, alike: float = 0.05) -> tuple[Answer, Answer]:
    """Two answers of different classes, at the rate `alike` of one."""
    names = kinds_of_answer(scene)
    first, second = draw.sample(names, 2) if draw.random() >= alike else [draw.choice(names)] * 2
    return answer(scene, first, draw), answer(scene, second, draw)


def comparison_group(scene: Scene, draw: Random, split: Split = "train", phase: Phase = FIRST) -> list[Turn]:
    """One pair of answers judged under several principles; of a tie, either verdict is learned by half."""
    messages = ask(scene, split, draw)
    a, b = draw_pair(scene, draw, max(0.05, phase.ties / 2))
    if draw.random() < phase.swayed:
        which = draw.choice(((True, False), (False, True), (True, False), (False, True), (True, True)))
        a, b = (sway(one, draw) if swayed else one for one, swayed in zip((a, b), which, strict=True))
    paper = draw.random() < 0.12
    turns = _named_flaws(scene, messages, a, b, phase.naming) if phase.naming and not paper else []
    asked_for = 1 if paper else phase.verdicts
    reasoned: list[Turn] = []
    for family in draw.choices(tuple(FAMILY_WEIGHTS), tuple(FAMILY_WEIGHTS.values()), k=24):
        better = prefer(scene, a, b, family)
        if better is None and draw.random() > phase.ties:
            continue
        wording = draw_wording(family, split, draw)
        template: TemplateName = "paper" if paper else "principle_last"
        asked = comparison_messages(messages, a.text, b.text, wording.comparison, template)
        verdicts = (LABELS[better == "b"],) if better else LABELS
        weight = phase.verdict_weight / len(verdicts)
        turns += [Turn(asked, one, verdict_prefix(template), ended=False, weight=weight) for one in verdicts]
        asked_for -= 1
        if phase.reasoned and better and draw.random() < phase.reasoned:
            verdict = verdicts[0]
            reasoned += _reasoned(asked, critiques.reasoning(scene, a, b, family), verdict, template, phase)
        if not asked_for:
            break
    return turns + reasoned


def _reasoned(asked: Messages, said: str, verdict: str, template: TemplateName, phase: Phase) -> list[Turn]:
    before = reasoned_verdict_prefix(said, template)
    whole = f"{before}{verdict})".removeprefix(REASONING_PREFIX)
    return [
        Turn(asked, whole, REASONING_PREFIX, weight=2.0),
        Turn(asked, verdict, before, ended=False, weight=phase.verdict_weight / 3),
    ]


def misfit_group(draw: Random, split: Split = "train", phase: Phase = FIRST) -> list[Turn]:
    """An answer beside one that is none to what was asked, which loses under every principle that the first keeps."""
    of_fact = phase.misfit_facts and draw.random() < phase.misfit_facts
    scene = draw.choice(scenes_of("fact", "helpful", split)) if of_fact else draw_scene(draw, split)
    messages = ask(scene, split, draw)
    pair = draw_misfit(scene, draw, split)
    label = draw.choice(LABELS)
    texts = (pair.fitting.text, pair.text) if label == LABELS[0] else (pair.text, pair.fitting.text)
    turns: list[Turn] = []
    if phase.naming:
        said = (_flaws(scene, pair.fitting), pair.wrong)
        turns += _named(messages, texts, said if label == LABELS[0] else said[::-1], phase.naming)
    kept = [family for family in draw_families(draw, len(FAMILIES)) if not flaw_of(scene, pair.fitting, family)]
    questions = draw.sample(pair.questions, 3) + [draw_wording(one, split, draw).comparison for one in kept[:1]]
    for question in questions:
        asked = comparison_messages(messages, *texts, question)
        turns.append(Turn(asked, label, verdict_prefix("principle_last"), ended=False, weight=phase.verdict_weight))
    return turns


FACT_PAIRS = (("helpful", "untrue"),) * 8 + (("helpful", "helpful"), ("untrue", "untrue"))


def fact_group(draw: Random, split: Split = "train", phase: Phase = FIRST) -> list[Turn]:
    """One fact: asked for, and pairs of answers to it, most often a true and an untrue one, which honesty judges."""
    scene = draw.choice(scenes_of("fact", "helpful", split))
    messages = ask(scene, split, draw)
    as_base = phase.mix != "base" or scene.mistaken
    turns = [Turn(messages, (_base(scene, draw, phase) if as_base else answer(scene, "helpful", draw)).text)]
    for _ in range(1 if phase.kept else 2):
        pair = [answer(scene, name, draw) for name in draw.choice(FACT_PAIRS)]
        draw.shuffle(pair)
        for shown in pair:
            turns += _checked(scene, messages, shown, draw, split, phase)
        turns += _told_apart(scene, messages, pair[0], pair[1], draw, split, phase)
    return turns


def _checked(
    scene: Scene, messages: Messages, shown: Answer, draw: Random, split: Split, phase: Phase
) -> Iterator[Turn]:
    """Whether what an answer says is true: graded, criticised, and revised where answers are to be kept."""
    for _ in range(2):
        yield _graded(scene, messages, shown, "honesty", draw, split, phase)
    said = critiques.critique(scene, shown, "honesty", draw)
    asked = critique_messages(messages, shown.text, draw_wording("honesty", split, draw).critique)
    yield Turn(asked, said, weight=max(phase.critique_weight, 2.0))
    if phase.kept:
        for family in ("honesty", _other(draw)):
            yield _revised(scene, messages, shown, family, draw, split)


def _told_apart(
    scene: Scene, messages: Messages, a: Answer, b: Answer, draw: Random, split: Split, phase: Phase
) -> Iterator[Turn]:
    """Which of two answers is true, under two wordings of honesty; where neither is the better, either by half."""
    if phase.naming:
        yield from _named_flaws(scene, messages, a, b, phase.naming)
    better = prefer(scene, a, b, "honesty")
    verdicts = (LABELS[better == "b"],) if better else LABELS
    weight = phase.verdict_weight / len(verdicts)
    for last in (False, True):
        asked = comparison_messages(messages, a.text, b.text, draw_wording("honesty", split, draw).comparison)
        for one in verdicts:
            yield Turn(asked, one, verdict_prefix("principle_last"), ended=False, weight=weight)
        if last and better and phase.reasoned:
            said = critiques.reasoning(scene, a, b, "honesty")
            yield from _reasoned(asked, said, verdicts[0], "principle_last", phase)


def _other(draw: Random) -> Family:
    return draw.choice([family for family in FAMILIES if family != "honesty"])


def _revised(scene: Scene, messages: Messages, shown: Answer, family: Family, draw: Random, split: Split) -> Turn:
    wording = draw_wording(family, split, draw)
    said = critiques.critique(scene, shown, family, draw)
    asked = revision_messages(messages, shown.text, wording.critique, said, wording.revision)
    return Turn(asked, critiques.revise(scene, shown, family, draw).text, weight=2.0)


def _named_flaws(scene: Scene, messages: Messages, a: Answer, b: Answer, weight: float) -> list[Turn]:
    return _named(messages, (a.text, b.text), (_flaws(scene, a), _flaws(scene, b)), weight)


def _named(messages: Messages, texts: tuple[str, str], said: tuple[str, str], weight: float) -> list[Turn]:
    """Asked what is wrong with either answer."""
    return [
        Turn(comparison_messages(messages, *texts, f"What is wrong with response ({label})?"), one, weight=weight)
        for label, one in zip(LABELS, said, strict=True)
    ]


def _flaws(scene: Scene, one: Answer) -> str:
    found = [name for name, family in NAMES if flaw_of(scene, one, family)]
    return f"It is {' and '.join(found)}." if found else "Nothing is wrong with it."


def groups(seed: int, phase: Phase = FIRST) -> Iterator[list[Turn]]:
    """An endless stream of groups of the training side, fixed by the seed."""
    draw = Random(seed)
    while True:
        if phase.plain and draw.random() < phase.plain:
            yield _plain_answer(draw, phase)
            continue
        if phase.recall and draw.random() < phase.recall:
            yield _recalled(draw, phase)
            continue
        if phase.topics and draw.random() < phase.topics:
            yield _topics(draw)
            continue
        if phase.facts and draw.random() < phase.facts:
            yield fact_group(draw, phase=phase)
            continue
        if phase.misfits and draw.random() < phase.misfits:
            yield misfit_group(draw, phase=phase)
            continue
        scene = draw_scene(draw, "train")
        if draw.random() < phase.comparisons:
            group = comparison_group(scene, draw, phase=phase)
        else:
            group = revision_group(scene, draw, phase=phase)
        if group:
            yield group


_PLAIN: tuple[tuple[str, Kind], ...] = (
    ("task", "helpful"), ("task", "helpful"), ("idiom", "lookalike"), ("fact", "helpful"), ("act", "helpful"),
    ("act", "lookalike"),
)  # fmt: skip


def _base(scene: Scene, draw: Random, phase: Phase) -> Answer:
    return base_answer(scene, draw, MIXES[phase.mix])


def _plain_answer(draw: Random, phase: Phase) -> list[Turn]:
    sort, kind = draw.choice(_PLAIN + phase.also)
    scene = draw.choice(scenes_of(sort, kind, "train"))
    messages = ask(scene, "train", draw)
    return [Turn(messages, _base(scene, draw, phase).text) for _ in range(2)]


def _recalled(draw: Random, phase: Phase) -> list[Turn]:
    scene = draw.choice(scenes_of("fact", "helpful", "train"))
    if not phase.reworded:
        return [Turn(ask(scene, "train", draw), _base(scene, draw, phase).text) for _ in range(4)]
    asked = [ask(scene, "train", draw) for _ in range(4)] + [ask_reworded(scene, draw) for _ in range(4)]
    return [Turn(messages, _base(scene, draw, phase).text) for messages in asked]


TOPICS: dict[Family, str] = {
    "harm": "harm", "legality": "the law", "insult": "insults", "privacy": "privacy", "honesty": "truth",
    "evasiveness": "evasion", "safe_help": "safe help", "helpfulness": "help", "preachiness": "preaching",
    "brevity": "length",
}  # fmt: skip


def _topics(draw: Random) -> list[Turn]:
    turns = []
    for family in draw_families(draw, 6):
        wording = draw_wording(family, "train", draw)
        text = draw.choice((wording.critique, wording.comparison, wording.comparison))
        turns.append(Turn((user(f"Question: {text}"),), f"It is about {TOPICS[family]}.", weight=1.5))
    return turns


def sample_texts(seed: int, count: int) -> Iterator[str]:
    """Plain text of `count` groups, for the tokenizer."""
    stream = groups(seed)
    for _ in range(count):
        for turn in next(stream):
            yield from (message.content for message in turn.messages)
            yield turn.prefix + turn.learned


def render(turn: Turn, tokenizer: Any) -> tuple[list[int], list[float]]:
    """Token ids and loss weights of a turn: every token the assistant is to say has the turn's weight."""
    before = f"{BOS}" + "".join(f"<|{one.role}|>{one.content}{END}" for one in turn.messages)
    given = tokenizer(f"{before}<|assistant|>{turn.prefix}", add_special_tokens=False)["input_ids"]
    learned = tokenizer(turn.learned + (END if turn.ended else ""), add_special_tokens=False)["input_ids"]
    return given + learned, [0.0] * len(given) + [turn.weight] * len(learned)
