"""Soft labels for trainers that know only hard ones, and what each way does to the loss.

The loss on a soft label p is −p·logσ(d) − (1−p)·logσ(−d), d = r_a − r_b. Of the four ways

- "bernoulli" draws the winner with probability p: the same loss in expectation, whatever p is;
- "duplicate" writes k·p rows one way and k·(1−p) the other: the same loss k times over, exactly where k·p is whole and
  in expectation elsewhere;
- "argmax" takes the likelier answer: every label becomes certain, so what a clamp did to it is no longer seen;
- "threshold" is argmax over the labels that are at least so far from one half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cai.bands import reaches
from cai.draws import draw_uniform
from cai.exports import ExportOptions, LeftOut

MOST_CERTAIN = 0.999
"""Margins end at the logit of this probability, about 6.9 nats."""


def draws(p: float, identity: str, options: ExportOptions) -> Sequence[bool] | LeftOut:
    """One truth value a row: whether the side of probability `p` wins it. The draw depends on seed and id alone."""
    if options.labels == "bernoulli":
        return (draw_uniform(options.seed, identity, "export label") < p,)
    if options.labels == "duplicate":
        wins = min(options.copies, math.floor(options.copies * p + draw_uniform(options.seed, identity, "export copy")))
        return (True,) * wins + (False,) * (options.copies - wins)
    if p == 0.5:
        return LeftOut("ties")
    if options.labels == "threshold" and not reaches(p, options.threshold):
        return LeftOut("under_threshold")
    return (p > 0.5,)


def margin(p: float) -> float:
    """The logit of `p` in nats, 0 … 6.9: what a reward trainer is to put between the answers; 0 where p is under ½.

    It grows with p, and is not the loss on the soft label: a margin asks for a gap, a soft label for a probability.
    """
    p = min(MOST_CERTAIN, max(0.5, p))
    return math.log(p / (1.0 - p))
