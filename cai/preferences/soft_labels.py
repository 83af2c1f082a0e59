"""Votes to one soft label: swap average, ensemble over samples and principles, temperature, clamp, ties, abstention."""

from __future__ import annotations

from collections.abc import Mapping

from cai.bands import within
from cai.errors import ParseError
from cai.preferences.votes import certainty, debiased_logit, paired_votes, sigmoid, unread, usable
from cai.recipe import PreferenceSettings
from cai.records import Judgement, Preference, Vote

REASONED_CLAMP = (0.4, 0.6)
"""What "auto" clamps labels to that were reasoned first: such judges are far too sure of themselves (paper §4.3)."""


def soft_label(
    judgement: Judgement, settings: PreferenceSettings, weights: Mapping[str, float] | None = None
) -> Preference:
    """The preference that the votes amount to; a tie is p_a = 0.5 exactly.

    Samples are averaged within a principle, then principles by `weights`. Raises `ParseError` ("abstained: …") when no
    principle has votes in both orders that count.
    """
    total = mean = sure = 0.0
    for principle_id, pairs in _usable_pairs(judgement, settings.mass_floor).items():
        weight = 1.0 if weights is None else weights.get(principle_id, 1.0)
        mean += weight * sum(sigmoid(debiased_logit(*both) / settings.temperature) for both in pairs) / len(pairs)
        sure += weight * sum(certainty(ab) + certainty(ba) for ab, ba in pairs) / (2 * len(pairs))
        total += weight
    if not total:
        raise ParseError(f"abstained: {why_abstained(judgement, settings.mass_floor)}")
    p_a = bounded(mean / total, settings.tie_band, clamp_of(judgement, settings))
    weight = sure / total if settings.weight == "certainty" else 1.0
    return Preference(judgement.prompt, judgement.response_a, judgement.response_b, p_a, weight)


def bounded(p_a: float, tie_band: float, clamp: tuple[float, float] | None) -> float:
    """A label as it is trained on: a tie within the band or on its edge, else within the clamp if there is one."""
    if within(p_a, tie_band):
        return 0.5
    return p_a if clamp is None else min(clamp[1], max(clamp[0], p_a))


def _usable_pairs(judgement: Judgement, mass_floor: float) -> dict[str, list[tuple[Vote, Vote]]]:
    found: dict[str, list[tuple[Vote, Vote]]] = {}
    for (principle_id, _), (ab, ba) in paired_votes(judgement).items():
        if usable(ab, mass_floor) and usable(ba, mass_floor):
            found.setdefault(principle_id, []).append((ab, ba))
    return found


def clamp_of(judgement: Judgement, settings: PreferenceSettings) -> tuple[float, float] | None:
    """The clamp that holds for this judgement: "auto" is `REASONED_CLAMP` for reasoned votes and none for others."""
    if settings.clamp != "auto":
        return settings.clamp
    return REASONED_CLAMP if any(vote.rationale is not None for vote in judgement.votes) else None


def why_abstained(judgement: Judgement, mass_floor: float) -> str:
    """Why no principle's votes count: the judge refused, no verdict could be read, or their mass is under the floor."""
    if all(unread(ab) or unread(ba) for ab, ba in paired_votes(judgement).values()):
        refused = any(vote.refused for vote in judgement.votes)
        return "the judge refused" if refused else "no verdict could be read in both orders"
    return f"no principle has mass {mass_floor:g} in both orders"
