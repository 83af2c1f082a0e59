"""Linear layers by oneDNN give what torch's own give, and are torch's own for all else."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cai import linear
from cai.linear import QuickLinear, quickened
from cai.models import load_model
from cai.recipe import EngineSettings
from tests.tiny import build_tiny_model

needs_it = pytest.mark.skipif(not linear._has_it(), reason="this torch has no oneDNN")


def pair(inner: int, outer: int, bias: bool) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(0)
    plain = nn.Linear(inner, outer, bias=bias)
    return plain, quickened(copy.deepcopy(plain))


@needs_it
@given(
    st.lists(st.integers(0, 5), min_size=0, max_size=3), st.integers(1, 70), st.sampled_from([1, 7, 70, linear.WIDE]),
    st.booleans(), st.booleans(),
)  # fmt: skip
@settings(deadline=None)
def test_it_gives_what_torch_gives(shape, inner, outer, bias, turned):
    plain, quick = pair(inner, outer, bias)
    assert type(quick) is QuickLinear
    rows = torch.randn(*shape, inner)
    if turned and rows.ndim > 2:
        rows = rows.transpose(0, 1)  # does not lie in one piece
    with torch.no_grad():
        torch.testing.assert_close(quick(rows), plain(rows), rtol=1e-5, atol=1e-5)


@needs_it
@pytest.mark.parametrize(
    ("rows", "outer", "by_onednn"),
    [(linear.FEW, 4, True), (linear.FEW + 1, 4, False), (linear.FEW + 1, linear.WIDE, True), (0, 4, True)],
)
def test_long_texts_are_left_to_torch(monkeypatch, rows, outer, by_onednn):
    asked = []
    found = linear._linear
    monkeypatch.setattr(linear, "_linear", lambda *given: asked.append(given) or found(*given))
    with torch.no_grad():
        pair(3, outer, False)[1](torch.zeros(rows, 3))
    assert bool(asked) is by_onednn


@needs_it
def test_gradients_and_other_types_are_torchs_own():
    plain, quick = pair(8, 4, True)
    rows = torch.randn(3, 8, requires_grad=True)
    for layer in (plain, quick):
        layer(rows).sum().backward()
    assert torch.equal(plain.weight.grad, quick.weight.grad)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quick(rows), plain(rows)) and quick(rows).dtype == torch.bfloat16
    assert type(quickened(nn.Linear(8, 4).bfloat16())) is nn.Linear
    assert list(quick.state_dict()) == list(plain.state_dict())


def test_without_it_nothing_changes(monkeypatch):
    monkeypatch.setattr(linear, "_has_it", lambda: False)
    assert type(quickened(nn.Linear(8, 4))) is nn.Linear


@needs_it
def test_judges_and_reward_models_have_it(tmp_path):
    build_tiny_model(tmp_path)
    model = load_model(f"hf/{tmp_path}", EngineSettings(device="cpu"))._loaded.model
    assert {type(one) for one in model.modules() if isinstance(one, nn.Linear)} == {QuickLinear}
