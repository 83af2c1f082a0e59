from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.training.schedule import Plan, lr_factor, micro_batches, permutation


def test_a_permutation_is_the_same_on_every_machine():
    assert permutation(10, 0, 0) == [9, 7, 5, 2, 1, 4, 6, 3, 8, 0]
    assert permutation(10, 0, 1) != permutation(10, 0, 0) != permutation(10, 1, 0)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.integers(1, 3))
def test_every_epoch_takes_every_row_once(rows, batch_size, seed, epochs):
    plan = Plan(rows, batch_size, float(epochs), seed)
    assert plan.total_steps == epochs * plan.steps_per_epoch
    for epoch in range(epochs):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        batches = [plan.batch(step) for step in steps]
        assert sorted(row for batch in batches for row in batch) == list(range(rows))
        assert all(0 < len(batch) <= batch_size for batch in batches)


def test_part_of_an_epoch():
    assert Plan(100, 10, 0.5, 0).total_steps == 5
    assert Plan(100, 10, 2.26, 0).total_steps == 23
    assert Plan(3, 10, 0.01, 0).total_steps == 1


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["constant", "linear", "cosine"]))
def test_no_step_is_without_effect_and_none_above_the_full_rate(total, warmup, scheduler):
    factors = [lr_factor(step, total, warmup, scheduler) for step in range(total)]
    assert all(0.0 < factor <= 1.0 for factor in factors)


def test_shapes_of_the_schedules():
    assert [lr_factor(step, 4, 0.0, "linear") for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert lr_factor(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert [lr_factor(step, 8, 0.5, "constant") for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 200))
def test_micro_batches_keep_every_row_and_the_budget(widths, budget):
    batches = micro_batches(range(len(widths)), dict(enumerate(widths)), budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(widths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(widths[row] for row in batch) <= budget
