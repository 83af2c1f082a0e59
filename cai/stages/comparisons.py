"""Which answers to a prompt are compared, and under which principles: the draws that `reason` and `label` share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import Literal

from cai.constitution import Constitution, Principle
from cai.draws import draw_bits, draw_items
from cai.records import Candidates, Judgement, Order

ORDERS: tuple[Order, ...] = ("ab", "ba")
Count = int | Literal["all"]


def pairs_of(candidates: Candidates, count: Count, seed: int) -> Iterator[Judgement]:
    """The pairs of a prompt's answers that are to be judged, without votes, in the order of the answers.

    "all", or `count` of them along `schedule`, with the places in it drawn: a greater `count` adds pairs and takes
    none away.
    """
    for a, b in _chosen(candidates, count, seed):
        yield Judgement(candidates.prompt, candidates.responses[a], candidates.responses[b], ())


def _chosen(candidates: Candidates, count: Count, seed: int) -> list[tuple[int, int]]:
    known = len(candidates.responses)
    if count == "all" or count >= known * (known - 1) // 2:
        return list(combinations(range(known), 2))
    places = sorted(range(known), key=lambda at: draw_bits(seed, candidates.id, "place", at))
    wanted = ((places[i], places[j]) for i, j in schedule(known)[:count])
    return sorted((min(pair), max(pair)) for pair in wanted)


@lru_cache(maxsize=64)
def schedule(count: int) -> tuple[tuple[int, int], ...]:
    """Every pair of 0 … count − 1 once, ordered so that any beginning of it is as balanced and connected as can be.

    After any number of pairs nobody has been in more than one pair more than anybody else, and from count − 1 pairs on
    everybody is connected. Even counts go by the rounds of a tournament's circle, of which two neighbouring ones make
    a closed tour; odd counts by Walecki's closed tours, every second step first.
    """
    return tuple(_rounds(count) if count % 2 == 0 else _tours(count))


def _rounds(count: int) -> Iterator[tuple[int, int]]:
    turn = count - 1
    for start in range(turn):
        yield start, turn
        for step in range(1, count // 2):
            yield (start + step) % turn, (start - step) % turn


def _tours(count: int) -> Iterator[tuple[int, int]]:
    around = count - 1
    for start in range(around // 2):
        steps = [0] + [step for near in range(1, around // 2) for step in (near, -near)] + [around // 2]
        tour = [around, *((start + step) % around for step in steps[:around])]
        edges = [(tour[at], tour[(at + 1) % count]) for at in range(count)]
        yield from edges[::2]
        yield from edges[1::2]


def principles_for(constitution: Constitution, count: Count, pair: Judgement, seed: int) -> tuple[Principle, ...]:
    """The principles that a pair is judged under, in the order of the votes: `count` drawn of those in reach, or all.

    "In reach" is what `applies_to` lets through for this prompt; draws are without replacement, by weight.
    """
    reaching = constitution.for_form("comparison", pair.prompt)
    if count == "all":
        return reaching
    return tuple(draw_items(reaching, count, seed, pair.id, "label"))


def order_drawn(response_a: str, response_b: str, order: Order) -> Order:
    """The order by which draws are made: one for both where the answers are the same, so that they come out even."""
    return "ab" if response_a == response_b else order


def in_order(response_a: str, response_b: str, order: Order) -> tuple[str, str]:
    """The two answers in the order in which they are shown."""
    return (response_a, response_b) if order == "ab" else (response_b, response_a)
