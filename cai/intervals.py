"""Intervals on shares and on paired differences; standard library only."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from cai.records import Json


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the ends of its interval, and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> Json:
        """None stands for a value that there is no observation of, and for an end that is not known."""
        return {"value": finite(self.value), "low": finite(self.low), "high": finite(self.high), "n": self.n}

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def finite(value: float) -> float | None:
    """The value, or None if it is not a finite number, which JSON cannot write."""
    return value if math.isfinite(value) else None


def normal_quantile(confidence: float) -> float:
    """z such that a standard normal lies within ±z with probability `confidence`; 0 < confidence < 1."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: float, trials: int, confidence: float = 0.95) -> Estimate:
    """A share with its Wilson score interval (Wilson 1927); a tie may count as half a success.

    With no trials nothing is known: the value is NaN and the interval is all of [0, 1].
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if trials == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    share = successes / trials
    return Estimate(share, *_wilson_ends(share, trials, confidence), trials)


def _wilson_ends(share: float, trials: float, confidence: float) -> tuple[float, float]:
    z2 = normal_quantile(confidence) ** 2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials * trials))) / (1 + z2 / trials)
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def mean(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of rows with its normal interval; with fewer than two rows the ends are −∞ and ∞."""
    n = len(values)
    if n < 2:
        return Estimate(values[0] if values else math.nan, -math.inf, math.inf, n)
    middle = fmean(values)
    variance = sum((one - middle) ** 2 for one in values) / (n - 1)
    half = normal_quantile(confidence) * math.sqrt(variance / n)
    return Estimate(middle, middle - half, middle + half, n)


def mean_of_shares(shares: Sequence[Estimate]) -> Estimate:
    """The unweighted mean of independent shares, its interval made from theirs (Zou & Donner 2008); n is the sum.

    Ends of a share that are not finite leave that end of the mean unknown; with no shares the value is NaN.
    """
    n = sum(one.n for one in shares)
    if not shares:
        return Estimate(math.nan, 0.0, 1.0, 0)
    value = fmean(one.value for one in shares)
    down = math.sqrt(sum((one.value - one.low) ** 2 for one in shares)) / len(shares)
    up = math.sqrt(sum((one.high - one.value) ** 2 for one in shares)) / len(shares)
    return Estimate(value, value - down, value + up, n)


def ratio(parts: Sequence[float], wholes: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Σ parts / Σ wholes of a share in 0 … 1, with a normal interval over the rows (Cochran 1977, §6.3); n is Σ wholes.

    For shares of things that come in clusters: a row is a cluster, whatever its size. With one row, or no spread
    between rows, the interval is Wilson's for as many observations as there are rows.
    """
    rows = [(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole]
    whole, n = math.fsum(one for _, one in rows), len(rows)
    if not whole:
        return wilson(0, 0, confidence)
    value = math.fsum(one for one, _ in rows) / whole
    spread = math.fsum((part - value * of) ** 2 for part, of in rows)
    if n < 2 or spread < 1e-12 * whole**2:
        few = wilson(value * n, n, confidence)
        return Estimate(value, few.low, few.high, round(whole))
    half = normal_quantile(confidence) * math.sqrt(spread * n / (n - 1)) / whole
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), round(whole))


def share_by_group(groups: Sequence[str], values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of values in 0 … 1 with groups as the unit; Wilson's interval where no group has two values."""
    members: dict[str, list[float]] = {}
    for group, value in zip(groups, values, strict=True):
        members.setdefault(group, []).append(value)
    if len(members) == len(values):
        return wilson(sum(values), len(values), confidence)
    return ratio([sum(some) for some in members.values()], [len(some) for some in members.values()], confidence)


def clustered_share(groups: Sequence[Hashable], hits: Sequence[bool], confidence: float = 0.95) -> Estimate:
    """The share of hits, with Wilson's interval for as many independent ones as their groups are worth; n counts all.

    Where hits of a group go together, they are worth fewer (n over the design effect, Kish 1965); never more than n,
    and as many as there are groups where all hits are alike. Where hits are fewer than groups, how they spread says
    little: the upper end is then not below that of no hit, and so the lower one for misses. Groups of one give
    Wilson's own.
    """
    n = len(hits)
    if not n:
        return wilson(0, 0, confidence)
    share = sum(hits) / n
    clusters = len(set(groups))
    worth = float(clusters)
    if clusters > 1 and 0 < share < 1:
        effect = _variance(groups, hits) / (share * (1 - share) / (n - 1))
        worth = max(1.0, n / max(1.0, effect))
    low, high = _wilson_ends(share, worth, confidence)
    if sum(hits) <= clusters:
        high = max(high, _wilson_ends(0.0, float(clusters), confidence)[1])
    if n - sum(hits) <= clusters:
        low = min(low, _wilson_ends(1.0, float(clusters), confidence)[0])
    return Estimate(share, low, high, n)


def clustered_change(groups: Sequence[Hashable], changes: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of changes in −1 … 1 with a normal interval by group, or by row if that is wider; n counts the rows.

    With fewer than two groups the ends are −∞ and ∞. Where all rows changed alike, an end lies as far off as Wilson's
    lies from nothing seen in as many trials as there are groups.
    """
    n, clusters = len(changes), len(set(groups))
    if clusters < 2:
        return Estimate(fmean(changes) if n else math.nan, -math.inf, math.inf, n)
    value = fmean(changes)
    if len(set(changes)) == 1:
        half = wilson(0, clusters, confidence).high
    else:
        variance = max(_variance(groups, changes), _variance(range(n), changes))
        half = normal_quantile(confidence) * math.sqrt(variance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), n)


def _variance(groups: Sequence[Hashable], values: Sequence[float]) -> float:
    """Of the mean of values of which those of a group may go together; there are two groups or more."""
    middle = fmean(values)
    sums: dict[Hashable, float] = {}
    for group, value in zip(groups, values, strict=True):
        sums[group] = sums.get(group, 0.0) + value - middle
    return sum(one**2 for one in sums.values()) * len(sums) / (len(sums) - 1) / len(values) ** 2
