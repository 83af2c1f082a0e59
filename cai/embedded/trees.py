"""Packing: a group's sequences become one tree in which shared prefixes are stored once, and trees share a row.

In a row, token s may be seen by token t when s is t or an ancestor of t; with tokens in depth-first order this is
``s <= t < end[s]``. Positions restart at each root. Losses sit on edges (parent, child), because a parent may have
several children to predict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tree:
    """Depth-first arrays: token, position, end of subtree (exclusive); edges as (parent, child, weight)."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    edges: list[tuple[int, int, float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)


Sequence = tuple[list[int], list[float]]


def grow(sequences: list[Sequence]) -> Tree:
    """The tree of sequences (token ids, loss weight of each token)."""
    tree = Tree()
    _grow(tree, [(ids, weights) for ids, weights in sequences], 0, -1)
    return tree


def fitting(sequences: list[Sequence], length: int) -> list[Tree]:
    """Trees of at most `length` tokens with all the sequences: of a group that is too large, one for either half.

    Raises ValueError where a sequence alone is longer.
    """
    tree = grow(sequences)
    if len(tree) <= length:
        return [tree]
    if len(sequences) == 1:
        raise ValueError(f"a dialogue of {len(tree)} tokens does not fit into rows of {length}")
    half = len(sequences) // 2
    return fitting(sequences[:half], length) + fitting(sequences[half:], length)


def _grow(tree: Tree, sequences: list[Sequence], depth: int, parent: int) -> None:
    branches: dict[int, list[Sequence]] = {}
    for one in sequences:
        if len(one[0]) > depth:
            branches.setdefault(one[0][depth], []).append(one)
    for token, members in branches.items():
        _branch(tree, token, members, depth, parent)


def _branch(tree: Tree, token: int, members: list[Sequence], depth: int, parent: int) -> None:
    start, opened = depth, []
    while True:  # a run of tokens that all members share needs no recursion
        node = len(tree.tokens)
        tree.tokens.append(token)
        tree.positions.append(depth)
        tree.ends.append(0)
        weight = sum(weights[depth] for _, weights in members)
        if weight and parent >= 0:
            tree.edges.append((parent, token, weight))
        opened.append(node)
        parent, depth = node, depth + 1
        going = [one for one in members if len(one[0]) > depth]
        if len(going) != len(members) or len({one[0][depth] for one in going}) != 1:
            break
        token = going[0][0][depth]
    assert depth > start
    _grow(tree, members, depth, parent)
    for node in opened:
        tree.ends[node] = len(tree.tokens)


@dataclass(slots=True)
class Row:
    """Several trees end to end."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    edges: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, tree: Tree) -> None:
        at = len(self.tokens)
        self.tokens += tree.tokens
        self.positions += tree.positions
        self.ends += [end + at for end in tree.ends]
        self.edges += [(parent + at, child, weight) for parent, child, weight in tree.edges]


def rows(trees: Iterable[Tree], length: int, pool: int = 24) -> Iterator[Row]:
    """Rows of at most `length` tokens, best fit from a small pool of waiting trees, none of which is longer."""
    waiting: list[Tree] = []
    stream = iter(trees)
    while True:
        while len(waiting) < pool:
            waiting.append(next(stream))
        row = Row()
        row.add(waiting.pop(0))
        while True:
            room = length - len(row.tokens)
            fitting = [tree for tree in waiting if len(tree) <= room]
            if not fitting:
                break
            best = max(fitting, key=len)
            waiting.remove(best)
            row.add(best)
        yield row
