"""How many calls are still to be made: every record walked through its stages as far as the answers are known.

Where an answer is not there yet, a placeholder of the usual length takes its place: how many calls follow depends on
texts only where one is rejected, or is like another. So what is determined is counted exactly, with the stages' own
requests and the store's keys, and the rest is an estimate with an interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cai.errors import ParseError, RunError
from cai.pipeline.plan_nodes import Node, characters, kind_of, placeholder
from cai.pipeline.plan_rates import Moments, Rates
from cai.pipeline.spending import most_tokens
from cai.records import Answer, GenerateRequest, Json, Request
from cai.storage.calls import CallStore, keys_of

CHUNK = 256
SIGMAS = 2.0
MOST_TIMED = 32
"""Calls that a probe may ask of a step, if nothing else tells how long they take."""
UNTRAINED = "a model that is still to be trained"
"""Stands for its fingerprint: what is equal is asked once of it too, and nothing is answered yet."""


@dataclass(slots=True)
class Tally:
    """Calls of one step. `ask` are determined; `likely` are expected of at most `most` that depend on texts.

    `spread` is the standard error of `likely`. `answered` are in the store, or are equal to another call. Tokens are
    those of the calls still to be made.
    """

    answered: int = 0
    ask: int = 0
    likely: float = 0.0
    most: int = 0
    spread: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    written: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    records: float = 0.0
    untold: bool = False
    """Whether nothing tells how long its completions are."""
    lacking: list[Request] = field(default_factory=list)
    """Some of the calls to be made whose model is there, for a probe to ask."""
    surely_held: tuple[int, int] = (0, 0)
    """The most prompt and completion tokens of one call that will be made (`spending.most_tokens`)."""
    held: tuple[int, int] = (0, 0)
    """The same of any call that may be made."""

    def write(self, kind: str, weight: float, length: Moments) -> None:
        """Take in a completion, of the chance `weight`, whose tokens are like `length`."""
        self.written[kind] += weight
        self.completion_tokens += weight * length.mean
        self.untold = self.untold or not length.n

    def hold(self, request: Request, scored: int, beyond: int | None = None) -> None:
        """Take in what is held for a call; `beyond`: bytes that it may be longer, None for one that will be made."""
        size, written = most_tokens(request, scored)
        if beyond is None:
            self.surely_held = max(self.surely_held, (size, written), key=sum)
        self.held = (max(self.held[0], size + (beyond or 0)), max(self.held[1], written))

    def lack(self, request: Request) -> None:
        if len(self.lacking) < MOST_TIMED:
            self.lacking.append(request)

    @property
    def expected(self) -> float:
        return self.ask + self.likely

    @property
    def low(self) -> int:
        return self.ask + math.floor(max(0.0, self.likely - SIGMAS * self.spread) + 1e-6)

    @property
    def high(self) -> int:
        return self.ask + min(self.most, math.ceil(self.likely + SIGMAS * self.spread - 1e-6))

    @property
    def exact(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Flow:
    """A row on its way; `weight` is the chance that it is there, `doubt` the relative variance of that.

    `known`: it is made of answers alone. `out_of` is the step whose answers to it are not there yet, if any.
    """

    row: Json
    weight: float = 1.0
    doubt: float = 0.0
    known: bool = True
    out_of: str = ""


@dataclass(slots=True)
class Walk:
    """Counts, over the steps that are to be done, what the store lacks; asks nothing and writes nothing."""

    nodes: Sequence[Node]
    store: CallStore
    rates: Rates
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    asked: set[bytes] = field(default_factory=set)

    def run(self, source: str, rows: Iterable[Json]) -> None:
        """Send `rows` through every step that reads `source`, and through those that read what comes of them."""
        coming = iter(rows)
        while chunk := list(islice(coming, CHUNK)):
            self._send(source, [Flow(row) for row in chunk])

    def _send(self, source: str, flows: list[Flow]) -> None:
        for node in self.nodes:
            if node.source == source:
                self._send(node.step, list(self._through(node, flows)))

    def _through(self, node: Node, flows: list[Flow]) -> Iterator[Flow]:
        """What comes out of a step. A record whose answers are all there is read as the step would read it."""
        flows = [self._arrived(node, flow) for flow in flows]
        work = [(flow, one) for flow in flows for one in node.stage.read(flow.row)]
        asking = [(flow, record, node.stage.requests(record)) for flow, record in work]
        stored = self._stored(node, asking)
        at = 0
        for flow, record, requests in asking:
            kind = kind_of(flow.row)
            answers: list[Answer | None] = [None] * len(requests)
            if flow.known:
                answers = list(stored[at : at + len(requests)])
                at += len(requests)
            self._count(node, flow, kind, requests, answers)
            yield from self._out(node, flow, kind, record, requests, answers)

    def _stored(self, node: Node, asking: Sequence[tuple[Flow, Any, list[Request]]]) -> list[Answer | None]:
        """The answers to the requests of records that are known; calls that another one answers are counted with it."""
        known = [one for flow, _, requests in asking if flow.known for one in requests]
        keys = keys_of(node.fingerprint or UNTRAINED, known)
        found = self.store.get(keys)
        tally = self.tallies[node.step]
        for key, request in zip(keys, known, strict=True):
            if key in found or key in self.asked:
                tally.answered += 1
                continue
            self.asked.add(key)
            tally.ask += 1
            if node.fingerprint is not None:
                tally.lack(request)
        return [found.get(key) for key in keys]

    def _count(
        self, node: Node, flow: Flow, kind: str, requests: Sequence[Request], answers: Sequence[Answer | None]
    ) -> None:
        tally = self.tallies[node.step]
        tally.records += flow.weight
        if not flow.known:
            tally.likely += flow.weight * len(requests)
            tally.most += len(requests)
            tally.spread += flow.weight * math.sqrt(flow.doubt) * len(requests)
        beyond = self.rates.beyond if not flow.known else 0
        for request, answer in zip(requests, answers, strict=True):
            if answer is None:
                tally.hold(request, node.scored, None if flow.known else beyond)
                tally.prompt_tokens += flow.weight * self.rates.tokens_read(node.step, characters(request))
                if isinstance(request, GenerateRequest):
                    tally.write(kind, flow.weight, self.rates.tokens_written(node.step, kind))
                else:
                    tally.completion_tokens += flow.weight * node.scored

    def _arrived(self, node: Node, flow: Flow) -> Flow:
        """A row of placeholders leads to fewer calls than it seems: some records are rejected, some texts alike.

        How much more or less a model still to be trained will repeat itself than its base is in doubt besides.
        """
        if not flow.out_of:
            return flow
        share = self.rates.share(flow.out_of, node.step, kind_of(flow.row))
        untrained = any(one.step == flow.out_of and one.fingerprint is None for one in self.nodes)
        error = math.hypot(share.error, 1 - share.value if untrained else 0.0)
        doubt = flow.doubt + ((error / share.value) ** 2 if share.value else 0.0)
        return Flow(flow.row, flow.weight * share.value, doubt, False)

    def _out(
        self, node: Node, flow: Flow, kind: str, record: Any, requests: Sequence[Request],
        answers: Sequence[Answer | None],
    ) -> Iterator[Flow]:  # fmt: skip
        """A record is gone only where its known answers alone have it rejected.

        Raises `RunError` for a stage that refuses placeholders: no round may be left out of the plan.
        """
        length = self.rates.length(node.step, kind)
        filled = [answer or placeholder(node.step, requests[n], n, length) for n, answer in enumerate(answers)]
        try:
            row = node.stage.parse(record, filled).to_json()
        except ParseError as error:
            if answers and not any(answers):
                raise RunError(
                    f"{node.step}: cannot be planned: it takes no placeholder for an answer: {error}"
                ) from None
            return
        whole = None not in answers
        yield Flow(row, flow.weight, flow.doubt, flow.known and whole, "" if whole else node.step)
