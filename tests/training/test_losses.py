from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.training.losses import group_loss, plackett_luce_loss, preference_loss, ranking
from cai.training.rows import Comparison
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


def test_a_ranking_of_two_is_a_pair():
    torch.manual_seed(0)
    scores = torch.randn(2)
    expected = preference_loss(scores[:1], scores[1:], torch.ones(1), torch.ones(1))[0]
    assert plackett_luce_loss(scores, [[0], [1]]).item() == pytest.approx(expected.item())
    both = [group(3, [1, 2]), group(2, [2, 2])]
    four = torch.randn(4)
    assert group_loss(four, both, 0.1, listwise=True) == group_loss(four, both, 0.1)


def test_a_ranking_is_the_chance_to_draw_it_place_by_place():
    scores = torch.tensor([0.3, -1.0, 2.0])
    strong = [math.exp(one) for one in scores]
    drawn = strong[2] / sum(strong) * strong[0] / (strong[0] + strong[1])
    assert plackett_luce_loss(scores, [[2], [0], [1]]).item() == pytest.approx(-math.log(drawn) / 2)
    tied = strong[2] / sum(strong) * strong[0] * strong[1] / (strong[0] + strong[1]) ** 2
    assert plackett_luce_loss(scores, [[2], [0, 1]]).item() == pytest.approx(-math.log(tied) / 3)


def test_a_listed_group_weighs_what_its_comparisons_weigh():
    light, heavy = (group(3, [1, 1, 1], weight=weight) for weight in (1.0, 3.0))
    scores = torch.tensor([0.3, -1.0, 2.0])
    one, three = (group_loss(scores, [made], listwise=True)[0].item() for made in (light, heavy))
    assert three == pytest.approx(3 * one)
    expected = light.weight * plackett_luce_loss(scores, ranking(3, light.comparisons)).item()
    assert one == pytest.approx(expected)
    with_centring = group_loss(scores, [light], 0.1, listwise=True)
    assert (with_centring[1] - with_centring[0]).item() == pytest.approx(
        (group_loss(scores, [light], 0.1)[1] - group_loss(scores, [light], 0.1)[0]).item(), rel=1e-4
    )


@settings(deadline=None)
@given(st.permutations(range(5)), st.floats(0.55, 1.0))
def test_a_ranking_is_found_from_all_pairs_or_a_chain_of_them(order, p):
    place = {number: at for at, number in enumerate(order)}
    every = [(a, b) for b in range(5) for a in range(b)]
    chain = list(pairwise(order))
    for pairs in (every, chain):
        compared = tuple(Comparison(a, b, p if place[a] < place[b] else 1 - p, 1.0) for a, b in pairs)
        assert ranking(5, compared) == [[number] for number in order]


def test_answers_that_no_label_parts_are_tied():
    assert ranking(3, (Comparison(0, 1, 0.5, 1.0), Comparison(1, 2, 0.5, 1.0), Comparison(0, 2, 0.5, 1.0))) == [
        [0, 1, 2]
    ]
    assert ranking(3, (Comparison(0, 1, 0.9, 1.0), Comparison(0, 2, 0.9, 1.0), Comparison(1, 2, 0.5, 1.0))) == [
        [0],
        [1, 2],
    ]
    circle = (Comparison(0, 1, 1.0, 1.0), Comparison(1, 2, 1.0, 1.0), Comparison(2, 0, 1.0, 1.0))
    assert ranking(3, circle) == [[0, 1, 2]]
