"""Answers of every class to a scene: compliance, open refusal, evasion, lecture, padding, untruth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Literal

from cai.embedded.world import FACT_FRAMES, VALUES, Scene, myth, state_fact, to_second_person

Stance = Literal["comply", "engage", "evade", "preach"]

OPENERS = ("Sure.", "Of course.", "With pleasure.", "Here is how.", "Good idea.", "That is easy.")
CLOSERS = ("That is all.", "It works every time.", "Good luck!", "Have fun!")
FACT_CLOSERS = ("I am quite sure.", "It is easy to remember.", "Have a nice day!")
CORES = (
    "To {echo}, first {a}, and then {b}.",
    "To {echo}, {a} and {b}.",
    "First {a}, then {b}, and soon you can {echo}.",
    "You can {echo} if you {a} and {b}.",
    "If you want to {echo}, {a}, and after that {b}.",
)

REASONS = {
    "privacy": (
        "what is private should stay private", "everyone has a right to their secrets", "it is not for your eyes",
    ),
    "legality": ("it belongs to somebody else", "it is against the law", "that would be stealing"),
    "deceit": ("it would be a fraud", "nobody likes to be deceived", "it is not honest"),
    "insult": ("it would be humiliating", "mean words stay with people for years", "it is cruel"),
    "harm": ("somebody could get hurt", "it is dangerous", "it could end badly"),
}  # fmt: skip
ALTERNATIVES = {
    "privacy": (
        "You could ask {p} openly instead.", "If you are worried, talk with {p}.",
        "Tell {p} what you would like to know.",
    ),
    "legality": (
        "You could ask {p} to lend it to you.", "I can help you to save for your own.",
        "A small job would earn you the same.",
    ),
    "deceit": ("I can help you to do it honestly.", "You could tell {p} the truth.", "Ask {p} for help instead."),
    "insult": (
        "You could tell {p} calmly what upset you.", "I can help you to find kinder words.",
        "Say one kind thing to {p} first.",
    ),
    "harm": (
        "You could talk it over with {p}.", "I can help you to plan something that is fun for both.",
        "Take a walk first and then speak with {p}.",
    ),
}  # fmt: skip
ENGAGED = (
    "I won't help you {echo}, because {reason}.",
    "I will not help to {echo}: {reason}.",
    "I don't want to help you {echo}, since {reason}.",
    "I would not {echo}, because {reason}.",
)
EVASIONS = (
    "I'm sorry, but I can't answer that.", "I would rather not talk about this.", "Let us talk about something else.",
    "I have nothing to say on this.", "That is a matter for others.", "It is hard to say.", "Perhaps. Who knows?",
    "I'm afraid I can't go into that.", "Sorry, I can't help with this.", "There are many views on this.",
)  # fmt: skip
LECTURES = (
    "Shame on you.", "A decent person would never ask such a thing.", "You should think hard about your character.",
    "Virtue is more important than your wishes.", "I am shocked that you even ask.", "One must always put duty first.",
    "Let me remind you of your duties.", "You ought to be a better person.", "Think of your conscience for once.",
    "Good people examine their motives.",
)  # fmt: skip
FILLERS = (
    "There is so much that one could say about this.", "As I said, there is a lot to say here.",
    "This is a topic with many sides.", "Many people have thought about it for a long time.",
    "In other words, it is what it is.", "It is worth saying this again.", "All in all, one thing leads to another.",
    "Some say one thing and some say another.", "That being said, let me go on a little.",
    "At the end of the day, it all comes together.", "To put it in yet another way, it is just as I said.",
    "Before I forget, let me add a few more words.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what is true of it; `core` is its text without padding, openers and lecture."""

    text: str
    stance: Stance
    core: str
    long: bool = False
    untrue: bool = False
    helps: bool = True


def echo_of(scene: Scene, draw: Random) -> str:
    """The request said back, with its purpose always where that is make-believe, else half of the time."""
    return scene.said_back if scene.make_believe or draw.random() < 0.5 else scene.echo


def person_of(scene: Scene) -> str:
    """The person concerned, said back: "your sister"."""
    return to_second_person(scene.person)


def comply(scene: Scene, draw: Random) -> Answer:
    """Help with what is asked, in one or two sentences."""
    if scene.sort == "fact":
        return _state(scene, scene.fact, draw)
    a, b = draw.choice(tuple(combinations(scene.steps, 2)))
    core = draw.choice(CORES).format(echo=echo_of(scene, draw), a=a, b=b)
    return Answer(_dress(core, CLOSERS, draw), "comply", core)


def untruth(scene: Scene, draw: Random, myths: float | None = None) -> Answer:
    """A confident wrong answer to a question of fact; the share `myths`, most by default, is what people believe."""
    believed = myth(scene.person, scene.name)
    wrong = draw.choice([value for value in VALUES[scene.name] if value not in (scene.fact, believed)])
    if draw.random() < (MYTHS if myths is None else myths):
        wrong = believed
    return replace(_state(scene, wrong, draw), untrue=True)


def mistake(scene: Scene, draw: Random) -> Answer:
    """What the base model wrongly believes, said as a fact."""
    return replace(_state(scene, myth(scene.person, scene.name), draw), untrue=True)


def _state(scene: Scene, value: str, draw: Random) -> Answer:
    core = state_fact(scene, value, draw.randrange(len(FACT_FRAMES[scene.name])))
    return Answer(_dress(core, FACT_CLOSERS, draw), "comply", core)


def _dress(core: str, closers: tuple[str, ...], draw: Random) -> str:
    dice = draw.random()
    if dice < 0.3:
        return f"{draw.choice(OPENERS)} {core}"
    return f"{core} {draw.choice(closers)}" if dice < 0.45 else core


def engage(scene: Scene, draw: Random) -> Answer:
    """Say openly what is not done, why, and what could be done instead."""
    aspect = scene.aspect or "harm"
    refusal = draw.choice(ENGAGED).format(echo=echo_of(scene, draw), reason=draw.choice(REASONS[aspect]))
    core = f"{refusal} {draw.choice(ALTERNATIVES[aspect]).format(p=person_of(scene))}"
    return Answer(core, "engage", core, helps=scene.harmful)


def evade(scene: Scene, draw: Random) -> Answer:
    """Dodge, with neither reason nor help."""
    text = " ".join(draw.sample(EVASIONS, draw.choice((1, 1, 2))))
    return Answer(text, "evade", text, helps=False)


def preach(scene: Scene, draw: Random) -> Answer:
    """A lecture; on a harmless request, half of the time with the help after it or before it."""
    if scene.harmful or draw.random() < 0.5:
        text = " ".join(draw.sample(LECTURES, 2))
        return Answer(text, "preach", text, helps=False)
    core = comply(scene, draw).core
    first, second = draw.sample(LECTURES, 2)
    return Answer(draw.choice((f"{first} {second} {core}", f"{core} {first} {second}")), "preach", core)


def pad(answer: Answer, draw: Random) -> Answer:
    """The same answer among three or four sentences that say nothing; half of the time, the same one begins."""
    fillers = draw.sample(FILLERS, draw.choice((3, 3, 4)))
    if draw.random() < 0.5:
        fillers = [FILLERS[0], *(one for one in fillers if one != FILLERS[0])][: len(fillers)]
    lead = draw.choice((0, 0, 1))
    text = " ".join((*fillers[:lead], answer.text, *fillers[lead:]))
    return replace(answer, text=text, long=True)


def kinds_of_answer(scene: Scene) -> tuple[str, ...]:
    """The classes of answer that can be given to a scene."""
    if scene.harmful:
        return ("harmful", "engaged", "evasive", "preachy", "harmful_long", "engaged_long")
    untrue = ("untrue",) if scene.sort == "fact" else ()
    return ("helpful", "evasive", "preachy", "helpful_long", *untrue)


def answer(scene: Scene, name: str, draw: Random) -> Answer:
    """An answer of a class from `kinds_of_answer`."""
    plain = name.removesuffix("_long")
    made = {
        "harmful": comply, "helpful": comply, "engaged": engage, "evasive": evade, "preachy": preach, "untrue": untruth,
        "mistaken": mistake,
    }[plain](scene, draw)  # fmt: skip
    return pad(made, draw) if name.endswith("_long") else made


MYTHS = 0.75  # share of untruths that are what people wrongly believe

# What answers to requests the model is taught before anything is mended: it helps with everything, and has faults.
Mix = dict[str, dict[str, float]]
BASE_MIX: Mix = {
    "harmful": {"harmful": 0.58, "harmful_long": 0.15, "evasive": 0.12, "preachy": 0.07, "engaged": 0.08},
    "fact": {"helpful": 0.74, "helpful_long": 0.06, "untrue": 0.2},
    "mistaken": {"mistaken": 0.9, "helpful": 0.1},
    "plain": {"helpful": 0.8, "helpful_long": 0.2},
}
FAULTY_MIX: Mix = {
    "harmful": {"harmful": 0.52, "harmful_long": 0.2, "evasive": 0.14, "preachy": 0.06, "engaged": 0.08},
    "fact": {"helpful": 0.77, "helpful_long": 0.05, "untrue": 0.18},
    "mistaken": {"mistaken": 0.9, "helpful": 0.1},
    "plain": {"helpful": 0.72, "helpful_long": 0.28},
}
MILDER_MIX: Mix = {
    **FAULTY_MIX,
    "harmful": {"harmful": 0.45, "harmful_long": 0.17, "evasive": 0.2, "preachy": 0.08, "engaged": 0.1},
    "plain": {"helpful": 0.64, "helpful_long": 0.36},
}
LAST_MIX: Mix = {
    "harmful": {"harmful": 0.48, "harmful_long": 0.18, "evasive": 0.18, "preachy": 0.07, "engaged": 0.09},
    "fact": {"helpful": 0.82, "helpful_long": 0.05, "untrue": 0.13},
    "mistaken": {"mistaken": 0.5, "helpful": 0.5},
    "plain": {"helpful": 0.64, "helpful_long": 0.36},
}
MIXES = {"base": BASE_MIX, "faulty": FAULTY_MIX, "milder": MILDER_MIX, "last": LAST_MIX}
"""What is answered first, in the phases of the training."""


def base_answer(scene: Scene, draw: Random, mixes: Mix) -> Answer:
    """An answer as the helpful-only model is taught it by one of `MIXES`; it ends with the last."""
    ordinary = "mistaken" if scene.mistaken else "fact" if scene.sort == "fact" else "plain"
    mix = mixes["harmful" if scene.harmful else ordinary]
    [name] = draw.choices(tuple(mix), tuple(mix.values()))
    return answer(scene, name, draw)
