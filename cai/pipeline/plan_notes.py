"""What a plan says beside its numbers: what makes a run dear or vain, and what the numbers leave unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cai.pipeline.plan_nodes import Node


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
