"""Circles among three answers, counted where all three pairs were labelled."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from cai.preferences import Consistency
from cai.records import Preference, Prompt, user


def count(*labels: dict[tuple[str, str], float]) -> Consistency:
    found = Consistency()
    for n, some in enumerate(labels):
        for (a, b), p in some.items():
            found.add(Preference(Prompt.make((user(f"{n}"),)), a, b, p))
    found.close()
    return found


def test_planted_circles() -> None:
    circle = {("a", "b"): 0.9, ("b", "c"): 0.8, ("a", "c"): 0.3}
    line = {("a", "b"): 0.9, ("b", "c"): 0.8, ("a", "c"): 0.7}
    found = count(circle, line, line, circle, line)
    assert (found.triples, found.cyclic, found.share) == (5, 2, pytest.approx(0.4))


def test_turning_a_pair_round_changes_nothing() -> None:
    assert count({("b", "a"): 0.1, ("b", "c"): 0.8, ("c", "a"): 0.7}).cyclic == 1


def test_ties_and_pairs_that_were_not_labelled_make_no_triple() -> None:
    found = count({("a", "b"): 0.9, ("b", "c"): 0.8}, {("a", "b"): 0.9, ("b", "c"): 0.5, ("a", "c"): 0.1})
    assert (found.triples, found.share) == (0, None)


def test_labels_at_random_run_in_a_circle_one_time_in_four() -> None:
    draw = random.Random(0)
    found = count(*({pair: draw.random() for pair in combinations("abcd", 2)} for _ in range(2000)))
    assert found.triples == 8000 and found.share == pytest.approx(0.25, abs=0.02)
