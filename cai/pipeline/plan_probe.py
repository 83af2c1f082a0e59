"""The probe of a plan: a few prompts through the stages that are to be done, timed; and what all known answers tell.

The answers go into the run's own call store, so the run that follows does not ask for them again; nothing else is
written outside a temporary folder.
"""

from __future__ import annotations

import importlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cai.draws import draw_bits
from cai.errors import BudgetError, ParseError, RunError
from cai.pipeline.job import Job
from cai.pipeline.plan_nodes import Node, kind_of, placeholder, prompt_of, source_rows
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_times import Times
from cai.pipeline.spending import is_local
from cai.pipeline.stage_loop import row_bytes, run_stage
from cai.records import Answer, ChoiceRequest, Json
from cai.storage.calls import CallStore, keys_of
from cai.storage.run import read_rows

LEARN = 400
"""Prompts whose stored answers are looked at, beside those of the probe."""
MOST_SCORED = 512
"""Choice requests that the probe asks of one step: they are many and alike."""
Rows = dict[str, list[Json]]


def drawn_prompts(job: Job, nodes: Sequence[Node], store: CallStore, count: int) -> list[Json]:
    """`count` prompts in the proportions of their kinds, each kind in a drawn order; first those with calls to make."""
    open_ids = _open_prompts(job, nodes, store)
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for prompt in job.prompts.prompts:
        by_kind[prompt.kind].append(prompt.to_json())
    drawn: list[Json] = []
    total = len(job.prompts.prompts)
    for rows in by_kind.values():
        rows.sort(key=lambda row: (row["id"] not in open_ids, draw_bits(job.recipe.seed, row["id"], "probe")))
        drawn += rows[: max(min(4, count), round(count * len(rows) / total))]
    return drawn


def _open_prompts(job: Job, nodes: Sequence[Node], store: CallStore) -> set[str]:
    """Prompts about which the first step that is to be done has something to ask."""
    first = next((one for one in nodes if one.why and one.fingerprint is not None), None)
    if first is None or (first.source != "prompts" and not job.run.path(f"{first.source}.jsonl").exists()):
        return set()
    found: set[str] = set()
    rows = source_rows(job, first.source)
    while chunk := list(islice(rows, 256)):
        pairs = [
            (prompt_of(row)["id"], request)
            for row in chunk
            for record in first.stage.read(row)
            for request in first.stage.requests(record)
        ]
        keys = keys_of(first.fingerprint or "", (request for _, request in pairs))
        lacking = set(store.missing(keys))
        found.update(name for (name, _), key in zip(pairs, keys, strict=True) if key in lacking)
    return found


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
        """One request to load the model, then a quarter of the rows, then all; each with its time."""
        role = "model" if node.fingerprint is None else node.role
        engine = self.job.only(role)
        if rows and engine is not self._loaded:
            if self._loaded is None and is_local(engine.spec):
                self.times.started += seconds_to_import("torch", "transformers", "cai.models.hf_model")
            self._loaded = engine
            _, took = self._run(node, role, rows[:1])
            self.times.loads[engine.spec] = took
        out: list[Json] = []
        for some in (rows[: max(1, len(rows) // 4)], rows) if rows else ():
            made = self.job.spending.spent.calls
            out, took = self._run(node, role, some)
            self.times.add(node.step, self.job.spending.spent.calls - made, took)
        return out

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

    def learn(self, prompts: Sequence[Json], asked: Rows) -> None:
        """Look at every answer that is there, to the prompts and to what the probe asked, through all steps."""
        names = {row["id"] for row in prompts}
        rows: dict[str, list[Json]] = {"prompts": list(prompts)}
        for node in self.nodes:
            source = rows.get(node.source, [])
            known = {prompt_of(row)["id"] for row in source}
            source += [row for row in asked.get(node.source, []) if prompt_of(row)["id"] not in known]
            out = list(self._learnt(node, source))
            rows[node.step] = self._of_run(node.step, names) if not node.why else out

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
