"""The probe of a plan: a few prompts through the stages that are to be done, timed; and what all known answers tell.

The answers go into the run's own call store, so the run that follows does not ask for them again; nothing else is
written outside a temporary folder.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cai.draws import draw_bits
from cai.errors import BudgetError, ParseError, RunError
from cai.pipeline.job import Job
from cai.pipeline.plan_nodes import Node, kind_of, placeholder, prompt_of, source_rows
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_times import Times
from cai.pipeline.prices import is_local
from cai.pipeline.stage_loop import row_bytes, run_stage
from cai.records import Answer, ChoiceRequest, Json, Request
from cai.storage.calls import CallStore, keys_of
from cai.storage.run import read_rows

LEARN = 400
"""Prompts whose stored answers are looked at, beside those of the probe."""
MOST_SCORED = 512
"""Choice requests that the probe asks of one step: they are many and alike."""
Rows = dict[str, list[Json]]


@dataclass(frozen=True, slots=True)
class _Said:
    """What becomes of a call that is asked for its time alone."""

    id: str

    def to_json(self) -> Json:
        return {"id": self.id}


@dataclass(frozen=True, slots=True)
class _Given:
    """A stage whose requests are given, a row each."""

    given: Sequence[Request]
    VERSION: ClassVar[int] = 1

    def read(self, row: Json) -> list[int]:
        return [row["at"]]

    def requests(self, at: int) -> list[Request]:
        return [self.given[at]]

    def parse(self, at: int, answers: list[Answer]) -> _Said:
        return _Said(str(at))


@dataclass(slots=True)
class Probe:
    """Asks, times and learns. `folder` is a temporary one."""

    job: Job
    nodes: Sequence[Node]
    store: CallStore
    folder: Path
    rates: Rates = field(default_factory=Rates)
    times: Times = field(default_factory=Times)
    failed: dict[str, str] = field(default_factory=dict)
    """Step -> why none of its rows could be had."""
    _loaded: Any = None
    _imported: bool = False

    def ask(self, prompts: Sequence[Json]) -> Rows:
        """Send the prompts through every step, ask what is missing, and time it; returns the rows of every step."""
        rows: Rows = {"prompts": list(prompts)}
        names = {row["id"] for row in prompts}
        for node in self.nodes:
            if not node.why:
                rows[node.step] = self._of_run(node.step, names)
                continue
            source = rows.get(node.source) or []
            rows[node.step] = self._asked(node, self._affordable(node, source))
        return rows

    def time_calls(self, step: str, role: str, requests: Sequence[Request]) -> None:
        """Ask these and time them: calls of a step that is no stage. The answers are kept as all others are."""
        node = Node(step, "", role, _Given(requests), self.job.engine(role).fingerprint, "not timed")
        self._asked(node, [{"at": at} for at in range(len(requests))])

    def keys(self, besides: Mapping[str, str]) -> dict[str, str]:
        """Step -> what the time of its calls hangs on; `besides`: whose models those are asked that are no stage."""
        roles = {**besides, **{one.step: asked_of(one) for one in self.nodes if one.why}}
        own = self.job.recipe.engine
        how = f"{own.device} {own.dtype} {own.batch_tokens} {own.concurrency}"
        return {step: f"{step} of {self.job.engine(role).spec}, {how}" for step, role in roles.items()}

    def _of_run(self, step: str, names: set[str]) -> list[Json]:
        return [row for row in source_rows(self.job, step) if prompt_of(row)["id"] in names]

    def _affordable(self, node: Node, rows: Sequence[Json]) -> list[Json]:
        """Rows from all over, so many that they lead to at most `MOST_SCORED` choice requests."""
        taken: list[Json] = []
        calls = 0
        for row in sorted(rows, key=lambda row: draw_bits(self.job.recipe.seed, prompt_of(row)["id"], node.step)):
            requests = [one for record in node.stage.read(row) for one in node.stage.requests(record)]
            scored = sum(isinstance(one, ChoiceRequest) for one in requests)
            if taken and calls + scored > MOST_SCORED:
                break
            taken.append(row)
            calls += scored
        return taken

    def _asked(self, node: Node, rows: list[Json]) -> list[Json]:
        """One request to load the model, then a quarter of the open rows, then all rows; each with its time."""
        role = asked_of(node)
        engine = self.job.only(role)
        lacking = [row for row in rows if self._lacks(node, engine.fingerprint, row)]
        if not lacking:
            return self._run(node, role, rows)[0] if rows else []
        if engine is not self._loaded:
            if is_local(engine.spec):
                self.import_libraries()
            self._loaded = engine
            _, self.times.loads[engine.spec] = self._run(node, role, lacking[:1])
        out: list[Json] = []
        for some in (lacking[: max(1, len(lacking) // 4)], rows):
            made = self.job.spending.spent.calls
            out, took = self._run(node, role, some)
            self.times.add(node.step, self.job.spending.spent.calls - made, took)
        return out

    def _lacks(self, node: Node, fingerprint: str, row: Json) -> bool:
        requests = (one for record in node.stage.read(row) for one in node.stage.requests(record))
        return bool(self.store.missing(keys_of(fingerprint, requests)))

    def import_libraries(self) -> None:
        """Import, once, what a model on this machine needs, and take the time of that."""
        if not self._imported:
            self._imported = True
            self.times.imports = seconds_to_import("torch", "transformers", "cai.models.hf_model")

    def _run(self, node: Node, role: str, rows: Sequence[Json]) -> tuple[list[Json], float]:
        source, output = self.folder / "asked.jsonl", self.folder / f"{node.step}.jsonl"
        source.write_bytes(b"".join(map(row_bytes, rows)))
        output.unlink(missing_ok=True)
        started = time.monotonic()
        try:
            run_stage(
                node.stage, self.job.only(role), source, output, self.store, rows_expected=len(rows),
                progress=self.job.reporter.progress, meter=self.job.meter(role),
            )  # fmt: skip
        except (RunError, BudgetError) as error:
            self.failed[node.step] = str(error).replace(f"{self.folder}/", "")
            return [], time.monotonic() - started
        self.failed.pop(node.step, None)
        return list(read_rows(output)), time.monotonic() - started

    def learn(self, prompts: Sequence[Json], asked: Rows) -> Rows:
        """Look at every answer that is there, to the prompts and to what the probe asked, through all steps.

        Returns the rows of every step that come of them.
        """
        names = {row["id"] for row in prompts}
        rows: Rows = {"prompts": list(prompts)}
        for node in self.nodes:
            source = rows.get(node.source, [])
            known = {prompt_of(row)["id"] for row in source}
            source += [row for row in asked.get(node.source, []) if prompt_of(row)["id"] not in known]
            out = list(self._learnt(node, source))
            rows[node.step] = self._of_run(node.step, names) if not node.why else out
        return rows

    def _learnt(self, node: Node, rows: Iterable[Json]) -> Iterator[Json]:
        children = [one for one in self.nodes if one.source == node.step]
        fingerprint = node.fingerprint or self.job.engine("model").fingerprint
        for row in rows:
            kind = kind_of(row)
            for record in node.stage.read(row):
                requests = node.stage.requests(record)
                keys = keys_of(fingerprint, requests)
                found = self.store.get(keys)
                if len(found) < len(set(keys)):
                    continue
                answers = [found[key] for key in keys]
                self.rates.learn(node.step, kind, requests, answers)
                length = self.rates.length(node.step, kind)
                usual = [placeholder(node.step, one, n, length) for n, one in enumerate(requests)]
                real, most = _read(node, record, answers), _read(node, record, usual)
                for child in children if requests else ():
                    share = self.rates.goes_on[node.step, child.step, kind]
                    if calls := _calls(child, most):
                        share.add(_calls(child, real), calls)
                if real is not None:
                    yield real


def asked_of(node: Node) -> str:
    """The role whose model a probe asks: for one that is still to be trained the one that it starts from."""
    return "model" if node.fingerprint is None else node.role


def _read(node: Node, record: Any, answers: Sequence[Answer]) -> Json | None:
    try:
        made: Json = node.stage.parse(record, list(answers)).to_json()
    except ParseError:
        return None
    return made


def _calls(node: Node, row: Json | None) -> int:
    """How many calls a row leads a step to."""
    return 0 if row is None else sum(len(node.stage.requests(one)) for one in node.stage.read(row))


def seconds_to_import(*names: str) -> float:
    """What importing these takes now."""
    started = time.monotonic()
    for name in names:
        importlib.import_module(name)
    return time.monotonic() - started
