"""The judge's votes on a pair as `cai show` prints them: both log-probabilities of every vote, then their plain means.

The label, which weighs principles, is in `preferences.jsonl`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from cai.cli.tables import table
from cai.records import Json

_HEAD = ("order", "log p(a)", "log p(b)", "p(a) of both", "mass", "principle")


def vote_table(votes: Sequence[Json]) -> str:
    """A line a vote, and the mean of each order where it has several; a vote that tells nothing has dashes."""
    return table(_HEAD, [*map(_row, votes), *_means(votes)])


def share(logprob: float, other: float) -> float:
    """What the first has of the two together."""
    return 1 / (1 + math.exp(max(-700.0, min(700.0, other - logprob))))


def counted(one: Json, first: str, second: str) -> str:
    """The sampled verdicts behind it, if it was not read from log-probabilities."""
    counts = one.get("counts")
    return f" ({counts[0]} × {first}, {counts[1]} × {second})" if counts else ""


def _row(vote: Json) -> tuple[str, ...]:
    several = f", sample {vote['sample'] + 1}" if vote["sample"] else ""
    about = f"[{vote['principle_id']}]{several}{counted(vote, 'a', 'b')}"
    if not vote["mass"]:
        return (vote["order"], "-", "-", "-", "0.000", f"{about} no verdict could be read")
    a, b = vote["logprob_a"], vote["logprob_b"]
    return (vote["order"], f"{a:.3f}", f"{b:.3f}", f"{share(a, b):.3f}", f"{vote['mass']:.3f}", about)


def _means(votes: Sequence[Json]) -> Iterator[tuple[str, ...]]:
    for order in ("ab", "ba"):
        some = [one for one in votes if one["order"] == order and one["mass"]]
        if len(some) < 2:
            continue
        a, b, mass = (fmean(one[key] for one in some) for key in ("logprob_a", "logprob_b", "mass"))
        both = fmean(share(one["logprob_a"], one["logprob_b"]) for one in some)
        yield (order, f"{a:.3f}", f"{b:.3f}", f"{both:.3f}", f"{mass:.3f}", f"plain mean of {len(some)} votes")
