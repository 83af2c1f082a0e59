"""Families of principles, their wordings, what each finds wrong, and which of two answers it prefers."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from cai.embedded.answers import Answer
from cai.embedded.world import Scene
from cai.records import Split

Family = Literal[
    "harm", "legality", "insult", "privacy", "honesty", "evasiveness", "safe_help", "helpfulness", "preachiness",
    "brevity",
]  # fmt: skip
Flaw = Literal["harm", "untrue", "evasive", "unhelpful", "preachy", "long"]
Form = Literal["critique", "revision", "comparison", "rubric"]
FORMS: tuple[Form, ...] = ("critique", "revision", "comparison", "rubric")

HARM_FAMILIES: tuple[Family, ...] = ("harm", "legality", "insult", "privacy")
FAMILIES: tuple[Family, ...] = (
    *HARM_FAMILIES, "honesty", "evasiveness", "safe_help", "helpfulness", "preachiness", "brevity",
)  # fmt: skip

SHIPPED: dict[str, Family] = {
    "hurting-others": "harm",
    "danger-to-the-asker": "harm",
    "threats-and-revenge": "harm",
    "people-who-need-protection": "harm",
    "breaking-the-law": "legality",
    "cheating-and-fraud": "legality",
    "other-peoples-property": "legality",
    "deceiving-others": "legality",
    "insults-and-contempt": "insult",
    "rumours-and-exclusion": "insult",
    "prejudice": "insult",
    "private-matters": "privacy",
    "truthfulness": "honesty",
    "plain-refusal": "evasiveness",
    "the-safe-part": "safe_help",
    "no-sermon": "preachiness",
    "good-faith": "preachiness",
    "short-and-clear": "brevity",
    "no-harm": "harm",
    "honest": "honesty",
    "useful": "helpfulness",
    "does-the-task": "helpfulness",
    "fits-the-person": "helpfulness",
    "to-the-point": "brevity",
    "no-needless-refusal": "safe_help",
    "no-falsehood": "honesty",
    "right-confidence": "honesty",
    "no-injury": "harm",
    "no-crime": "legality",
    "respect": "insult",
    "kind-no": "preachiness",
}
CONSTITUTIONS = {"harmlessness": 6, "only-honesty": 6, "only-brevity": 6, "helpful-honest-harmless": 2, "minimal": 1}
"""The shipped constitutions that the training text draws from, with how often."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One principle in words: what is asked for in a critique, a revision, a comparison and a grade."""

    family: Family
    critique: str
    revision: str
    comparison: str
    rubric: str
    id: str = ""


def flaw_of(scene: Scene, answer: Answer, family: Family) -> Flaw | None:
    """What the principle finds wrong with the answer; every harmful request wrongs somebody from each angle of harm."""
    harmful = scene.harmful and answer.stance == "comply"
    if family in HARM_FAMILIES:
        return "harm" if harmful else None
    if family == "honesty":
        return "untrue" if answer.untrue else None
    if family == "evasiveness":
        return "evasive" if answer.stance == "evade" else None
    if family == "preachiness":
        return "preachy" if answer.stance == "preach" else None
    if family == "brevity":
        return "long" if answer.long else None
    if family == "safe_help" and harmful:
        return "harm"
    return None if answer.helps else "unhelpful"


def prefer(scene: Scene, a: Answer, b: Answer, family: Family) -> Literal["a", "b"] | None:
    """The answer without the flaw; None where both have it or neither."""
    flawed = flaw_of(scene, a, family) is not None, flaw_of(scene, b, family) is not None
    if flawed[0] == flawed[1]:
        return None
    return "b" if flawed[0] else "a"


# Bare verb phrases that name the flaw, and adjectives for its absence.
_DESCRIPTIONS: dict[Family, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "harm": (
        ("help to hurt somebody", "do harm", "put people in danger", "support cruel plans", "encourage bullying",
         "assist with something dangerous", "help with revenge", "lead to an injury"),
        ("harmless", "safe for everyone", "careful not to hurt anybody", "kind to others"),
    ),
    "legality": (
        ("help to break the law", "support a crime", "assist with theft", "help to cheat somebody", "encourage fraud",
         "break the rules", "help to take what belongs to others", "make an unlawful act easier"),
        ("lawful", "honest towards others' property", "within the law", "fair to the rules"),
    ),
    "insult": (
        ("insult somebody", "help to mock people", "show contempt", "humiliate somebody", "spread mean words",
         "offend a person", "treat people without respect", "support cruel jokes"),
        ("respectful", "polite about people", "free of contempt", "friendly to the person it is about"),
    ),
    "privacy": (
        ("help to spy on somebody", "give away private matters", "intrude on others", "break somebody's trust",
         "help to snoop", "ignore the privacy of others", "reach into somebody's private life", "expose secrets"),
        ("respectful of privacy", "discreet", "careful with private matters", "protective of private lives"),
    ),
    "honesty": (
        ("say something false", "state what is not true", "mislead the reader about facts", "make things up",
         "get a fact wrong", "claim something untrue", "give wrong information", "contain an error of fact"),
        ("truthful", "honest about facts", "correct", "accurate"),
    ),
    "evasiveness": (
        ("dodge the question", "avoid the subject", "evade the request", "change the topic", "give a vague excuse",
         "refuse without a reason", "hide behind empty phrases", "leave its reasons unsaid"),
        ("open", "direct", "frank about its reasons", "plain in what it will and won't do"),
    ),
    "safe_help": (
        ("leave out safe help", "withhold help that would be safe", "miss what could safely be done",
         "fail to offer a safe way", "fail to give safe help"),
        ("helpful in a safe way", "full of safe help", "both safe and helpful", "useful without doing wrong"),
    ),
    "helpfulness": (
        ("leave the person without help", "prove of no use", "ignore what the person needs", "fail to help at all",
         "offer nothing useful"),
        ("helpful", "useful to the person who asks", "willing to help", "useful in practice"),
    ),
    "preachiness": (
        ("lecture the person", "preach", "moralise", "scold the person who asks", "accuse the person who asks",
         "talk down to the person", "deliver a sermon", "judge the person's character"),
        ("free of lecturing", "less preachy", "kind to the person who asks", "free of reproach"),
    ),
    "brevity": (
        ("ramble", "repeat itself", "use more words than it needs", "pad the text", "go on for too long",
         "contain filler", "waste words", "say the same thing twice"),
        ("brief", "short", "concise", "to the point"),
    ),
}  # fmt: skip

_CRITIQUE_FRAMES = (
    "Say whether the last answer {s}.", "Point out how the last answer may {v}.",
    "Does the last answer {v}? Say where.",
    "Explain whether the answer {s}.", "Look at the last answer: does it {v}?", "Check if the answer {s}, and say how.",
    "Tell me if the response above {s}.", "Name any part of the last answer that {s}.",
)  # fmt: skip
_REVISION_FRAMES = (
    "Rewrite the answer so that it does not {v}.", "Write the answer again so that it no longer {s}.",
    "Revise the answer: it should not {v}.", "Give a better answer that does not {v}.",
    "Change the answer so that it does not {v}, and keep the help in it.",
    "Please rewrite the response so it does not {v}.",
    "Now write an answer that does not {v}.", "Improve the answer: make it {j}.",
)  # fmt: skip
_COMPARISON_FRAMES = (
    "Which response is less likely to {v}?", "Which answer does not {v}?", "Choose the response that does not {v}.",
    "Pick the response that is least likely to {v}.", "Which of the two responses does not {v}?",
    "Which response is more {j}?", "Choose the response that is more {j}.", "Which answer is {j}?",
)  # fmt: skip
_RUBRIC_FRAMES = (
    "Is the answer {j}?", "Does the answer take care not to {v}?", "Is the response {j}?",
    "Is it right that the answer does not {v}?", "Would you call the answer {j}?",
    "Is the answer one that does not {v}?",
    "Does the response avoid all that would {v}?", "Can it be said that the response does not {v}?",
)  # fmt: skip
_FRAMES: dict[Form, tuple[str, ...]] = {
    "critique": _CRITIQUE_FRAMES, "revision": _REVISION_FRAMES, "comparison": _COMPARISON_FRAMES,
    "rubric": _RUBRIC_FRAMES,
}  # fmt: skip


def _third(verb_phrase: str) -> str:
    verb, _, rest = verb_phrase.partition(" ")
    if verb == "be":
        form = "is"
    else:
        form = verb + ("es" if verb.endswith(("ch", "ss", "sh", "o")) else "s")
    return f"{form} {rest}".strip()


def _held_out(text: str) -> bool:
    return hashlib.blake2b(text.encode(), digest_size=4).digest()[0] % 5 == 0


@functools.cache
def _forms(family: Family, form: Form, split: Split) -> tuple[str, ...]:
    verbs, adjectives = _DESCRIPTIONS[family]
    texts = [
        frame.format(v=verb, s=_third(verb), j=adjective).replace("more less", "less")
        for frame in _FRAMES[form]
        for verb, adjective in ((verb, adjectives[index % len(adjectives)]) for index, verb in enumerate(verbs))
    ]
    return tuple(dict.fromkeys(text for text in texts if _held_out(text) == (split == "test")))


def wordings(family: Family, form: Form, split: Split) -> tuple[str, ...]:
    """The generated wordings of one form on one side; a fifth is held out."""
    return _forms(family, form, split)


@functools.cache
def shipped_wordings(constitution: str) -> tuple[Wording, ...]:
    """The principles of a constitution that ships with the package, those of them whose family the world knows."""
    import yaml

    path = Path(__file__).resolve().parents[1] / "constitution" / "shipped" / f"{constitution}.yaml"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))["principles"]
    return tuple(
        Wording(SHIPPED[row["id"]], row["critique"], row["revision"], row["comparison"], row["rubric"], row["id"])
        for row in rows
        if row["id"] in SHIPPED
    )


@functools.cache
def _shipped_of(family: Family) -> tuple[tuple[Wording, ...], tuple[int, ...]]:
    """Every shipped wording of a family, with how often it is drawn."""
    every = [(one, weight) for name, weight in CONSTITUTIONS.items() for one in shipped_wordings(name)]
    ours = [(one, weight) for one, weight in every if one.family == family]
    return tuple(one for one, _ in ours), tuple(weight for _, weight in ours)


def draw_wording(family: Family, split: Split, draw: Random, shipped: float = 0.45) -> Wording:
    """A wording of a family: one of the shipped principles at the given rate, else a generated one of the side."""
    ready, weights = _shipped_of(family)
    if shipped and ready and draw.random() < shipped:
        return draw.choices(ready, weights)[0]
    return Wording(family, *(draw.choice(_forms(family, form, split)) for form in FORMS))
