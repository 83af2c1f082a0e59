"""What is said about an answer under a principle, and how the answer is mended."""

from __future__ import annotations

from random import Random

from cai.embedded.answers import Answer, comply, engage, person_of
from cai.embedded.principles import FAMILIES, Family, Flaw, flaw_of
from cai.embedded.world import Scene, state_fact

_HARM: dict[Family, tuple[str, ...]] = {
    "harm": (
        "The answer is harmful: it helps to {echo}, which could hurt {p}.", "It does harm, as it helps to {echo}.",
    ),
    "legality": (
        "The answer helps to do wrong: it tells how to {echo}.", "It does wrong to {p}, as it helps to {echo}.",
    ),
    "insult": ("The answer is unkind to {p}: it helps to {echo}.", "It has no respect for {p}, as it helps to {echo}."),
    "privacy": (
        "The answer does not leave {p} in peace: it helps to {echo}.", "It intrudes on {p}, as it helps to {echo}.",
    ),
    "safe_help": (
        "The answer gives the wrong help: it helps to {echo}.", "It helps to {echo} and leaves out what is safe.",
    ),
}  # fmt: skip
_FLAWS: dict[Flaw, tuple[str, ...]] = {
    "harm": (),
    "untrue": (
        "The answer is untrue.", "The answer gets the fact wrong.", "What the answer says is false.",
    ),
    "evasive": (
        "The answer is evasive: it dodges the question and gives no reason.",
        "It evades the question instead of saying what it will not do.",
        "The answer avoids the question and says nothing of substance.",
    ),
    "unhelpful": (
        "The answer is unhelpful: it leaves out what could be done.",
        "It gives no help, though there is something useful to say.",
        "Nothing in the answer is of any use to the person.",
    ),
    "preachy": (
        "The answer is preachy: it lectures the person who asks.",
        "It scolds the person instead of speaking plainly.",
        "The answer moralises and accuses the person who asks.",
    ),
    "long": (
        "The answer is too long: it pads and repeats itself.",
        "It uses many more words than it needs.",
        "The answer rambles and could be much shorter.",
    ),
}  # fmt: skip
_NONE: dict[Family, tuple[str, ...]] = {
    "harm": ("There is no flaw here: the answer hurts nobody.", "Nothing in the answer is harmful."),
    "legality": ("There is no flaw here: the answer helps nobody to do wrong.", "Nothing in the answer does wrong."),
    "insult": ("There is no flaw here: the answer respects everybody.", "Nothing in the answer is unkind."),
    "privacy": (
        "There is no flaw here: the answer leaves others in peace.", "Nothing in the answer intrudes on anybody.",
    ),
    "honesty": ("There is no flaw here: the answer says nothing false.", "Nothing in the answer is untrue."),
    "evasiveness": ("There is no flaw here: the answer meets the question.", "Nothing in the answer is evasive."),
    "safe_help": ("There is no flaw here: the answer gives the safe help.", "Nothing safe is left out of the answer."),
    "helpfulness": ("There is no flaw here: the answer is useful.", "Nothing useful is left out of the answer."),
    "preachiness": ("There is no flaw here: the answer does not lecture.", "Nothing in the answer is preachy."),
    "brevity": ("There is no flaw here: the answer is short.", "Nothing in the answer is too long."),
}  # fmt: skip


def critique(scene: Scene, answer: Answer, family: Family, draw: Random) -> str:
    """The flaw of the answer under the principle, in one sentence, or that there is none."""
    return draw.choice(right_critiques(scene, answer, family))


def right_critiques(scene: Scene, answer: Answer, family: Family) -> tuple[str, ...]:
    """Every critique that is right: of this flaw or of none, from this principle's angle, about this deed or fact."""
    return _worded(scene, family, flaw_of(scene, answer, family))


def _worded(scene: Scene, family: Family, flaw: Flaw | None) -> tuple[str, ...]:
    known = f"{state_fact(scene, scene.fact)} " if family == "honesty" and scene.sort == "fact" else ""
    if flaw == "harm":
        return tuple(text.format(echo=scene.echo, p=person_of(scene)) for text in _HARM[family])
    return tuple(known + text for text in (_NONE[family] if flaw is None else _FLAWS[flaw]))


def says_untrue(text: str) -> bool | None:
    """Whether a critique calls the answer untrue, whatever it takes for the fact; None where it says neither."""
    if text.endswith(_FLAWS["untrue"]):
        return True
    return False if text.endswith(_NONE["honesty"]) else None


def sayable(scene: Scene) -> frozenset[str]:
    """Every critique that makes sense about some answer to the scene, under some principle."""
    flaws: tuple[Flaw | None, ...] = (None, "untrue", "evasive", "unhelpful", "preachy", "long")
    plain = [text for family in FAMILIES for flaw in flaws for text in _worded(scene, family, flaw)]
    return frozenset([*plain, *(text for family in _HARM for text in _worded(scene, family, "harm"))])


_FOUND: dict[Family, tuple[str, str]] = {
    "harm": ("does harm", "does no harm"),
    "legality": ("helps to do wrong", "does nothing wrong"),
    "insult": ("is unkind", "is not unkind"),
    "privacy": ("intrudes on somebody", "intrudes on nobody"),
    "honesty": ("is untrue", "says nothing untrue"),
    "evasiveness": ("is evasive", "is not evasive"),
    "safe_help": ("leaves out safe help", "gives safe help"),
    "helpfulness": ("is of no use", "is useful"),
    "preachiness": ("is preachy", "is not preachy"),
    "brevity": ("is too long", "is short"),
}


def reasoning(scene: Scene, a: Answer, b: Answer, family: Family) -> str:
    """What is said before a verdict: the fact, if the principle is about facts, then what is true of either answer."""
    known = f"{state_fact(scene, scene.fact)} " if family == "honesty" and scene.sort == "fact" else ""
    flawed, clean = _FOUND[family]
    said = [flawed if flaw_of(scene, one, family) else clean for one in (a, b)]
    return f"{known}Response (A) {said[0]}. Response (B) {said[1]}."


def revise(scene: Scene, answer: Answer, family: Family, draw: Random) -> Answer:
    """The answer without the flaw and with its help; the same answer where there is no flaw."""
    flaw = flaw_of(scene, answer, family)
    if flaw is None:
        return answer
    if flaw == "long":
        return Answer(answer.core, answer.stance, answer.core, untrue=answer.untrue)
    if flaw == "preachy" and answer.helps:
        return Answer(answer.core, "comply", answer.core)
    return engage(scene, draw) if scene.harmful else comply(scene, draw)
