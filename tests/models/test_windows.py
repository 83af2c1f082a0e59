from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cai.models.windows import batches, windows


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
def test_batches_keep_order_and_budget(widths, tokens):
    found = list(batches(widths, lambda width: width, tokens))
    assert [width for batch in found for width in batch] == widths
    assert all(len(batch) == 1 or max(batch) * len(batch) <= tokens for batch in found)
    for batch, after in pairwise(found):
        assert max(*batch, after[0]) * (len(batch) + 1) > tokens


def test_windows_do_not_read_ahead():
    read = []
    source = (read.append(at) or at for at in range(5))
    found = windows(source, 2)
    assert next(found) == [(0, 0), (1, 1)] and read == [0, 1]
    assert list(found) == [[(2, 2), (3, 3)], [(4, 4)]]
