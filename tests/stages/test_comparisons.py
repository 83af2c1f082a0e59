"""Who is compared with whom: connected, balanced, nested, drawn by the prompt; and under which principles."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.constitution import Constitution, Principle
from cai.constitution.principles import Scope
from cai.records import Candidates, Judgement, Prompt, user
from cai.stages.comparisons import pairs_of, principles_for, schedule

ANSWERS = st.integers(2, 17)


def components(count: int, pairs: list[tuple[int, int]]) -> int:
    group = list(range(count))
    for a, b in pairs:
        old, new = group[a], group[b]
        group = [new if one == old else one for one in group]
    return len(set(group))


@given(ANSWERS)
def test_a_schedule_holds_every_pair_once(count: int) -> None:
    pairs = schedule(count)
    assert len(pairs) == count * (count - 1) // 2
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) and all(a != b for a, b in pairs)


@given(ANSWERS, st.data())
def test_any_beginning_is_balanced_and_connected_when_it_can_be(count: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, count * (count - 1) // 2))
    pairs = list(schedule(count)[:cut])
    met = Counter(dict.fromkeys(range(count), 0)) + Counter(one for pair in pairs for one in pair)
    times = [met[one] for one in range(count)]
    assert max(times) - min(times) <= 1
    assert components(count, pairs) == max(1, count - cut)


def candidates(text: str, count: int) -> Candidates:
    return Candidates(Prompt.make((user(text),)), tuple(f"answer {n}" for n in range(count)))


def as_pairs(some: Candidates, count: int | str, seed: int = 0) -> list[tuple[str, str]]:
    return [(one.response_a, one.response_b) for one in pairs_of(some, count, seed)]  # type: ignore[arg-type]


@given(ANSWERS, st.data(), st.text(min_size=1, max_size=9), st.integers(0, 9))
def test_more_pairs_keep_the_fewer_and_depend_on_prompt_and_seed_alone(
    count: int, data: st.DataObject, text: str, seed: int
) -> None:
    some, every = candidates(text, count), count * (count - 1) // 2
    fewer = data.draw(st.integers(1, every))
    more = data.draw(st.integers(fewer, every + 3))
    one, other = as_pairs(some, fewer, seed), as_pairs(some, more, seed)
    assert set(one) <= set(other) and len(other) == min(more, every)
    assert one == as_pairs(some, fewer, seed) == sorted(one, key=lambda pair: [int(x.split()[1]) for x in pair])
    assert as_pairs(some, "all", seed) == as_pairs(some, every, seed)


def test_over_many_prompts_every_pair_is_drawn_alike() -> None:
    seen = Counter(pair for n in range(1200) for pair in as_pairs(candidates(f"q{n}", 4), 1))
    assert len(seen) == 6 and min(seen.values()) > 150 and max(seen.values()) < 250
    assert as_pairs(candidates("q", 4), 3, 0) != as_pairs(candidates("q", 4), 3, 1) or as_pairs(
        candidates("r", 4), 3, 0
    ) != as_pairs(candidates("r", 4), 3, 1)


PRINCIPLES = (
    Principle("a", comparison="a?", weight=1.0),
    Principle("b", comparison="b?", weight=3.0),
    Principle("only helpful", comparison="c?", applies_to=Scope(kinds=("helpful",))),
    Principle("not tagged", comparison="d?", applies_to=Scope(except_tags=("medical",))),
    Principle("revision alone", critique="x", revision="y", only_for="revision"),
)
CONSTITUTION = Constitution("test", PRINCIPLES)


def drawn(count: int | str, n: int = 0, kind: str = "red_team", tags: tuple[str, ...] = ()) -> list[str]:
    pair = Judgement(Prompt.make((user(f"q{n}"),), kind, tags=tags), "one", "other", ())  # type: ignore[arg-type]
    return [one.id for one in principles_for(CONSTITUTION, count, pair, 0)]  # type: ignore[arg-type]


def test_scope_decides_who_can_be_drawn() -> None:
    assert drawn("all") == ["a", "b", "not tagged"]
    assert drawn("all", kind="helpful") == ["a", "b", "only helpful", "not tagged"]
    assert drawn("all", tags=("medical",)) == ["a", "b"]
    for n in range(100):
        assert set(drawn(1, n, tags=("medical",))) <= {"a", "b"}
        assert "revision alone" not in drawn(9, n)


@pytest.mark.parametrize(("count", "many"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_m_principles_are_drawn_without_replacement(count: int, many: int) -> None:
    for n in range(50):
        assert len(drawn(count, n)) == len(set(drawn(count, n))) == many


def test_one_principle_is_drawn_by_weight() -> None:
    seen = Counter(drawn(1, n, tags=("medical",))[0] for n in range(2000))
    assert 0.70 < seen["b"] / 2000 < 0.80
