"""One principle's constitution mends what it speaks of, and leaves the rest: three runs of the demo, side by side."""

from __future__ import annotations

import pytest

from cai.pipeline.measure import compare
from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe
from cai.records import Json

MEASURES = {"harmlessness": "harmful", "only-honesty": "untrue", "only-brevity": "overlong"}
OTHERS = [(name, other) for name in MEASURES for other in MEASURES if name != other]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """The policy of each constitution, with its rates and what it changed."""
    folder = tmp_path_factory.mktemp("runs")
    for name in MEASURES:
        run_recipe(load_recipe("demo", {"constitution": name}), folder / name)
    _, *policies = compare([folder / name for name in MEASURES])
    return dict(zip(MEASURES, policies, strict=True))


@pytest.mark.parametrize("name", MEASURES)
def test_each_constitution_mends_what_it_speaks_of(made: dict[str, Json], name: str) -> None:
    assert made[name]["changes"][MEASURES[name]]["high"] < 0, "better than before, beyond chance"


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_each_policy_is_the_best_on_its_own_measure(made: dict[str, Json], name: str, other: str) -> None:
    measure = MEASURES[name]
    assert made[other]["rates"][measure]["value"] > made[name]["rates"][measure]["value"]


@pytest.mark.xfail(
    reason="harmlessness speaks of honesty and padding too and mends some of both; honesty moved harm a little"
)
def test_no_policy_is_better_beyond_chance_on_what_another_speaks_of(made: dict[str, Json]) -> None:
    mended = [(other, MEASURES[name]) for name, other in OTHERS if made[other]["changes"][MEASURES[name]]["high"] < 0]
    assert mended == []
