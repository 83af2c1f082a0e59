"""The embedded judge made noisy by a known amount, on pairs of answers whose better side the world's rules know.

A vote is the judge's own log-odds of two answers in one order. Gaussian noise on it makes the debiased vote wrong at
a stated rate e, and the labels are read at the temperature that this noise calls for: with debiased log-odds ±L and
noise of variance s²/2, the posterior log-odds are 4L/s² times what was read. So a vote is as unsure as it is
unreliable. Where the noise is `shared`, all votes on a pair move alike: a judge that misreads an answer errs under
every principle and in either order, and no mean over its votes tells.

Of verdicts that are reasoned a stated share is made wrong instead: the reasoning says of either answer what it found of
the other, which the verdict believes more often than not. Or the judge is taken in by length: wherever the shorter
answer is the better one it has taken either answer for the other from the start, and is as sure as it is elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from random import Random
from statistics import NormalDist, fmean
from typing import Any, Literal

from cai.dialogues import (
    AB,
    REASONING_PREFIX,
    comparison_messages,
    reasoned_verdict_prefix,
    reasoning_of,
    verdict_prefix,
)  # fmt: skip
from cai.embedded.corpus import draw_pair, draw_scene
from cai.embedded.principles import Wording, prefer, shipped_wordings
from cai.embedded.world import ask
from cai.preferences import debiased_logit, paired_votes, soft_label
from cai.recipe import PreferenceSettings
from cai.records import ChoiceRequest, GenerateRequest, Judgement, Order, Prompt, Sampling, Split, Vote
from cai.stages.comparisons import ORDERS, in_order
from cai.stages.label import vote_of
from cai.stages.verdicts import scored

CONSTITUTION = "harmlessness"
TEMPLATE: Literal["principle_last"] = "principle_last"
REASONING_TOKENS = 96
FINDINGS = re.compile(r"(Response \(A\) )(.+?)(\. Response \(B\) )(.+?)(?=\.$)")
Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a prompt, and what every principle that tells them apart says by the rules."""

    prompt: Prompt
    a: str
    b: str
    sides: tuple[tuple[Wording, Side], ...]

    @property
    def share(self) -> float:
        """Of the principles that tell the answers apart, the share that prefers a: the truth that is forecast."""
        return fmean(side == "a" for _, side in self.sides)

    @property
    def shorter(self) -> Side | None:
        """The side of the answer with fewer characters."""
        more = len(self.a) - len(self.b)
        return None if not more else "b" if more > 0 else "a"


def draw_pairs(count: int, split: Split, draw: Random) -> list[Pair]:
    """`count` pairs of one side of the world, each of another prompt, that some principle tells apart."""
    found: dict[str, Pair] = {}
    while len(found) < count:
        scene = draw_scene(draw, split)
        prompt = Prompt.make(ask(scene, split, draw), scene.kind, "embedded", split)
        a, b = draw_pair(scene, draw)
        told = ((one, prefer(scene, a, b, one.family)) for one in shipped_wordings(CONSTITUTION))
        sides = tuple((one, side) for one, side in told if side)
        if sides and a.text != b.text:
            found.setdefault(prompt.id, Pair(prompt, a.text, b.text, sides))
    return list(found.values())


def _asked(pair: Pair, wording: Wording, order: Order) -> Any:
    shown = in_order(pair.a, pair.b, order)
    return comparison_messages(pair.prompt.messages, *shown, wording.comparison, TEMPLATE)


def _voted(engine: Any, pairs: Sequence[Pair], asked: Sequence[tuple[int, Wording, Order, str]]) -> list[Judgement]:
    """Judgements from (number of the pair, principle, order, reasoning or nothing)."""
    requests = [
        ChoiceRequest(
            _asked(pairs[at], one, order), AB.choices,
            reasoned_verdict_prefix(said, TEMPLATE) if said else verdict_prefix(TEMPLATE),
        )
        for at, one, order, said in asked
    ]  # fmt: skip
    answers = dict(engine.score(iter(requests)))
    votes: list[list[Vote]] = [[] for _ in pairs]
    for number, (at, one, order, said) in enumerate(asked):
        votes[at].append(vote_of(one.id, order, 0, scored(answers[number]), said or None))
    return [Judgement(one.prompt, one.a, one.b, tuple(some)) for one, some in zip(pairs, votes, strict=True)]


def judged(engine: Any, pairs: Sequence[Pair], principles: int, draw: Random) -> list[Judgement]:
    """The judge's own votes, in both orders, under `principles` of those that tell each pair apart."""
    drawn = [draw.sample(one.sides, min(principles, len(one.sides))) for one in pairs]
    return _voted(
        engine, pairs, [(at, one, order, "") for at, some in enumerate(drawn) for one, _ in some for order in ORDERS]
    )


def reasoned(engine: Any, pairs: Sequence[Pair], wrong: float | Literal["longer"], draw: Random) -> list[Judgement]:
    """Votes under one principle after the judge's own reasoning, which is wrong at the rate `wrong` in both orders.

    A wrong reasoning says of (A) what it found of (B), and of (B) what it found of (A). With "longer", the judge is
    shown either answer as the other where the shorter one is better: reasoning and verdict are sure of the longer one.
    """
    told = [(draw.choice(pair.sides), draw.random()) for pair in pairs]
    taken_in = [wrong == "longer" and pair.shorter == side for pair, ((_, side), _) in zip(pairs, told, strict=True)]
    misled = [wrong != "longer" and chance < wrong for _, chance in told]
    shown = [
        replace(pair, a=pair.b, b=pair.a) if is_wrong else pair for pair, is_wrong in zip(pairs, taken_in, strict=True)
    ]
    asked = [(at, one, order) for at, ((one, _), _) in enumerate(told) for order in ORDERS]
    requests = [
        GenerateRequest(
            _asked(shown[at], one, order), Sampling(REASONING_TOKENS), draw.randrange(2**31), REASONING_PREFIX
        )
        for at, one, order in asked
    ]
    texts = {number: reasoning_of(answer.text, TEMPLATE) for number, answer in engine.generate(iter(requests))}
    said = [exchange(texts[number]) if misled[at] else texts[number] for number, (at, _, _) in enumerate(asked)]
    found = _voted(engine, shown, [(*row, text) for row, text in zip(asked, said, strict=True)])
    return [replace(one, response_a=pair.a, response_b=pair.b) for one, pair in zip(found, pairs, strict=True)]


def exchange(text: str) -> str:
    """What the text finds of response (A) said of (B), and of (B) said of (A); a text without both stays as it is."""
    return FINDINGS.sub(r"\1\4\3\2", text)


@dataclass(frozen=True, slots=True)
class Noise:
    """`sd` of the noise on each vote, in nats, and the `temperature` at which such votes are calibrated.

    `shared` noise is drawn once for all votes of a pair, else for each.
    """

    sd: float
    temperature: float
    shared: bool = False

    @classmethod
    def making_wrong(cls, rate: float, judgements: Sequence[Judgement], shared: bool = False) -> Noise:
        """What makes debiased votes wrong at `rate`, 0 … ½, if they are as strong as these are in the mean."""
        strength = fmean(abs(logit) for one in judgements for logit in debiased(one).values())
        distance = NormalDist().inv_cdf(1 - rate)
        return cls((1 if shared else math.sqrt(2)) * strength / distance, strength / (2 * distance**2), shared)

    def on(self, judgement: Judgement, draw: Random) -> Judgement:
        """The same votes with noise."""
        by = [draw.gauss(0, self.sd) for _ in (judgement.votes[:1] if self.shared else judgement.votes)]
        votes = zip(judgement.votes, cycle(by), strict=False)
        return replace(judgement, votes=tuple(_moved(vote, moved) for vote, moved in votes))


def _moved(vote: Vote, by: float) -> Vote:
    """A vote whose log-odds are `by` nats more for a; its mass stays."""
    logit, all_of_it = vote.logit + by, math.log(vote.mass)
    a, b = (all_of_it - max(0.0, -one) - math.log1p(math.exp(-abs(one))) for one in (logit, -logit))
    return replace(vote, logprob_a=a, logprob_b=b)


def debiased(judgement: Judgement) -> dict[str, float]:
    """Log-odds of a by principle, both orders averaged."""
    return {name: debiased_logit(*both) for (name, _), both in paired_votes(judgement).items()}


def error_rate(pairs: Sequence[Pair], judgements: Sequence[Judgement]) -> float:
    """Share of the debiased votes that are wrong by the rules."""
    wrong = []
    for pair, one in zip(pairs, judgements, strict=True):
        truth = {wording.id: side for wording, side in pair.sides}
        wrong += [(logit > 0) != (truth[name] == "a") for name, logit in debiased(one).items()]
    return fmean(wrong)


def labels(judgements: Sequence[Judgement], settings: PreferenceSettings) -> list[float]:
    """P(a is better) of each, as the pipeline makes it of votes."""
    return [soft_label(one, settings).p_a for one in judgements]
