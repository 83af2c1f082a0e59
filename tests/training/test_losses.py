from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.training.losses import group_loss, preference_loss
from tests.training.groups import group


def loss(d: float, p: float, weight: float = 1.0, centering: float = 0.0, a: float = 0.0) -> tuple[float, float]:
    tensors = [torch.tensor([value], dtype=torch.float32) for value in (a, a - d, p, weight)]
    fit, objective = preference_loss(*tensors, centering)
    return fit.item(), objective.item()


def test_analytic_values():
    assert loss(0.0, 0.3)[0] == pytest.approx(math.log(2))
    assert loss(2.0, 1.0)[0] == pytest.approx(math.log1p(math.exp(-2)))
    assert loss(2.0, 0.0)[0] == pytest.approx(math.log1p(math.exp(2)))
    assert loss(2.0, 0.5)[0] == pytest.approx(0.5 * (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))))
    assert loss(2.0, 1.0, weight=3.0)[0] == pytest.approx(3 * math.log1p(math.exp(-2)))
    assert loss(2.0, 1.0, weight=0.0)[0] == 0.0


def test_centring_is_in_the_objective_alone():
    fit, objective = loss(1.0, 1.0, weight=2.0, centering=0.1, a=3.0)
    assert fit == pytest.approx(2 * math.log1p(math.exp(-1)), rel=1e-5)
    assert objective == pytest.approx(fit + 0.1 * 2 * (3.0 + 2.0) ** 2)


def test_extreme_margins_stay_finite():
    assert loss(200.0, 0.0)[0] == pytest.approx(200.0)
    assert loss(-200.0, 1.0)[0] == pytest.approx(200.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8), st.floats(0, 1), st.floats(0, 4)), min_size=1))
def test_gradient_is_that_of_the_formula(rows):
    a, b, p, weight = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))

    def gradients(function):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        function(x, y).backward()
        return torch.stack([x.grad, y.grad])

    def formula(x, y):
        d = x - y
        terms = -p * torch.log(torch.sigmoid(d)) - (1 - p) * torch.log(torch.sigmoid(-d)) + 0.01 * (x + y) ** 2
        return (weight * terms).sum()

    found = gradients(lambda x, y: preference_loss(x, y, p.float(), weight.float(), 0.01)[1])
    torch.testing.assert_close(found, gradients(formula), rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 9))
def test_micro_batches_add_up_to_the_whole(cut):
    torch.manual_seed(0)
    a, b, p, weight = torch.randn(10), torch.randn(10), torch.rand(10), torch.rand(10)
    whole = preference_loss(a, b, p, weight, 0.1)
    parts = [preference_loss(a[s], b[s], p[s], weight[s], 0.1) for s in (slice(cut), slice(cut, None))]
    for index in (0, 1):
        assert sum(part[index] for part in parts).item() == pytest.approx(whole[index].item(), rel=1e-5)


# ------------------------------------------------------------------------------------------------ groups and rankings


@settings(deadline=None)
@given(st.lists(st.integers(2, 5), min_size=1, max_size=4))
def test_every_comparison_of_every_group_is_in_the_loss(answers):
    groups = [group(3, [1] * count, seed) for seed, count in enumerate(answers)]
    torch.manual_seed(0)
    scores = torch.randn(sum(answers))
    fit, objective = group_loss(scores, groups, 0.1)
    sides, start = [], 0
    for one in groups:
        sides += [(start + c.first, start + c.second, c.p_first, c.weight) for c in one.comparisons]
        start += len(one.tails)
    first, second, p, weight = zip(*sides, strict=True)
    expected = preference_loss(
        scores[list(first)], scores[list(second)], torch.tensor(p), torch.tensor(weight), 0.1
    )  # fmt: skip
    assert (fit.item(), objective.item()) == pytest.approx([one.item() for one in expected])
