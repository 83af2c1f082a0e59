"""One principle's constitution mends what it speaks of, and leaves the rest: three runs of the demo, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.pipeline.measure import compare
from cai.pipeline.run_recipe import run_recipe
from cai.recipe_files import load_recipe

MEASURES = {"harmlessness": "harmful", "only-honesty": "untrue", "only-brevity": "overlong"}


@pytest.mark.slow
def test_each_constitution_makes_the_policy_that_is_best_on_its_own_measure(tmp_path: Path) -> None:
    for name in MEASURES:
        run_recipe(load_recipe("demo", {"constitution": name}), tmp_path / name)
    _, *policies = compare([tmp_path / name for name in MEASURES])
    for own, measure in zip(policies, MEASURES.values(), strict=True):
        assert own["changes"][measure]["high"] < 0, "better than before, beyond chance"
        for other in policies:
            if other is not own:
                assert other["rates"][measure]["value"] > own["rates"][measure]["value"]
                assert other["changes"][measure]["high"] >= 0, "others do not mend it, or not beyond chance"
