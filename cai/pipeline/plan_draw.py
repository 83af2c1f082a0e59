"""Which prompts a plan's probe asks: so many in all, of every kind, and such as lead to calls of every open step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest

from cai.draws import draw_bits
from cai.errors import ParseError
from cai.pipeline.job import Job
from cai.pipeline.plan_nodes import Node, prompt_of, source_rows
from cai.records import Json
from cai.storage.calls import CallStore, keys_of

CHUNK = 256
FEWEST = 4
"""Prompts of each kind, where there are as many and the number asked for allows."""


def drawn_prompts(job: Job, nodes: Sequence[Node], store: CallStore, count: int) -> list[Json]:
    """At most `count` prompts in the proportions of their kinds, each kind in a drawn order.

    Those come first that lead to calls which have no answer yet: for each step that has such, in turns.
    """
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for prompt in job.prompts.prompts:
        by_kind[prompt.kind].append(prompt.to_json())
    leading = _leading(job, nodes, store)
    sizes = shares({kind: len(rows) for kind, rows in by_kind.items()}, count)
    drawn: list[Json] = []
    for kind, rows in by_kind.items():
        rows.sort(key=lambda row: draw_bits(job.recipe.seed, row["id"], "probe"))
        drawn += _in_turns(rows, leading)[: sizes[kind]]
    return drawn


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


def _in_turns(rows: Sequence[Json], leading: Mapping[str, set[str]]) -> list[Json]:
    """The rows that lead to each step in turns, first those that lead to most; then all others."""
    wide = sorted(rows, key=lambda row: -sum(row["id"] in ids for ids in leading.values()))
    lists = [[row for row in wide if row["id"] in ids] for ids in leading.values()]
    turns = [row for some in zip_longest(*lists) for row in some if row is not None]
    return list({row["id"]: row for row in [*turns, *rows]}.values())


def _leading(job: Job, nodes: Sequence[Node], store: CallStore) -> dict[str, set[str]]:
    """Step -> prompts that lead to calls of it which have no answer: open at the step itself, or at one before it."""
    todo = [one for one in nodes if one.why]
    if not todo:
        return {}
    found = _Open(job, todo, store)
    steps = {one.step for one in todo}
    for source in dict.fromkeys(one.source for one in todo):
        if source not in steps:
            found.follow(source, source_rows(job, source))
    leading: dict[str, set[str]] = {}
    for node in todo:
        leading[node.step] = found.ids[node.step] | leading.get(node.source, set())
    return {step: ids for step, ids in leading.items() if ids}


@dataclass(slots=True)
class _Open:
    """Follows rows as far as the answers are there; a model still to be trained is taken for the one it starts from."""

    job: Job
    nodes: Sequence[Node]
    store: CallStore
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        own = self.job.engine("model").fingerprint
        self.nodes = [replace(one, fingerprint=one.fingerprint or own) for one in self.nodes]

    def follow(self, source: str, rows: Iterable[Json]) -> None:
        coming = iter(rows)
        while chunk := list(islice(coming, CHUNK)):
            for node in self.nodes:
                if node.source == source:
                    self.follow(node.step, self._answered(node, chunk))

    def _answered(self, node: Node, rows: Sequence[Json]) -> list[Json]:
        """What comes of the rows whose answers are all there; the prompts of all others are noted."""
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
                self.ids[node.step].add(prompt_of(row)["id"])
                continue
            try:
                out.append(node.stage.parse(record, answers).to_json())
            except ParseError:
                continue
        return out
