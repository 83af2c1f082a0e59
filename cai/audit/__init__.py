"""Is this judge fit to label? Figures of its stored votes, planted truths, and the gates before any training."""

from __future__ import annotations

from cai.audit.agreement import kappa, principle_agreement
from cai.audit.calibration import Forecast, calibration
from cai.audit.gates import (
    BOUND_WANTED,
    CHECKS,
    FEWEST,
    Gate,
    failings,
    gates,
    keeps,
    make_up,
    objections,
    spans,
    standing,
    too_little,
    unheld,
    untold,
)  # fmt: skip
from cai.audit.items import FIT, SPECIAL, SUFFIXES, TRUTHS, Item, constitution_items, planted_items, was_mended
from cai.audit.self_preference import Beside, self_preference
from cai.audit.settling import pairs_to_settle, settling
from cai.audit.verdicts import PlantedVerdict, planted_figures
from cai.audit.votes import Turns, VoteFigures, abstentions

__all__ = [
    "BOUND_WANTED",
    "CHECKS",
    "FEWEST",
    "FIT",
    "SPECIAL",
    "SUFFIXES",
    "TRUTHS",
    "Beside",
    "Forecast",
    "Gate",
    "Item",
    "PlantedVerdict",
    "Turns",
    "VoteFigures",
    "abstentions",
    "calibration",
    "constitution_items",
    "failings",
    "gates",
    "kappa",
    "keeps",
    "make_up",
    "objections",
    "pairs_to_settle",
    "planted_figures",
    "planted_items",
    "principle_agreement",
    "self_preference",
    "settling",
    "spans",
    "standing",
    "too_little",
    "unheld",
    "untold",
    "was_mended",
]
