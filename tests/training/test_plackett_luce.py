"""The expected loss of rankings, against all rankings written out and against scipy."""

from __future__ import annotations

import math
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from cai.errors import TrainingError
from cai.training.losses import group_loss, plackett_luce_loss
from cai.training.plackett_luce import MARGIN, MOST, chances, components, listed, members, strengths
from cai.training.rows import Comparison, Group

SLOW = settings(deadline=None, max_examples=60)


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def chance_of(ranking: tuple[int, ...], theta: list[float]) -> float:
    """P(ranking), place by place, from the definition."""
    odds = [math.exp(theta[one]) for one in ranking]
    return math.prod(odds[at] / sum(odds[at:]) for at in range(len(odds)))


def expected_loss(theta: list[float], r: list[float]) -> float:
    every = permutations(range(len(theta)))
    return -sum(chance_of(one, theta) * math.log(chance_of(one, r)) for one in every)


def loss_of(theta: list[float], r: list[float]) -> float:
    left, taken = (torch.tensor(one).float()[None] for one in chances(np.array(theta)))
    return plackett_luce_loss(torch.tensor([r]), left, taken).item()


def all_pairs(p: float, answers: int = 3, weight: float = 1.0) -> tuple[Comparison, ...]:
    return tuple(Comparison(a, b, p, weight) for a, b in combinations(range(answers), 2))


def grouped(answers: int, comparisons: tuple[Comparison, ...], listwise: bool = True) -> Group:
    return Group([1], tuple([2] for _ in range(answers)), comparisons, listed(comparisons) if listwise else None)


def gradient(group: Group, scores: list[float]) -> torch.Tensor:
    r = torch.tensor(scores, requires_grad=True)
    group_loss(r, [group])[1].backward()
    return r.grad


def learnt(group: Group) -> torch.Tensor:
    """The scores at which the loss is least."""

    def cost(scores):
        r = torch.tensor(scores, dtype=torch.float32, requires_grad=True)
        loss = group_loss(r, [group])[1]
        loss.backward()
        return loss.item(), r.grad.numpy().astype(float)

    found = minimize(cost, np.zeros(len(group.tails)), jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-6})
    return torch.tensor(found.x)


@SLOW
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=2, max_size=5))
def test_it_is_the_mean_over_all_rankings(rows):
    theta, r = ([row[at] for row in rows] for at in (0, 1))
    assert loss_of(theta, r) == pytest.approx(expected_loss(theta, r), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("p", [0.5, 0.51, 0.6, 0.99])
def test_two_answers_are_a_soft_pair(p):
    theta = strengths(2, [(0, 1, p, 2.0)])
    assert logistic(theta[0] - theta[1]) == pytest.approx(p, abs=1e-9)
    d = 0.7 - -0.4
    assert loss_of(theta.tolist(), [0.7, -0.4]) == pytest.approx(
        -p * math.log(logistic(d)) - (1 - p) * math.log(logistic(-d)), rel=1e-5
    )


def test_ten_answers_have_chances_that_sum_to_their_places():
    theta = np.random.default_rng(0).normal(size=MOST) * 3
    left, taken = chances(theta)
    assert left.shape == (2**MOST - MOST - 1,) == members(MOST, torch.device("cpu")).shape[:1]
    assert left.sum() == pytest.approx(MOST - 1) == taken.sum() and taken.max() <= 1 + 1e-12
    at_theta = torch.tensor(theta).float()[None].requires_grad_()
    plackett_luce_loss(at_theta, torch.tensor(left).float()[None], torch.tensor(taken).float()[None]).sum().backward()
    assert at_theta.grad.abs().max() < 1e-5, "rewards that are the strengths are the best there are"


# ------------------------------------------------------------------------------------------------ what is learnt


def test_a_soft_label_is_not_driven_to_a_hard_one():
    found = {p: learnt(grouped(3, all_pairs(p))) for p in (0.51, 0.6, 0.99)}
    assert logistic(found[0.6][0] - found[0.6][1]) == pytest.approx(0.57, abs=0.04)
    assert logistic(found[0.6][0] - found[0.6][2]) == pytest.approx(0.64, abs=0.04)
    spread = {p: float(r[0] - r[2]) for p, r in found.items()}
    assert spread[0.51] < 0.1 < spread[0.6] < 0.7 < 5 < spread[0.99]
    losses = [group_loss(torch.zeros(3), [grouped(3, all_pairs(p))])[0].item() for p in (0.51, 0.99)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4), "without rewards every ranking costs log 3!"
    assert losses[0] == pytest.approx(3 * math.log(6) / 2, rel=1e-5)


def test_near_ties_are_no_order():
    nearly = (Comparison(0, 1, 0.5, 1.0), Comparison(1, 2, 0.5, 1.0), Comparison(0, 2, 0.501, 1.0))
    r = learnt(grouped(3, nearly))
    assert (r.max() - r.min()).item() < 0.01


@pytest.mark.parametrize("p", [0.6, 0.9, 1.0])
def test_a_chain_of_labels_is_learnt_as_its_probabilities(p):
    theta = strengths(4, [(0, 1, p, 1.0), (1, 2, p, 5.0), (2, 3, 0.3, 0.1)])
    clamped = min(p, 1 - MARGIN)
    shares = [logistic(a - b) for a, b in pairwise(theta)]
    assert shares == pytest.approx([clamped, clamped, 0.3], abs=1e-9)


@SLOW
@given(st.data())
def test_strengths_are_the_most_likely_ones(data):
    count = data.draw(st.integers(3, 7))
    share = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 0.5]))
    weight = st.floats(0.1, 10.0)
    tree = [(data.draw(st.integers(0, at - 1)), at) for at in range(1, count)]
    more = data.draw(st.lists(st.sampled_from(list(combinations(range(count), 2))), max_size=6))
    labels = [(a, b, data.draw(share), data.draw(weight)) for a, b in tree + more]
    found = strengths(count, labels)
    first, second = (np.array([one[side] for one in labels]) for side in (0, 1))
    p = np.clip([one[2] for one in labels], MARGIN, 1 - MARGIN)
    w = np.array([one[3] for one in labels])

    def cost(theta):
        d = theta[first] - theta[second]
        return float(np.sum(w * (p * np.logaddexp(0, -d) + (1 - p) * np.logaddexp(0, d))))

    def slope(theta):
        d = theta[first] - theta[second]
        own = w * (1 / (1 + np.exp(-d)) - p)
        return np.bincount(first, own, count) - np.bincount(second, own, count)

    assert abs(slope(found)).max() < 1e-9 * w.max() and found.sum() == pytest.approx(0, abs=1e-6)
    other = minimize(cost, np.zeros(count), jac=slope, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x
    assert cost(found) <= cost(other) + 1e-9 * w.sum()
    if p.min() > 0.01 and p.max() < 0.99:
        assert found == pytest.approx(other - other.mean(), abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_uneven_weights_order_as_scipy_does(seed):
    draws = np.random.default_rng(seed)
    labels = [(at, at + 1, draws.uniform(0.05, 0.95), 10 ** draws.uniform(-1, 1)) for at in range(7)]
    labels += [(0, 7, draws.uniform(0.05, 0.95), 0.1), (2, 5, draws.uniform(0.05, 0.95), 10.0)]
    found = strengths(8, labels)

    def cost(theta):
        own = (theta[a] - theta[b] for a, b, *_ in labels)
        return sum(
            w * (p * np.logaddexp(0, -d) + (1 - p) * np.logaddexp(0, d))
            for d, (_, _, p, w) in zip(own, labels, strict=True)
        )

    right = minimize(cost, np.zeros(8), method="BFGS", options={"gtol": 1e-8}).x
    assert found == pytest.approx(right - right.mean(), abs=1e-3)
    assert np.argsort(found).tolist() == np.argsort(right).tolist()


def test_weights_a_thousandfold_apart_are_fitted_still():
    theta = strengths(4, [(0, 1, 1.0, 1e3), (1, 2, 1.0, 1e3), (2, 0, 1.0, 1e3), (2, 3, 1.0, 1.0)])
    assert theta[:3] == pytest.approx([theta[0]] * 3, abs=1e-6)
    assert theta[2] - theta[3] == pytest.approx(math.log((1 - MARGIN) / MARGIN), abs=1e-3)


# ------------------------------------------------------------------------------------------------ who is compared


def test_answers_that_nobody_compared_are_not_ordered():
    two = (Comparison(0, 1, 0.9, 1.0), Comparison(2, 3, 0.6, 1.0))
    assert [answers for answers, _ in components(two)] == [(0, 1), (2, 3)] and listed(two) == ()
    scores = torch.randn(4, generator=torch.Generator().manual_seed(0))
    assert group_loss(scores, [grouped(4, two)], 0.1) == group_loss(scores, [grouped(4, two, False)], 0.1)


def test_every_part_has_its_own_ranking():
    three, pair = all_pairs(0.8), Comparison(3, 4, 0.7, 2.0)
    both = grouped(7, (*three[:2], pair, three[2]))  # 5 and 6 are in no comparison
    assert [one.answers for one in both.lists] == [(0, 1, 2)]
    scores = [0.3, -1.0, 2.0, 0.5, -0.2, 9.0, -9.0]
    found = gradient(both, scores)
    assert torch.equal(found[5:], torch.zeros(2))
    torch.testing.assert_close(found[:3], gradient(grouped(3, three), scores[:3]))
    share = logistic(0.7)
    torch.testing.assert_close(found[3:5], 2.0 * torch.tensor([share - 0.7, 0.7 - share]), rtol=1e-4, atol=1e-6)
    shifted = [*(one + 5.0 for one in scores[:3]), *scores[3:]]
    value, moved = (group_loss(torch.tensor(one), [both])[0].item() for one in (scores, shifted))
    assert moved == pytest.approx(value, rel=1e-5), "nothing says how the parts lie to each other"


def test_groups_of_all_sizes_add_up():
    groups = [grouped(k, all_pairs(0.7, k, weight=0.5 * k)) for k in (3, 2, 5, 3)]
    scores = torch.randn(13, generator=torch.Generator().manual_seed(0))
    parts = [group_loss(own, [one], 0.1) for own, one in zip(scores.split([3, 2, 5, 3]), groups, strict=True)]
    for index, whole in enumerate(group_loss(scores, groups, 0.1)):
        assert whole.item() == pytest.approx(sum(part[index].item() for part in parts), rel=1e-5)


def test_more_answers_than_can_be_listed_are_refused():
    chain = tuple(Comparison(at, at + 1, 0.7, 1.0) for at in range(MOST))
    assert listed(chain[1:])[0].answers == tuple(range(1, MOST + 1))
    with pytest.raises(TrainingError, match=r"^reward\.loss: listwise takes at most 10 answers .*, not 11$"):
        listed(chain)
    listed((*chain[:3], *chain[4:]))


def test_weights_beyond_what_floats_can_weigh_are_refused():
    labels = (Comparison(0, 1, 1.0, 1e300), Comparison(1, 2, 0.7, 1e-300), Comparison(0, 1, 0.3, 1.0))
    with pytest.raises(TrainingError, match="weights of the labels are too far apart"):
        listed(labels)


# ------------------------------------------------------------------------------------------------ what it weighs


def test_a_list_weighs_what_its_comparisons_weigh():
    light, heavy = (grouped(4, all_pairs(0.8, 4, weight)) for weight in (1.0, 3.0))
    scores = [0.3, -1.0, 2.0, 0.1]
    torch.testing.assert_close(gradient(heavy, scores), 3 * gradient(light, scores))


@pytest.mark.parametrize("answers", [3, 4, 8])
def test_the_best_of_all_pairs_is_drawn_up_as_by_the_pairs(answers):
    labels = all_pairs(1.0, answers)
    found = [gradient(grouped(answers, labels, listwise), [0.0] * answers) for listwise in (True, False)]
    assert found[0][0].item() == pytest.approx(-(answers - 1) / 2, abs=1e-4)
    assert found[1][0].item() == pytest.approx(-(answers - 1) / 2)


def test_a_chain_weighs_a_place_a_comparison():
    chain = tuple(Comparison(at, at + 1, 0.7, 2.0) for at in range(4))
    [one] = listed(chain)
    assert one.weight == pytest.approx(2.0) and one.left.sum().item() == pytest.approx(4.0)
