"""What is taught when: the phases of the training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cai.records import Kind


@dataclass(frozen=True, slots=True)
class Phase:
    """What is taught from a share of the training on.

    A group is of the first sort that is drawn, each with its own chance, in this order: `plain` only answers a request,
    one that is not harmful or from a corner of the world in `also`; `recall` asks for one fact in several ways, with
    `reworded` in those of `rewording` too; `topics` says what a wording of a principle is about; `facts` asks for one
    fact, and right and wrong answers to it are graded, criticised and compared, and with `kept` revised, under honesty
    and under a principle that has nothing against them, which leaves them as they are; `misfits` compares an answer
    with one that is none to what was asked, the share `misfit_facts` of them to a question of fact; `comparisons` is
    the chance that two answers are compared, each with `verdicts` principles, and what is left criticises one answer
    and revises it.

    A `naming` above 0 is the loss weight of being asked what is wrong with either answer, which a verdict has to find
    out first. `complied` is the share of criticised answers that do as asked, harmful or not, and half of their
    critiques are asked for from an angle of harm. `reasoned` is the share of verdicts that are also given after
    reasoning; `ties` the chance that a principle is asked about which finds no difference, to which either verdict is
    as right; `swayed` the share of comparisons in which an answer speaks to the judge; `grades` the share of criticised
    answers that are also graded by yes and no. What is answered first has the faults of the `mix` in `answers.MIXES`;
    all but the first mix outlive the sharpening of the weights.
    """

    comparisons: float = 0.6
    verdicts: int = 6
    verdict_weight: float = 5.0
    naming: float = 0.0
    plain: float = 0.0
    topics: float = 0.0
    complied: float = 0.0
    critiques: int = 2
    critique_weight: float = 1.0
    reasoned: float = 0.0
    facts: float = 0.0
    ties: float = 0.04
    misfits: float = 0.0
    recall: float = 0.0
    swayed: float = 0.0
    grades: float = 0.0
    kept: bool = False
    mix: Literal["base", "faulty", "milder", "last"] = "base"
    reworded: bool = False
    also: tuple[tuple[str, Kind], ...] = ()
    misfit_facts: float = 0.0


CURRICULUM: dict[float, Phase] = {
    0.0: Phase(facts=0.1, misfits=0.03, swayed=0.05, grades=0.3),
    0.04: Phase(naming=1.5, facts=0.13, misfits=0.03, swayed=0.05, grades=0.3),
    0.16: Phase(verdicts=4, naming=5.0, plain=0.12, reasoned=0.3, facts=0.12, misfits=0.03, swayed=0.05, grades=0.3),
    0.28: Phase(
        verdicts=6, naming=3.0, plain=0.12, topics=0.12, reasoned=0.3, facts=0.12, ties=0.08, misfits=0.04, swayed=0.08,
        grades=0.3,
    ),
    0.4: Phase(
        0.38, 5, 8.0, naming=1.5, plain=0.17, topics=0.04, complied=0.5, critiques=4, critique_weight=3.0,
        reasoned=0.25, facts=0.13, ties=0.12, misfits=0.06, swayed=0.15, grades=0.35,
    ),
    0.76: Phase(
        0.28, 5, 6.0, naming=0.5, plain=0.34, complied=0.5, critiques=3, critique_weight=2.0, reasoned=0.25, facts=0.1,
        ties=0.12, misfits=0.05, swayed=0.15, grades=0.35, mix="faulty",
    ),
}  # fmt: skip
"""The phases by the share of the training after which each begins."""
FINISH = Phase(
    0.2, 5, 6.0, naming=0.5, plain=0.25, complied=0.5, critiques=3, critique_weight=2.0, reasoned=0.25, facts=0.25,
    ties=0.12, misfits=0.05, swayed=0.15, grades=0.35, kept=True, mix="faulty",
)  # fmt: skip
"""What is taught in the short second training."""
RECALL = replace(FINISH, recall=0.35, plain=0.2)
"""What is taught in the third: the same, and the facts once more."""
ANSWERS = replace(RECALL, recall=0.5, plain=0.45, facts=0.15)
"""What is taught in the fourth: more of what an answer has to say, to facts above all."""
REWORDED = replace(ANSWERS, reworded=True)
"""What is taught in the fifth: the same, and facts asked for in many more ways."""
SETTLED = replace(REWORDED, plain=0.4, recall=0.3, mix="milder", also=(("act", "red_team"),) * 2)
"""What is taught in the sixth: all of it, and more of what answers harmful requests."""
HALVED = replace(SETTLED, recall=0.5, mix="last", also=(*SETTLED.also, ("act", "helpful")))
"""What is taught in the seventh: the same, and the facts that it believed wrongly are believed by half."""
FITTING = replace(
    HALVED, comparisons=0.5, plain=0.35, recall=0.3, facts=0.1, ties=0.3, misfits=0.3, misfit_facts=0.5,
)  # fmt: skip
"""What is taught last, in the eighth: to judge again, ties above all, and that an answer fits a question of fact."""
LATER: tuple[tuple[float, Phase], ...] = tuple(
    (steps / 10_000, phase)
    for steps, phase in (
        (400, FINISH), (352, RECALL), (400, ANSWERS), (400, REWORDED), (800, SETTLED), (600, HALVED), (400, FITTING),
    )
)  # fmt: skip
"""The short trainings that end it: what share of all steps each takes, and what is taught in it."""
FIRST = CURRICULUM[0.0]
PHASES = (*CURRICULUM.values(), *(phase for _, phase in LATER))
"""All of them, in order."""


def phase_at(done: float) -> Phase:
    """The phase when the share `done` of the first training is over."""
    return CURRICULUM[max(start for start in CURRICULUM if start <= done)]
