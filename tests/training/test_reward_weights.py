"""What a pair's weight does to a step, whatever else is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cai.recipe import RewardSettings
from cai.records import Preference
from cai.training.backbone import load_backbone
from cai.training.reward import RewardRun
from cai.training.rows import encode_groups
from tests.tiny import build_tiny_model
from tests.training.planted import preferences, with_a_drawn_head

STILL = RewardSettings(
    lr=0.0, weight_decay=0.0, max_length=128, max_grad_norm=1e9, epochs=1, warmup_ratio=0.0, dtype="float32"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def ranked(weights: list[float]) -> list[Preference]:
    """A prompt with three answers and all three labels, then plain pairs."""
    [first, *rest] = preferences(1 + len(weights), 0.8)
    answers = [first.response_a, first.response_b, "1 2 3."]
    sides = [(0, 1, 0.9), (1, 2, 0.6), (0, 2, 0.7)]
    listed = [Preference(first.prompt, answers[a], answers[b], p, weights[0]) for a, b, p in sides]
    return listed + [replace(one, weight=weight) for one, weight in zip(rest, weights[1:], strict=False)]


def steps(
    base: Path, rows: list[Preference], batch_size: int, **more: object
) -> list[tuple[float, torch.Tensor, list]]:
    """(loss, gradient, groups) of every step of an epoch that changes nothing."""
    made = with_a_drawn_head(load_backbone(base, 0))
    settings = replace(STILL, batch_size=batch_size, **more)
    groups, _ = encode_groups(made.chat, rows, 128, "reject", settings.loss == "listwise")
    run, found = RewardRun(made, groups, settings, 0), []
    run.optimizer.register_step_pre_hook(
        lambda optimizer, *_: found.append(
            torch.cat([one.grad.flatten().clone() for group in optimizer.param_groups for one in group["params"]])
        )
    )
    out = []
    while run.step < run.total:
        batch = run.plan.batch(run.step)
        out.append((run.advance(), found[-1], batch))
    return out


def test_a_norm_of_none_clips_no_gradient(base):
    rows = preferences(4, 0.8)
    for loose, none in zip(steps(base, rows, 2), steps(base, rows, 2, max_grad_norm=0.0), strict=True):
        assert torch.equal(loose[1], none[1]) and loose[1].any()


def test_a_light_pair_has_a_small_gradient_in_a_step_of_its_own(base):
    rows = preferences(4, 0.8)
    light = [replace(one, weight=(1.0, 0.1, 1.0, 0.1)[at]) for at, one in enumerate(rows)]
    even, uneven = steps(base, rows, 1), steps(base, light, 1)
    assert [batch for *_, batch in even] == [batch for *_, batch in uneven]
    ratios = {}
    for (loss, gradient, [number]), (lighter, small, _) in zip(even, uneven, strict=True):
        ratios[number] = (small.norm() / gradient.norm()).item()
        assert lighter / loss == pytest.approx(ratios[number], rel=1e-4)
        torch.testing.assert_close(small, gradient * ratios[number], rtol=1e-3, atol=1e-6)
    assert ratios[0] / ratios[1] == pytest.approx(10, rel=1e-4) == ratios[2] / ratios[3]
    assert sum(ratios.values()) / 4 == pytest.approx(1, rel=1e-4), "the mean weight is what a step is measured in"


@pytest.mark.parametrize("weight", [1.0, 0.3, 1e-30])
@pytest.mark.parametrize("loss", ["pairs", "listwise"])
def test_equal_weights_are_no_weights(base, weight, loss):
    rows = ranked([1.0] * 5)
    plain = steps(base, rows, 3, loss=loss)
    same = steps(base, [replace(one, weight=weight) for one in rows], 3, loss=loss)
    for (value, gradient, _), (other, found, _) in zip(plain, same, strict=True):
        assert value == other or pytest.approx(other, rel=1e-6) == value
        torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-8)


def test_a_step_of_plain_pairs_is_their_mean(base):
    [(loss, _, batch)] = steps(base, preferences(6), 6)
    parts = [value for value, *_ in steps(base, preferences(6), 1)]
    assert len(batch) == len(parts) == 6 and loss == pytest.approx(sum(parts) / 6, rel=1e-5)


def test_a_light_list_is_as_light_as_a_light_pair(base):
    even = steps(base, ranked([1.0] * 5), 3, loss="listwise")
    uneven = steps(base, ranked([0.1, 1.0, 1.0, 1.0, 1.0]), 3, loss="listwise")
    mean = (3 * 0.1 + 4) / 7
    ratios = {}
    for (_, gradient, batch), (_, small, _) in zip(even, uneven, strict=True):
        ratios[0 in batch] = (small.norm() / gradient.norm()).item()
    assert ratios == pytest.approx({True: 0.1 / mean, False: 1.0 / mean}, rel=1e-3)


def test_groups_without_lists_are_not_trained_as_if_they_had_them(base):
    made = load_backbone(base, 0)
    groups, _ = encode_groups(made.chat, ranked([1.0]), 128, "reject")
    with pytest.raises(ValueError, match="listwise=True"):
        RewardRun(made, groups, replace(STILL, loss="listwise"), 0)
