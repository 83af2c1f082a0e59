from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.embedded.corpus import groups, render
from cai.embedded.curriculum import phase_at
from cai.embedded.trees import Tree, grow, rows

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=6)


def _paths(tree: Tree) -> set[tuple[int, ...]]:
    """For every token, the tokens that it may see, itself included."""
    return {
        tuple(tree.tokens[s] for s in range(t + 1) if s <= t < tree.ends[s]) for t in range(len(tree.tokens))
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(SEQUENCES)
def test_every_token_sees_its_own_sequence_and_no_other(sequences):
    tree = grow([([9, *ids], [0.0] + [1.0] * len(ids)) for ids in sequences])
    prefixes = {(9, *ids[:cut]) for ids in sequences for cut in range(len(ids) + 1)}
    assert _paths(tree) == prefixes
    assert len(tree) == len(prefixes), "a shared prefix is stored once"
    assert tree.positions == [sum(s <= t < tree.ends[s] for s in range(t + 1)) - 1 for t in range(len(tree.tokens))]
    assert sum(weight for _, _, weight in tree.edges) == sum(map(len, sequences))


def test_rows_hold_whole_trees():
    made = [grow([([1] * size, [0.0] + [1.0] * (size - 1))]) for size in (5, 9, 3, 7, 20, 4) * 10]
    stream = iter(made)
    row = next(rows(stream, 16, pool=4))
    assert len(row.tokens) <= 16 and row.positions.count(0) >= 2
    assert max(row.ends) == len(row.tokens)


@pytest.fixture(scope="module")
def tokenizer():
    from cai.embedded import weights_path
    from cai.embedded.tokenizer import load_tokenizer

    return load_tokenizer(weights_path())


def test_a_packed_tree_gives_the_logits_of_its_sequences(tokenizer):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from cai.embedded.batches import collate
    from cai.embedded.trees import Row

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            attn_implementation="sdpa",
        )
    ).eval()
    stream = groups(0, phase_at(1.0))
    row, ends = Row(), []
    for _ in range(2):
        sequences = [render(turn, tokenizer)[0] for turn in next(stream)]
        tree = grow([(ids, [1.0] * len(ids)) for ids in sequences])
        row.add(tree)
        ends.append(sequences)
    batch = collate([row], len(row.tokens) + 5, tokenizer.pad_token_id)
    with torch.no_grad():
        packed = model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions).logits[0]
    at = [(tuple(row.tokens[s] for s in range(t + 1) if s <= t < row.ends[s]), t) for t in range(len(row.tokens))]
    where = dict(at)
    for sequences in ends:
        for ids in sequences:
            with torch.no_grad():
                alone = model(input_ids=torch.tensor([ids])).logits[0, -1]
            torch.testing.assert_close(packed[where[tuple(ids)]], alone, atol=2e-4, rtol=1e-3)
