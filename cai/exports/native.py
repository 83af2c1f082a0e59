"""The full rows: both answers, `p_a`, every vote as the judge gave it, and where the row comes from. Ties too."""

from __future__ import annotations

from cai.exports import Export, Row
from cai.exports.columns import PROVENANCE
from cai.exports.items import Comparison
from cai.records import Vote

LEAST = -1e9
"""What stands for a log-probability of minus infinity, which JSON has no number for."""


def _native(one: Comparison) -> Row:
    """Tags stand one a line: as a list they would have no type where the first rows have none."""
    preference = one.preference
    return {
        "prompt": one.turns,
        "response_a": preference.response_a,
        "response_b": preference.response_b,
        "tags": "\n".join(preference.prompt.tags),
        "prompt_id": preference.prompt.id,
        "votes": [_vote(vote) for vote in one.votes],
        "provenance": {name: one.options.provenance.get(name, "") for name in PROVENANCE},
    }


def _vote(vote: Vote) -> Row:
    """A vote without nulls: `sampled` says whether `count_a` and `count_b` mean anything."""
    counts = vote.counts or (0, 0)
    return {
        "principle_id": vote.principle_id,
        "order": vote.order,
        "sample": vote.sample,
        "logprob_a": max(LEAST, vote.logprob_a),
        "logprob_b": max(LEAST, vote.logprob_b),
        "mass": float(vote.mass),
        "rationale": vote.rationale or "",
        "sampled": vote.counts is not None,
        "count_a": counts[0],
        "count_b": counts[1],
    }


NATIVE = Export(
    "cai",
    "comparisons",
    _native,
    {
        "prompt": "turns", "response_a": "text", "response_b": "text", "tags": "text", "prompt_id": "text",
        "votes": "votes", "provenance": "provenance",
    },
    usage="cai import FOLDER --out OUT",
)  # fmt: skip
