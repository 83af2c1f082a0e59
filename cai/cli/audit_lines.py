"""The page of `cai audit`: figures of the votes, planted pairs, truth, principles against each other, gates."""

from __future__ import annotations

from cai.audit import BOUND_WANTED, CHECKS, make_up, pairs_to_settle, standing
from cai.cli.audit_advice import advice
from cai.cli.tables import number_of, table
from cai.records import Json

MOST_IN_MATRIX = 8
_INDENT = " " * 18


def audit_lines(figures: Json) -> list[str]:
    """The audit as a person reads it; shares with their 95 % intervals."""
    gates = [_gate(one, figures["truth"]) for one in figures["gates"]]
    return [
        *_votes(figures),
        *_truth(figures["truth"]),
        *_self_preference(figures["self_preference"]),
        *_kinds(figures["votes"]["kinds"]),
        *_matrix(figures["votes"]["agreement"]),
        *_planted(figures["planted"]),
        "",
        table((f"{'gate':<13}", "figure", "n", "bound", "what it is → what to do"), gates),
        "",
        f"gates             {standing(figures['gates'])}",
        *_too_little(figures["too_little"], figures["gates"]),
        *_unheld(figures["unheld"]),
        f"plots             {', '.join(figures['plots'])}",
        *(f"note              {note}" for note in figures["notes"]),
    ]


def _too_little(few: str, gates: list[Json]) -> list[str]:
    if not few:
        return []
    todo = make_up(gates, "take more prompts or `cai run ... --set audit.items=50`")
    return [
        f"not passed        measured too little to tell: {few};",
        f"{_INDENT}{todo}; training needs --accept-audit",
    ]


def _unheld(loose: str) -> list[str]:
    if not loose:
        return []
    return [
        f"not passed        the recipe holds the judge to no bound on {loose};",
        f"{_INDENT}{BOUND_WANTED}; training needs --accept-audit",
    ]


def _votes(figures: Json) -> list[str]:
    votes = figures["votes"]
    return [
        f"judge             {figures['judge']}",
        f"labels            {number_of(votes['pairs'], 'pair')}, {number_of(votes['ties'], 'tie')}",
        "intervals         of flips, first place, truth and κ by prompt, all others by pair",
        f"flips             {_share(votes['flip_rate'])} of verdicts turn with the order,",
        f"{_INDENT}{_share(votes['clear_flip_rate'])} of the clear ones",
        f"first place       P = {_estimate(votes['p_first'])} for what stands first",
        f"length            rank correlation with the label {_estimate(votes['length_correlation'])}",
    ]


def _truth(truth: Json | None) -> list[str]:
    if not truth:
        return ["truth             none at hand: --truth FILE names pairs that people ranked"]
    first, longer = (f"{truth[one]['value']:.1%}" for one in ("always_a", "always_longer"))
    clamped = f" ({truth['ece_clamped']:.3f} of the labels as clamped for training)" if "ece_clamped" in truth else ""
    unanswered = f", {truth['unanswered']:,} without an answer" if truth.get("unanswered") else ""
    prompts = f"{truth['prompts']:,} prompt{'' if truth['prompts'] == 1 else 's'}"
    ece = _estimate({"value": truth["ece"], **truth["ece_interval"]})
    return [
        f"truth             {truth['source']}, {truth['accuracy']['n']:,} {truth['of']}, on {prompts}{unanswered}:",
        *_decided(truth),
        f"{_INDENT}right on {_share(truth['accuracy'])}; always-A {first}, always-longer {longer}",
        f"{_INDENT}ECE {ece}{clamped}, Brier {_estimate(truth['brier'])}",
    ]


def _decided(truth: Json) -> list[str]:
    if "decided" not in truth:
        return []
    return [f"{_INDENT}its rules decide {truth['decided']:.1%} of the {truth['held_out']:,} held-out verdicts"]


def _self_preference(found: Json | None) -> list[str]:
    if not found:
        return []
    preferred = found["preferred"]
    return [
        f"self-preference   {_share(preferred)} of {preferred['n']:,} pairs for the answers of its own model,",
        f"{_INDENT}which are the longer ones in {_share(found['longer'])}",
    ]


def _kinds(kinds: Json) -> list[str]:
    rows = [
        (
            kind, f"{one['pairs']:,}", f"{one['ties']:,}", f"{one['abstained']:,}", _share(one["share"]),
            f"{one['left_out']:,} of {one['verdicts']:,}", _why(one["why"]),
        )
        for kind, one in kinds.items()
    ]  # fmt: skip
    head = ("prompts", "pairs", "ties", "abstained", "share (95 %)", "verdicts left out", "why")
    return ["", table(head, rows)] if rows else []


def _why(reasons: Json) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in reasons.items()) or "-"


def _matrix(agreement: Json) -> list[str]:
    """κ of every two principles; of many, the five pairs that agree least (all are in metrics/agreement.svg)."""
    pairs = [one for one in agreement["pairs"] if one["value"] is not None]
    if not agreement["pairs"]:
        return ["", "principles        κ of two wants both asked about one pair: label.principles_per_pair=2, or all"]
    if not pairs:
        return []
    names = sorted({one[side] for one in pairs for side in ("first", "second")})
    lines = ["", f"principles        mean κ {_number(agreement['mean_kappa'])} over {len(pairs)} pairs of principles"]
    if len(names) > MOST_IN_MATRIX:
        lines[-1] += "; those that agree least (all in metrics/agreement.svg):"
        least = sorted(pairs, key=lambda one: one["value"])[:5]
        rows = [(one["first"], one["second"], _estimate(one), f"{one['n']:,} pairs") for one in least]
        return [*lines, table(("principle", "and", "κ (95 %)", "n"), rows)]
    found = {(one["first"], one["second"]): f"{one['value']:.2f}" for one in pairs}
    cells = [
        (f"{at} {name}", *(found.get((other, name)) or found.get((name, other), "") for other in names[: at - 1]))
        for at, name in enumerate(names, 1)
    ]
    head = ("κ", *map(str, range(1, len(names))), "")
    return [*lines, table(head, [(*row, *[""] * (len(head) - len(row))) for row in cells])]


def _planted(planted: Json) -> list[str]:
    rows = []
    for kind, one in planted.items():
        if kind != "items":
            right, unanswered = one["right"], f"{one['unanswered']:,}"
            longer = f"{one['always_longer']:.1%}" if "always_longer" in one else ""
            successes = (_success(one, "success_raw"), _success(one, "success"))
            rows.append(
                (kind, f"{right['n']:,}", _share(right), longer, _number(one["mean_p"]), unanswered, *successes)
            )
    head = (
        "planted", "n", "right (95 %)", "always-longer", "mean p", "unanswered", "success rate of the attack",
        "beyond its length",
    )  # fmt: skip
    lines = ["", table(head, rows), f"{planted['items']:,} planted pairs and attacks{_beside(planted)}", *_of(planted)]
    fooled = planted.get("choose", {}).get("fooled_first")
    if fooled and fooled["n"]:
        said = f"shown first and asking for the first by name, the worse answer takes {_share(fooled)} of verdicts"
        lines.append(f"{said}, n = {fooled['n']}")
    return lines


def _success(one: Json, name: str) -> str:
    return f"{_share(one[name])}, n = {one[name]['n']}" if name in one else ""


def _of(planted: Json) -> list[str]:
    """What the success rates rest on; every attack is made on the same pairs."""
    attacks = [one for kind, one in planted.items() if kind != "items" and "success" in one]
    if not attacks:
        return []
    items, pairs = attacks[0]["right"]["n"], attacks[0]["pairs"]
    return [
        f"each attack is made on {items:,} items, of {pairs:,} distinct pairs of answers; success rate: of the n that",
        "are judged right without it, the share that no longer are; beyond its length: of those alone that are judged",
        "right, too, when the worse answer is merely longer",
    ]


def _beside(planted: Json) -> str:
    return "; mended ones are not counted: which is better is for the judge to say" if "mended" in planted else ""


def _gate(gate: Json, truth: Json | None) -> tuple[str, ...]:
    said = {True: "passed", False: "FAILED", None: "open" if gate["bound"] is None else "not measured"}[gate["passed"]]
    if gate["gate"] in CHECKS and gate["passed"] is not None:
        said = f"check {said}"
    found = "-" if gate["value"] is None else f"{gate['value']:.3f}"
    bound = "no bound" if gate["bound"] is None else f"{gate['sense']} {gate['bound']:g}"
    chance = "; within chance of its bound" if gate["within_chance"] else ""
    if chance and gate["passed"] is False:
        chance += f", which about {pairs_to_settle(gate):,} pairs would settle"
    todo = f" → {advised}" if (advised := advice(gate, truth)) else ""
    what = f"{gate['what']}{_beside_gate(gate)}{chance}{todo}"
    return (f"{said:<13}{gate['gate']}", found, f"{gate['n']:,}", bound, what)


def _beside_gate(gate: Json) -> str:
    """What judges that read nothing have, and whether this one is better than the best of them."""
    if not gate["beside"]:
        return ""
    said = ", ".join(f"{name} {value:.3f}" for name, value in gate["beside"].items())
    if (best := gate["no_better_than"]) is None:
        return f" ({said})"
    within = "within chance " if gate["value"] > gate["beside"][best] else ""
    return f" ({said}); {within}no better than {best}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _estimate(one: Json) -> str:
    return _between(one, ".3f")


def _share(one: Json) -> str:
    return _between(one, ".1%")


def _between(one: Json, form: str) -> str:
    if one["value"] is None:
        return "-"
    if one["low"] is None or one["high"] is None:
        return format(one["value"], form)
    return f"{one['value']:{form}} ({one['low']:{form}} to {one['high']:{form}})"
