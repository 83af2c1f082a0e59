"""Votes to soft labels, labels to rankings, grades to unpaired labels, and the mix with human pairs (paper §4.1, §4.2).

Pure arithmetic on what is stored: changing any of it asks no model.
"""

from __future__ import annotations

from cai.preferences.consistency import Consistency
from cai.preferences.figures import CLEAR, LabelFigures
from cai.preferences.mixing import Mix, mixed, on_the_side_of
from cai.preferences.rankings import compared, rankings, tie_strength
from cai.preferences.rubrics import RubricFigures, p_yes
from cai.preferences.soft_labels import REASONED_CLAMP, bounded, clamp_of, soft_label, why_abstained
from cai.preferences.votes import (
    beta_interval,
    beta_variance,
    certainty,
    debiased_logit,
    paired_votes,
    sigmoid,
    unread,
    usable,
)  # fmt: skip

__all__ = [
    "CLEAR",
    "REASONED_CLAMP",
    "Consistency",
    "LabelFigures",
    "Mix",
    "RubricFigures",
    "beta_interval",
    "beta_variance",
    "bounded",
    "certainty",
    "clamp_of",
    "compared",
    "debiased_logit",
    "mixed",
    "on_the_side_of",
    "p_yes",
    "paired_votes",
    "rankings",
    "sigmoid",
    "soft_label",
    "tie_strength",
    "unread",
    "usable",
    "why_abstained",
]
