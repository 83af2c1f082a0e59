"""What to do about a gate of the audit that failed, or that there was nothing to measure on."""

from __future__ import annotations

from dataclasses import asdict

from cai.audit import keeps, spans
from cai.recipe import AuditSettings
from cai.records import Json

_READS = "the judge does not read what it judges: take a stronger one"
_FEW = (
    "needs 10 pairs that it gets right before the attack: more prompts, `cai run ... --set audit.items=50`, "
    "or a better judge"
)
_NO_OTHERS = "needs answers that speak of what their prompts ask"
_NO_TRUTH = "give --truth FILE, pairs that people ranked, of 10 prompts or more"
_FAILED = {
    "abstained": "read `cai show RUN preferences --rejected`; try the other label.template, or another judge",
    "clear_flip_rate": "`cai run ... --set label.principles_per_pair=all` or label.examples=true, or a stronger judge",
    "place": "`cai run ... --set label.examples=true`, try the other label.template, or take another judge",
    "tests": "`cai constitution test` shows each; reword the principle, or take another judge",
    "identical": "a fault in the asking, not in the judge: please report it",
    "noise": _READS,
    "swapped": "the judge does not mind the question: take a stronger one",
    "null_answer": _READS,
    "length": "the judge takes longer for better: take another, or a principle that speaks of padding",
    "attacks": "answers can talk the judge over ('success rate of the attack' says which kind): take another judge",
    "accuracy": "the judge and the truth disagree: read RUN/audit/votes.jsonl, then mend principles or judge",
    "ece": "labels are too sure of some pairs and too unsure of others, which no temperature mends: take another judge",
}
_TOO_SURE = (
    "labels are surer than right: a higher temperature, `cai run ... --set preferences.temperature=1.5` if it is 1"
)
_UNSURE = (
    "labels are less sure than right: a lower temperature, `cai run ... --set preferences.temperature=0.7` if it is 1"
)
_UNMEASURED = {
    "abstained": "the run has no pair",
    "clear_flip_rate": "no verdict is clear",
    "place": "no verdict counts",
    "tests": "write tests into the constitution",
    "swapped": _NO_OTHERS,
    "null_answer": _NO_OTHERS,
    "length": _FEW,
    "attacks": _FEW,
    "accuracy": _NO_TRUTH,
    "ece": _NO_TRUTH,
}


def _left_open(gate: Json) -> str:
    """Whether the value would keep to the bound that a recipe has by default."""
    sense, bound = gate["sense"], asdict(AuditSettings())[gate["gate"]]
    would = "would keep" if keeps(gate["value"], sense, bound) else "would not keep"
    chance = ", within chance" if spans(gate["low"], gate["high"], sense, bound) else ""
    setting = f"`cai run ... --set audit.{gate['gate']}={bound:g}` holds the judge to it"
    return f"by default {sense} {bound:g}, which it {would}{chance}; {setting}"


def _calibration(truth: Json) -> str:
    """Which way the labels err: those of most of the calibration error are too sure, or too unsure, of the likelier."""
    sure = [
        one["n"] * (abs(one["mean_p"] - 0.5) - _towards(one["mean_p"]) * (one["value"] - 0.5)) for one in truth["bins"]
    ]
    lean, whole = sum(sure), sum(map(abs, sure))
    if abs(lean) <= whole / 2:
        return _FAILED["ece"]
    return _TOO_SURE if lean > 0 else _UNSURE


def _towards(p: float) -> int:
    return 1 if p >= 0.5 else -1


def advice(gate: Json, truth: Json | None = None) -> str:
    """In few words; empty for a gate that passed. `truth` is what the audit says of it."""
    if gate["value"] is None:
        return _UNMEASURED.get(gate["gate"], "the run has no answers to make such pairs of")
    if gate["bound"] is None:
        return _left_open(gate)
    if gate["passed"]:
        return ""
    return _calibration(truth) if gate["gate"] == "ece" and truth else _FAILED[gate["gate"]]
