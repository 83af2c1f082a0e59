"""The shipped model keeps to the aims of its card, on held-out prompts, pairs and wordings of three draws."""

from __future__ import annotations

import pytest

from cai.embedded import weights_path
from cai.embedded.evaluate import BARS, evaluate
from cai.records import Json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def figures() -> list[dict[str, Json]]:
    return [evaluate(weights_path(), seed=seed) for seed in (10, 11, 12)]


AIMED = [key for key, (_, low, high) in BARS.items() if (low, high) != (0, 1)]


@pytest.mark.parametrize("key", AIMED)
def test_an_aim_is_met(figures: list[dict[str, Json]], key: str) -> None:
    _, low, high = BARS[key]
    cases = sum(one[key]["n"] for one in figures)
    assert low <= sum(one[key]["value"] * one[key]["n"] for one in figures) / cases <= high
