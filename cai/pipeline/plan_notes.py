"""What a plan says beside its numbers: what makes a run dear or vain, and what the numbers leave unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cai.pipeline.plan_nodes import Node
from cai.preferences import usable
from cai.records import Json, Judgement


def sampled_notes(nodes: Sequence[Node]) -> Iterator[str]:
    """One a step to be done whose every verdict is several samples, for the judge's log-probabilities tell none."""
    for node in nodes:
        samples = getattr(node.stage, "fallback_samples", 0)
        if node.why and samples > 1:
            said = "grade" if node.step == "rubric" else "verdict"
            yield (
                f"{node.step}: this judge gives no usable log-probabilities; every {said} is {samples} samples "
                f"({node.step}.fallback_samples)"
            )


def unread_notes(nodes: Sequence[Node], rows: Mapping[str, Sequence[Json]], mass_floor: float) -> Iterator[str]:
    """One where most verdicts on `rows["label"]` do not count: the labels of the run are likely to be rejected."""
    if not any(one.why for one in nodes if one.step == "label"):
        return
    votes = [vote for row in rows.get("label", ()) for vote in Judgement.from_json(row).votes]
    unread = sum(not usable(one, mass_floor) for one in votes)
    if 2 * unread > len(votes):
        yield (
            f"label: {unread:,} of {len(votes):,} probed verdicts could not be read (their mass is under "
            f"preferences.mass_floor, {mass_floor:g}); pairs that have none to count are rejected"
        )


def covered_note(probed: int, prompts: int, calls: int) -> Iterator[str]:
    """One where the probe took in all prompts of the run: it was no sample of the price, but the price.

    `calls`: the most that are still to be made.
    """
    if prompts and probed == prompts:
        left = "only the calls that the table counts are left to pay" if calls else "no call is left to pay"
        yield f"the probe covers all {prompts:,} prompts: {left}"


def answered_note(was_empty: bool, answered: int, probed: int) -> Iterator[str]:
    """One where more calls are told as answered than were asked by this plan (`probed`), and nothing else was there."""
    if was_empty and answered > probed:
        now = "asked by the probe just now, or " if probed else ""
        yield f'no answer was there before: those under "answered" are {now}equal to another call of this run'
