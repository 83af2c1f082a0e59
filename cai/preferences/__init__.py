"""Votes to soft labels, labels to rankings, grades to unpaired labels, and the mix with human pairs (paper §4.1, §4.2).

Pure arithmetic on what is stored: changing any of it asks no model.
"""

from __future__ import annotations

from cai.preferences.consistency import Consistency
from cai.preferences.figures import CLEAR, LabelFigures
from cai.preferences.soft_labels import REASONED_CLAMP, clamp_of, soft_label
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
    "beta_interval",
    "beta_variance",
    "certainty",
    "clamp_of",
    "debiased_logit",
    "paired_votes",
    "sigmoid",
    "soft_label",
    "unread",
    "usable",
]
