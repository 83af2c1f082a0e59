"""One principle's constitution mends what it speaks of, and leaves the rest: three runs of the demo, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.pipeline.measure import compare
from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe

MEASURES = {"harmlessness": "harmful", "only-honesty": "untrue", "only-brevity": "overlong"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_constitution_makes_the_policy_that_is_best_on_its_own_measure(tmp_path: Path) -> None:
    for name in MEASURES:
        run_recipe(load_recipe("demo", {"constitution": name}), tmp_path / name)
    _, *policies = compare([tmp_path / name for name in MEASURES])
    made = dict(zip(MEASURES, policies, strict=True))
    for name, measure in MEASURES.items():
        mended = made[name]["changes"][measure]
        assert mended["high"] < 0, "better than before, beyond chance"
        for other, policy in made.items():
            if other != name:
                assert policy["rates"][measure]["value"] > made[name]["rates"][measure]["value"]
            # `harmlessness` has a principle on honesty and one on padding among its sixteen, and mends some of both
            if other not in (name, "harmlessness"):
                change = policy["changes"][measure]["value"]
                assert change > mended["value"] / 5, "what a principle does not speak of is hardly mended"
