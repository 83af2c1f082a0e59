"""What would tell a judge that fails from one that was unlucky: how many pairs, and how to come by them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from cai.records import Json

MOST_ITEMS = 10_000
_OF_THE_RUN = ("abstained", "clear_flip_rate", "place")
_OF_THE_TRUTH = ("accuracy", "ece")


def pairs_to_settle(gate: Json) -> int:
    """About how many pairs put the interval of a failed gate to one side of its bound, if its value stays.

    The width of an interval goes as 1/√n; more than there are.
    """
    half, away = (gate["high"] - gate["low"]) / 2, abs(gate["value"] - gate["bound"])
    n = int(gate["n"])
    return max(n + 1, ceil(n * float(half / away) ** 2))


def settling(gates: Sequence[Json], items: int, limited: bool) -> str:
    """What settles the failed gates, as JSON, that are within chance of their bounds; empty if there is none.

    `items` is the recipe's `audit.items`, and `limited` whether it takes the first prompts alone.
    """
    doubtful = [one for one in gates if one["passed"] is False and one["within_chance"]]
    return ", ".join(_settling(one, items, limited) for one in doubtful)


def _settling(gate: Json, items: int, limited: bool) -> str:
    wanted = pairs_to_settle(gate)
    prompts = "more prompts (a larger --limit)" if limited else "more prompts"
    asked = ceil(items * wanted / gate["n"])
    if gate["gate"] == "tests":
        how = "more tests in the constitution"
    elif gate["gate"] in _OF_THE_RUN:
        how = prompts
    elif gate["gate"] in _OF_THE_TRUTH:
        how = f"{prompts}, or pairs of audit.truth"
    else:
        how = f"`--set audit.items={asked}` and {prompts}" if asked <= MOST_ITEMS else prompts
    return f"about {wanted:,} pairs would settle {gate['gate']}: {how}"
