from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.training.schedule import Plan, dealt, lr_factor, packed_batches, padded_batches, permutation


def test_a_permutation_is_the_same_on_every_machine():
    assert permutation(10, 0, 0) == [9, 7, 5, 2, 1, 4, 6, 3, 8, 0]
    assert permutation(10, 0, 1) != permutation(10, 0, 0) != permutation(10, 1, 0)


def pairs(rows: int, batch_size: int, epochs: float, **more) -> Plan:
    return Plan([1] * rows, [1] * rows, batch_size, epochs, 0, **more)


SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 50)), min_size=1, max_size=40)


@given(SIZES, st.integers(1, 20), st.integers(0, 5), st.integers(1, 3), st.integers(1, 4))
def test_every_epoch_takes_every_group_once(shapes, batch_size, seed, epochs, mega_batch):
    sizes, widths = zip(*shapes, strict=True)
    plan = Plan(sizes, widths, batch_size, float(epochs), seed, mega_batch)
    batches = [plan.batch(step) for step in range(plan.total_steps)]
    for epoch in range(epochs):
        steps = plan.epoch(epoch)
        assert batches[: len(steps)] == steps
        assert sorted(group for batch in steps for group in batch) == list(range(len(sizes)))
        batches = batches[len(steps) :]
        for batch in steps:
            assert len(batch) == 1 or sum(sizes[group] for group in batch) <= batch_size
    assert not batches


def test_a_pair_a_group_gives_full_batches():
    plan = pairs(20, 8, 2.0)
    assert [len(plan.batch(step)) for step in range(plan.total_steps)] == [8, 8, 4] * 2
    assert plan.batch(0) == permutation(20, 0, 0)[:8] != plan.batch(3) == permutation(20, 0, 1)[:8]


def test_mega_batches_bring_rows_of_a_length_together():
    widths = permutation(400, 3, 0)
    spread = {
        mega: sum(
            max(widths[group] for group in batch) - min(widths[group] for group in batch) for batch in plan.epoch(0)
        )
        for mega in (1, 10)
        for plan in [Plan([1] * 400, widths, 8, 1.0, 0, mega)]
    }
    assert spread[10] < 0.2 * spread[1]
    widest = [max(widths[group] for group in batch) for batch in Plan([1] * 400, widths, 8, 1.0, 0, 10).epoch(0)]
    assert widest != sorted(widest) and widest != sorted(widest, reverse=True)


def test_part_of_an_epoch():
    assert pairs(100, 10, 0.5).total_steps == 5
    assert pairs(100, 10, 2.26).total_steps == 23
    assert pairs(3, 10, 0.01).total_steps == 1


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["constant", "linear", "cosine"]))
def test_no_step_is_without_effect_and_none_above_the_full_rate(total, warmup, scheduler):
    factors = [lr_factor(step, total, warmup, scheduler) for step in range(total)]
    assert all(0.0 < factor <= 1.0 for factor in factors)


def test_shapes_of_the_schedules():
    assert [lr_factor(step, 4, 0.0, "linear") for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert lr_factor(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert [lr_factor(step, 8, 0.5, "constant") for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@given(SIZES, st.integers(1, 200), st.integers(0, 90))
def test_micro_batches_keep_every_group_and_the_budget(shapes, budget, overhead):
    rows, widths = (dict(enumerate(column)) for column in zip(*shapes, strict=True))
    chosen = range(len(shapes))
    for batches, cost in (
        (packed_batches(chosen, widths, budget), lambda batch: sum(widths[one] for one in batch)),
        (
            padded_batches(chosen, rows, widths, budget, overhead),
            lambda batch: sum(rows[one] for one in batch) * max(widths[one] for one in batch),
        ),
    ):
        assert sorted(group for batch in batches for group in batch) == list(chosen)
        assert all(len(batch) == 1 or cost(batch) <= budget for batch in batches)


def test_rows_are_padded_together_where_a_pass_costs_more_than_the_pads():
    widths = {0: 10, 1: 100, 2: 11, 3: 12}
    rows = dict.fromkeys(widths, 2)
    assert padded_batches(range(4), rows, widths, 10_000, 50) == [[0, 2, 3], [1]]
    assert padded_batches(range(4), rows, widths, 10_000, 5_000) == [[0, 2, 3, 1]]
    assert padded_batches(range(4), rows, widths, 10_000, 0) == [[0], [2], [3], [1]]
    assert padded_batches([], rows, widths, 10_000, 0) == []


@given(st.lists(st.integers(1, 99)), st.integers(1, 4))
def test_every_group_is_dealt_once_and_hands_are_even(tokens, hands):
    shares = dealt(range(len(tokens)), dict(enumerate(tokens)), hands)
    assert sorted(group for share in shares for group in share) == list(range(len(tokens)))
    held = [sum(tokens[group] for group in share) for share in shares]
    assert len(held) == hands and max(held) - min(held) <= max(tokens, default=0)
