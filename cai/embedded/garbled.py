"""Whether a sentence that the grammar did not make is garbled or of another scene; the words of a scene."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass

from cai.embedded import answers, cues, parts
from cai.embedded.world import Scene, scenes, to_second_person

# Any words said twice in a row; three or more, with a mark between them too.
_REPEATED = re.compile(r"\b([\w']+(?: [\w']+)*) \1\b|\b([\w']+(?: [\w']+){2,})(?:[,;:]| [—–-]) \2\b", re.IGNORECASE)


def stems(text: str) -> set[str]:
    """The words of a text that carry sense, each by its first letters."""
    words = re.findall(r"[a-z]+", text.lower().replace("'s", ""))
    return {word.removesuffix("s")[:4] for word in words if word not in cues.STOP}


@functools.lru_cache(maxsize=4096)
def words_of(scene: Scene) -> tuple[frozenset[str], frozenset[str]]:
    """The stems of what is asked for, without the person, and those that only the steps have."""
    played = cues.FICTION if scene.make_believe else ""
    asked = stems(f"{scene.request} {played}") - stems(scene.person)
    return frozenset(asked), frozenset(stems(" ".join(scene.steps)) - asked)


@functools.cache
def _steps() -> dict[str, frozenset[str]]:
    """Every step of the world with its stems."""
    return {step: frozenset(stems(step)) for scene in scenes() for step in scene.steps}


@functools.cache
def _echoes() -> frozenset[str]:
    return frozenset(scene.echo for scene in scenes() if len(scene.echo.split()) >= 4)


@functools.cache
def verbs() -> frozenset[str]:
    """Verbs with which an instruction may begin."""
    asked = {scene.phrase.split()[0] for scene in scenes() if scene.sort != "fact"}
    return cues.VERBS | asked | {step.split()[0] for step in _steps()}


def broken(scene: Scene, sentence: str) -> bool:
    """Whether the sentence is garbled, a slip of the grammar, or about another person, scene or purpose."""
    return (
        sentence[-1] not in '.!?"”'
        or sentence[0].islower()
        or bool(_REPEATED.search(sentence) or re.search(r"[a-z][A-Z]|[<>|_{}]", sentence))
        or bool(cues.UNGRAMMATICAL.search(sentence.lower()))
        or _misordered(sentence)
        or _slip(scene, sentence)
        or _wrong_person(scene, sentence)
        or _borrowed(scene, sentence)
        or _scattered(scene, sentence)
    )


@dataclass(frozen=True, slots=True)
class Order:
    """Words of the grammar's texts side by side, those with an article left out, and the stems of all requests."""

    pairs: frozenset[tuple[str, str]]
    bare: frozenset[tuple[str, str]]
    requests: frozenset[str]


@functools.cache
def _order() -> Order:
    texts = {text for scene in scenes() for text in (*scene.steps, scene.echo, to_second_person(scene.purpose))}
    texts |= {text for every in (answers.REASONS, answers.ALTERNATIVES) for some in every.values() for text in some}
    pairs: set[tuple[str, str]] = set()
    bare: set[tuple[str, str]] = set()
    for text in texts | {*answers.CORES, *answers.ENGAGED}:
        for clause in re.split(r"[.,:;!?]", text.lower()):
            words = clause.split()
            pairs.update(itertools.pairwise(words))
            bare.update((x, z) for x, y, z in zip(words, words[1:], words[2:], strict=False) if y in ("a", "an", "the"))
    asked = frozenset(stem for scene in scenes() for stem in stems(scene.echo))
    return Order(frozenset(pairs), frozenset(pair for pair in bare if not pair[1].endswith("s")) - pairs, asked)


def _misordered(sentence: str) -> bool:
    """Whether words of the grammar stand the wrong way round, or without the article that they have there."""
    order = _order()
    for clause in re.split(r"[.,:;!?—]", sentence.lower()):
        for x, y in itertools.pairwise(clause.split()):
            fixed = y in cues.ARTICLES if y in cues.SMALL else x in cues.ARTICLES or x not in cues.SMALL
            turned = (y, x) in order.pairs and (x, y) not in order.pairs and x not in verbs() and y not in verbs()
            if (fixed and x not in cues.FREE and turned) or ((x, y) in order.bare and x not in cues.SMALL):
                return True
    return False


@functools.cache
def _frames() -> tuple[tuple[re.Pattern[str], bool], ...]:
    """The frames of the grammar that free text seldom uses, and whether they end in a reason."""
    found = []
    for frame in (*answers.CORES, *answers.ENGAGED):
        if len(re.findall(r"[A-Za-z']+(?![^{]*})", frame)) >= 3:
            named = re.sub(r"\\{(\w+)\\}", lambda match: f"(?P<{match[1]}>.+)", re.escape(frame))
            found.append((re.compile(named), "{reason}" in frame))
    return tuple(found)


def _slip(scene: Scene, sentence: str) -> bool:
    """Whether a frame of the grammar holds parts that do not belong there, or a purpose that was not asked for."""
    for frame, reasoned in _frames():
        match = frame.fullmatch(sentence)
        if match and not (reasoned and _about(scene, match["echo"]) and _plain_reason(match["reason"])):
            return True
    purpose = to_second_person(scene.purpose)
    others = {
        other for one in (*parts.MALICE, *parts.KINDNESS) if not purpose.startswith(other := to_second_person(one))
    }
    return any(f"{scene.echo} {other}" in to_second_person(sentence) for other in others)


def _about(scene: Scene, said: str) -> bool:
    """Whether what is said back has words of this request or of none."""
    asked, _ = words_of(scene)
    return not (stems(said) - asked - stems(scene.person)) & _order().requests


def _plain_reason(text: str) -> bool:
    """Whether a reason is a short clause of its own, rather than pieces of the grammar's reasons."""
    new = set(text.lower().split()) - set(" ".join(" ".join(every) for every in answers.REASONS.values()).split())
    simple = re.fullmatch(r"(?:it|that|this) (?:is|would be|could be) (?:not |very |quite )?\w+", text.lower())
    return bool((new or simple) and len(text.split()) <= 6 and cues.REASON.search(text.lower()))


def _wrong_person(scene: Scene, sentence: str) -> bool:
    """Whether somebody else of the world is named than the one whom the request is about."""
    if scene.person == "my own" or scene.sort == "fact":
        return False
    lowered, mentioned = sentence.lower(), to_second_person(scene.request)
    named = (one for person in parts.PEOPLE for one in {person, to_second_person(person)})
    if not scene.person:
        named = (one for one in named if one.split()[-1] not in mentioned.split())
    return any(re.search(rf"\b{one}\b", lowered) and to_second_person(one) not in mentioned for one in named)


def _borrowed(scene: Scene, sentence: str) -> bool:
    """Whether the sentence holds a step of some other scene, or what some other scene asks for."""
    echoed = any(echo in sentence and echo not in scene.said_back for echo in _echoes())
    if echoed and not cues.AMENDS.search(sentence.lower()):
        return True
    heard = stems(sentence)
    own = stems(f"{scene.request} {' '.join(scene.steps)}")
    return any(
        step not in scene.steps
        and (step in sentence or (not scene.harmful and len(core) >= 3 and core <= heard and len(core - own) >= 2))
        for step, core in _steps().items()
    )


def _scattered(scene: Scene, sentence: str) -> bool:
    """Whether the words of two steps are mixed with each other, as in a shuffled answer."""
    words = [word.removesuffix("s")[:4] for word in re.findall(r"[a-z]+", sentence.lower())]
    steps = [stems(step) for step in scene.steps]
    owners = {stem: {i for i, step in enumerate(steps) if stem in step} for step in steps for stem in step}
    met = [min(owners[word]) for word in words if len(owners.get(word, ())) == 1]
    runs = [key for key, _ in itertools.groupby(met)]
    return len(runs) - len(set(runs)) > max(1, len(runs) / 3)
