"""Human labels beside AI ones in a stated ratio, on both sides of the split, and no prompt on two sides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.preferences import mixed, on_the_side_of
from cai.prompts.splits import opening_turn
from cai.records import SPLITS, Preference, Prompt, user


def human(count: int, split: str = "train") -> list[Preference]:
    return [
        Preference(Prompt.make((user(f"{split} {n}"),), split=split), "yes", "no", 1.0, source="human")  # type: ignore[arg-type]
        for n in range(count)
    ]


PAIRS = [*human(300), *human(100, "test")]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_ratio_holds_on_each_side(share: float) -> None:
    mix = mixed(PAIRS, {"train": 200, "test": 50}, share, 0)
    counts = Counter(one.prompt.split for one in mix.human)
    for split, ai in (("train", 200), ("test", 50)):
        assert counts[split] / (counts[split] + ai) == pytest.approx(share, abs=0.01)
    assert mix.share == pytest.approx(share, abs=0.01) and mix.short == 0
    assert all(one.source == "human" for one in mix.human)


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 9))
def test_a_greater_share_keeps_what_a_smaller_one_drew(one: float, other: float, seed: int) -> None:
    less, more = (mixed(PAIRS, {"train": 30, "test": 9}, share, seed) for share in sorted((one, other)))
    assert {pair.id for pair in less.human} <= {pair.id for pair in more.human}
    order = [pair.id for pair in PAIRS]
    assert [pair.id for pair in more.human] == sorted((pair.id for pair in more.human), key=order.index)


def test_too_few_are_all_taken_and_the_shortfall_is_told() -> None:
    mix = mixed(human(10), {"train": 100, "test": 20}, 0.5, 0)
    assert len(mix.human) == 10 and mix.short == 90 + 20
    assert mix.share == pytest.approx(10 / 130)
    assert mix.to_json()["splits"]["train"] == {"ai": 100, "human": 10, "available": 10, "wanted": 100}


@given(st.integers(1, 30), st.integers(0, 9))
def test_a_pair_that_two_files_hold_does_not_change_the_ratio(ai: int, seed: int) -> None:
    mix = mixed([*human(20), *human(20)], {"train": ai}, 0.5, seed)
    assert len(mix.human) == mix.counts["train"]["human"] == ai


def test_without_a_share_all_are_taken() -> None:
    mix = mixed(PAIRS, {"train": 3}, None, 0)
    assert mix.human == tuple(PAIRS) and (mix.short, mix.asked) == (0, None)
    assert mixed([], {}, None, 0).share is None


def test_another_seed_draws_others() -> None:
    one, two = ({pair.id for pair in mixed(PAIRS, {"train": 50}, 0.3, seed).human} for seed in (0, 1))
    assert one != two


def test_a_prompt_that_is_known_keeps_its_side() -> None:
    sides = {opening_turn(pair.prompt.messages): "test" for pair in human(3)}
    placed = on_the_side_of(sides, PAIRS)  # type: ignore[arg-type]
    assert [one.prompt.split for one in placed[:4]] == ["test", "test", "test", "train"]
    assert [one.id for one in placed] == [one.id for one in PAIRS]
    assert {one.prompt.split for one in placed} == set(SPLITS)


@pytest.mark.parametrize("later", [False, True])
def test_a_prompt_that_one_file_holds_out_is_held_out_in_all(later: bool) -> None:
    asked = [one.prompt for one in human(3)]
    held_out = [Preference(replace(asked[0], split="test"), "yes", "never", 1.0, source="human")]
    files = (human(3), held_out) if later else (held_out, human(3))
    placed = on_the_side_of({}, [pair for file in files for pair in file])
    sides = {(one.prompt.messages, one.prompt.split) for one in placed}
    assert sides == {(one.messages, "test" if one is asked[0] else "train") for one in asked}
    assert [one.id for one in placed] == [pair.id for file in files for pair in file]
    known = on_the_side_of({opening_turn(asked[0].messages): "train"}, held_out)
    assert [one.prompt.split for one in known] == ["train"]
