"""Which prompts a plan's probe asks: a small share, of every kind, and first those that are answered already."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from cai.draws import draw_bits
from cai.errors import ParseError
from cai.pipeline.job import Job
from cai.pipeline.plan_nodes import Node, prompt_of, source_rows
from cai.records import Json
from cai.storage.calls import CallStore, keys_of

CHUNK = 256
FEWEST = 4
"""Prompts of each kind, where there are as many and the number asked for allows."""
MOST = 96
SHARE = 10
"""A plan that is not told otherwise asks one prompt of so many."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Prompts for a probe; `open` of them lead to calls that have no answer yet."""

    prompts: list[Json]
    open: int = 0


def usual_number(kinds: Iterable[str]) -> int:
    """How many prompts a probe takes of prompts of these kinds: a tenth, 4 of each kind or more, 96 at most."""
    sizes = Counter(kinds)
    return min(MOST, max(sizes.total() // SHARE, sum(min(FEWEST, size) for size in sizes.values())))


def drawn_prompts(job: Job, nodes: Sequence[Node], store: CallStore, count: int) -> Drawn:
    """At most `count` prompts in the proportions of their kinds, each kind in a drawn order that is always the same.

    Those come first whose answers are there, through the most of the steps to be done: what an earlier plan or run was
    told is not asked again of other prompts.
    """
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for prompt in job.prompts.prompts:
        by_kind[prompt.kind].append(prompt.to_json())
    found = _followed(job, nodes, store)
    sizes = shares({kind: len(rows) for kind, rows in by_kind.items()}, count)
    drawn: list[Json] = []
    for kind, rows in by_kind.items():
        rows.sort(key=lambda row: (-found.depth(row["id"]), draw_bits(job.recipe.seed, row["id"], "probe")))
        drawn += rows[: sizes[kind]]
    return Drawn(drawn, sum(any(row["id"] in ids for ids in found.open.values()) for row in drawn))


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """`count` dealt out in the proportions of `sizes`, at least `FEWEST` to each where that is possible; never more."""
    total = sum(sizes.values())
    count = min(count, total)
    least = min(FEWEST, count // max(1, len(sizes)))
    dealt = {kind: min(size, least) for kind, size in sizes.items()}
    while sum(dealt.values()) < count:
        lacking = (kind for kind in sizes if dealt[kind] < sizes[kind])
        dealt[max(lacking, key=lambda kind: count * sizes[kind] / total - dealt[kind])] += 1
    return dealt


def _followed(job: Job, nodes: Sequence[Node], store: CallStore) -> _Followed:
    todo = [one for one in nodes if one.why]
    found = _Followed(job, todo, store)
    steps = {one.step for one in todo}
    for source in dict.fromkeys(one.source for one in todo):
        if source not in steps:
            found.follow(source, source_rows(job, source))
    return found


@dataclass(slots=True)
class _Followed:
    """Rows followed as far as the answers are there; a model still to be trained is taken for the one it starts from.

    Step -> ids of the prompts that it has answers to, and of those with calls of it that have none.
    """

    job: Job
    nodes: Sequence[Node]
    store: CallStore
    answered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    open: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        own = self.job.engine("model").fingerprint
        self.nodes = [replace(one, fingerprint=one.fingerprint or own) for one in self.nodes]

    def depth(self, prompt: str) -> int:
        """How many steps have all their answers to a prompt."""
        return sum(prompt in ids and prompt not in self.open[step] for step, ids in self.answered.items())

    def follow(self, source: str, rows: Iterable[Json]) -> None:
        coming = iter(rows)
        while chunk := list(islice(coming, CHUNK)):
            for node in self.nodes:
                if node.source == source:
                    self.follow(node.step, self._answered(node, chunk))

    def _answered(self, node: Node, rows: Sequence[Json]) -> list[Json]:
        """What comes of the rows whose answers are all there."""
        work = [(row, record) for row in rows for record in node.stage.read(row)]
        asking = [(row, record, node.stage.requests(record)) for row, record in work]
        keys = keys_of(node.fingerprint or "", (one for _, _, requests in asking for one in requests))
        found = self.store.get(keys)
        out: list[Json] = []
        at = 0
        for row, record, requests in asking:
            answers = [found[key] for key in keys[at : at + len(requests)] if key in found]
            at += len(requests)
            if len(answers) < len(requests):
                self.open[node.step].add(prompt_of(row)["id"])
                continue
            self.answered[node.step].add(prompt_of(row)["id"])
            try:
                out.append(node.stage.parse(record, answers).to_json())
            except ParseError:
                continue
        return out
