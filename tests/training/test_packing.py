from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from unittest.mock import Mock, patch

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    BertConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
    StableLmConfig,
)

from cai.packed import CannotPack
from cai.training import packing
from cai.training.checks import padded, score_ids
from cai.training.losses import group_loss
from cai.training.packing import attend_in_blocks, flex_length, pack, packed_mask
from cai.training.scoring import PADDED, Scorer, Way, best_way, try_a_step, try_flash_attention
from tests.training.groups import PAD, SHAPE, classifier, group

GROUPS = st.lists(
    st.tuples(st.integers(0, 24), st.lists(st.integers(1, 12), min_size=2, max_size=5)), min_size=1, max_size=4
)
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


LLAMA_LIKE = {**SHAPE, "num_key_value_heads": 2}
THREE_HEADS = {**SHAPE, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}
WAYS = (PADDED, Way("blocks"), Way("blocks", lean=True))


EAGER = pytest.mark.filterwarnings(
    "ignore:flex_attention called without torch.compile:UserWarning", "ignore:`torch.jit:DeprecationWarning"
)


def made(shapes) -> list:
    return [group(stem, tails, seed) for seed, (stem, tails) in enumerate(shapes)]


def dense(groups) -> torch.Tensor:
    """What reads what, written down token by token: (T, T), True where the row's token reads the column's."""
    total = sum(one.tokens for one in groups)
    mask = torch.zeros(total, total, dtype=torch.bool)
    start = 0
    for one in groups:
        stem = range(start, start + len(one.stem))
        start += len(one.stem)
        for at in stem:
            mask[at, stem.start : at + 1] = True
        for tail in one.tails:
            for at in range(start, start + len(tail)):
                mask[at, stem.start : stem.stop] = mask[at, start : at + 1] = True
            start += len(tail)
    return mask


def test_a_row_written_out():
    one = group(3, [2, 1])
    row = pack([one, group(1, [1, 2])])
    assert row.ids[0, :6].tolist() == one.stem + one.tails[0] + one.tails[1]
    assert row.positions[0].tolist() == [0, 1, 2, 3, 4, 3, 0, 1, 1, 2]
    assert row.ends.tolist() == [4, 5, 7, 9]
    assert row.longest == 5


@QUICK
@given(GROUPS)
def test_loss_and_gradients_are_those_of_padded_rows(shapes):
    groups, model = made(shapes), classifier()
    found = {}
    for way in WAYS:
        scorer = Scorer(model, PAD, way).train()
        scores = scorer(groups)
        fit, objective = group_loss(scores, groups, 0.1)
        model.zero_grad()
        objective.backward()
        gradients = torch.cat([one.grad.flatten() for one in model.parameters()])
        found[way] = scores.detach(), fit.item(), gradients
        scorer.restore()
    scores, loss, gradient = found[PADDED]
    for way in WAYS[1:]:
        packed_scores, packed_loss, packed_gradient = found[way]
        torch.testing.assert_close(packed_scores, scores, rtol=1e-5, atol=1e-5)
        assert abs(packed_loss - loss) <= 1e-5 * max(1.0, abs(loss))
        assert (packed_gradient - gradient).norm() <= 1e-4 * gradient.norm()


@QUICK
@given(GROUPS)
def test_a_score_is_that_of_the_answer_alone(shapes):
    groups, model = made(shapes), classifier()
    rows = [row for one in groups for row in one.rows]
    with torch.no_grad():
        scores = Scorer(model, PAD, Way("blocks", lean=True))(groups).tolist()
    model.set_attn_implementation("sdpa")
    assert scores == pytest.approx(score_ids(model, rows, 1, PAD), abs=1e-5)
    assert scores == pytest.approx(score_ids(model, rows, 8, PAD), abs=1e-5)
    assert scores == pytest.approx(score_ids(model, rows, 8, PAD, left=True), abs=1e-5)


@QUICK
@given(GROUPS)
def test_the_mask_for_flex_attention_reads_what_the_blocks_read(shapes):
    groups = made(shapes)
    packed, expected = pack(groups), dense(groups)
    total = len(expected)
    reads = packed_mask(packed)
    at = torch.arange(flex_length(total))
    mask = reads(0, 0, at[:, None], at[None, :])
    assert torch.equal(mask[:total, :total], expected)
    assert not mask[:total, total:].any() and not mask[total:, :total].any()
    assert torch.equal(mask[total:, total:], torch.eye(len(at) - total, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, total, 8, generator=generator)
    found, _ = attend_in_blocks(None, query, key, value, None, packed=packed)
    right = scaled_dot_product_attention(query, key, value, attn_mask=expected).transpose(1, 2)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


@EAGER
def test_flex_attention_itself_agrees_on_a_row():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    packed = pack([group(40, [30, 50]), group(3, [9, 2, 20])])
    total = packed.ids.shape[1]
    length = flex_length(total)
    query, key, value = torch.randn(3, 1, 2, length, 16, generator=torch.Generator().manual_seed(0))
    block_mask = create_block_mask(packed_mask(packed), None, None, length, length, device="cpu")
    found = flex_attention(query, key, value, block_mask=block_mask)[:, :, :total].transpose(1, 2)
    right, _ = attend_in_blocks(
        None, query[:, :, :total], key[:, :, :total], value[:, :, :total], None, packed=packed
    )  # fmt: skip
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


@EAGER
@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("config", [None, "qwen3", "three_heads"])
def test_a_whole_model_under_flex_attention_scores_as_on_padded_rows(config, lean):
    """What CUDA runs, uncompiled on the CPU: transformers hands our mask, ids and positions down to FlexAttention."""
    shape = {"qwen3": Qwen3Config(**LLAMA_LIKE, head_dim=16), "three_heads": LlamaConfig(**THREE_HEADS)}
    model = classifier(shape.get(config))
    groups = [group(3, [2, 1]), group(140, [24, 2]), group(20, [9, 4, 7])]
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        right = Scorer(model, PAD, PADDED)(groups)
        for in_bfloat16, allowed in ((False, 1e-5), (True, 0.05)):
            scorer = Scorer(model, PAD, Way("flex", lean), in_bfloat16)
            torch.testing.assert_close(scorer(groups), right, rtol=allowed, atol=allowed)
            scorer.restore()


def test_a_trial_step_leaves_no_trace():
    model = classifier()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with torch.inference_mode():
        try_a_step(Scorer(model, PAD, Way("blocks", lean=True), in_bfloat16=True), [group(3, [2, 1])])
    assert not model.training and all(one.grad is None for one in model.parameters())
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


@EAGER
def test_a_kernel_without_a_backward_pass_is_found_out():
    """FlexAttention has none on a CPU: as good as a card for which it cannot be built."""
    with torch.compiler.set_stance("force_eager"), pytest.raises(NotImplementedError, match="backward on CPU"):
        try_a_step(Scorer(classifier(), PAD, Way("flex")), [group(3, [2, 1])])


def test_an_attention_that_a_model_refuses_leaves_nothing_behind(monkeypatch):
    import cai.training.scoring as scoring

    monkeypatch.setitem(scoring._ATTENTION, "flex", "no_such_attention")
    model = classifier()
    with pytest.raises((ValueError, ImportError)):
        Scorer(model, PAD, Way("flex", lean=True))
    assert not any(part._forward_hooks for part in model.modules())
    assert model.config._attn_implementation == "sdpa"


def test_masks_are_made_where_they_are_read():
    assert pack([group(3, [2, 1])], told="neither").masks == ()


def many_texts(
    query, key, value, query_starts, key_starts, queries, keys, dropout=0.0, scaling=None, by_ends=True
):  # fmt: skip
    """What FlashAttention does for rows of many lengths, of which a CPU has no kernel: text by text, ends aligned."""
    sides = list(pairwise(query_starts.tolist())), list(pairwise(key_starts.tolist()))
    assert queries == max(end - begin for begin, end in sides[0])
    assert keys == max(end - begin for begin, end in sides[1])
    read = []
    for (begin, end), (first, last) in zip(*sides, strict=True):
        own = (one.float().transpose(0, 1) for one in (query[begin:end], key[first:last], value[first:last]))
        mask = torch.ones(end - begin, last - first, dtype=torch.bool)
        mask = mask.tril(last - first - end + begin if by_ends else 0)
        read.append(scaled_dot_product_attention(*own, attn_mask=mask, scale=scaling).transpose(0, 1))
    return torch.cat(read).to(query.dtype)


@QUICK
@given(GROUPS)
def test_the_texts_for_flash_attention_are_those_of_the_blocks(shapes):
    groups = made(shapes)
    with patch.object(packing, "flash_attention", many_texts):
        try_flash_attention(groups, torch.device("cpu"))
    model = classifier()
    right = Scorer(model, PAD, PADDED)(groups, states=True)
    with in_half_precision_as_if(torch.float32), patch.object(packing, "flash_attention", many_texts):
        found = [Scorer(model, PAD, Way("flash", lean))(groups, states=True) for lean in (False, True)]
    for states in found:
        assert (states - right).norm() <= 1e-5 * right.norm()


@contextmanager
def in_half_precision_as_if(dtype: torch.dtype):
    """Autocast in `dtype`, which may be float32: what packed rows ask of it, with none of half precision's rounding."""
    enabled, asked = Mock(return_value=True), Mock(return_value=dtype)
    with patch.object(torch, "is_autocast_enabled", enabled), patch.object(torch, "get_autocast_dtype", asked):
        yield
    enabled.assert_called_with("cpu")
    asked.assert_called_with("cpu")


def test_a_flash_attention_that_aligns_the_beginnings_is_found_out():
    careless = partial(many_texts, by_ends=False)
    with patch.object(packing, "flash_attention", careless), pytest.raises(CannotPack, match="what it reads differs"):
        try_flash_attention([group(3, [2, 1]), group(20, [9, 4, 7])], torch.device("cpu"))


def test_four_answers_cost_a_third_of_six_pairs():
    four = group(60, [50, 45, 55, 48])
    apart = sum(len(four.rows[one.first]) + len(four.rows[one.second]) for one in four.comparisons)
    assert len(four.comparisons) == 6
    assert pack([four]).ids.shape[1] == four.tokens <= 0.35 * apart


@pytest.mark.parametrize(
    ("config", "way", "why"),
    [
        (None, "blocks", ""),
        (Qwen3Config(**LLAMA_LIKE, head_dim=16), "blocks", ""),
        (GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, pad_token_id=PAD, num_labels=1), "blocks", ""),
        (MistralConfig(**LLAMA_LIKE, sliding_window=64), "blocks", ""),
        (MistralConfig(**LLAMA_LIKE, sliding_window=63), "padded", "a window of 63 tokens"),
        (Gemma2Config(**LLAMA_LIKE, head_dim=8), "padded", "softcap"),
        (StableLmConfig(**LLAMA_LIKE), "padded", "do not hand keyword arguments on"),
        (BertConfig(**SHAPE), "padded", "does not score the last token"),
    ],
    ids=["llama", "qwen3", "gpt2", "mistral", "window", "softcap", "stablelm", "bert"],
)
def test_the_way_is_found_by_trying(config, way, why):
    model = classifier(config)
    before = model.config._attn_implementation
    groups = [group(3, [2, 1]), group(40, [24, 2]), group(20, [9, 4])]
    found, reason = best_way(Scorer(model, PAD, PADDED), groups)
    assert found == (way, way == "blocks") and (why in reason if why else not reason)
    assert model.config._attn_implementation == before


def test_a_model_that_reads_the_whole_row_is_found_out(monkeypatch):
    """One whose attention ignores what it is told gives other states, and so is not packed."""
    import cai.training.scoring as scoring

    def careless(module, query, key, value, attention_mask, scaling=None, **more):
        read = scaled_dot_product_attention(
            query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1), is_causal=True, scale=scaling
        )
        return read.transpose(1, 2), None

    monkeypatch.setattr(scoring, "attend_in_blocks", careless)
    way, why = best_way(Scorer(classifier(), PAD, PADDED), [group(3, [2, 1]), group(40, [24, 2])])
    assert way == PADDED and "its states differ by" in why


def test_padded_rows_are_those_of_the_groups():
    ids, mask = padded(group(3, [2, 1]).rows, PAD)
    assert ids.shape == (2, 5) and mask.tolist() == [[1] * 5, [1] * 4 + [0]]
