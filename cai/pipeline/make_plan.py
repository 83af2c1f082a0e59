"""`make_plan`: what `cai run` would ask, how long it would take, and what it would cost. Writes into no run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cai.pipeline.audit_pairs import check_against
from cai.pipeline.audit_work import require_audit
from cai.pipeline.job import SFT_MODEL, Job, Reporter, Silent, store_path
from cai.pipeline.plan_beside import audit_tally, evaluate_tally, last_drafts
from cai.pipeline.plan_budget import spans
from cai.pipeline.plan_draw import drawn_prompts, usual_number
from cai.pipeline.plan_money import worth
from cai.pipeline.plan_nodes import Node, model_nodes, source_rows
from cai.pipeline.plan_notes import answered_note, covered_note, sampled_notes, unread_notes
from cai.pipeline.plan_probe import LEARN, Probe, Rows
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_recorded import recorded_call, recorded_training
from cai.pipeline.plan_rows import PlanRow, total_of
from cai.pipeline.plan_training import Training, reward_training, sft_training
from cai.pipeline.plan_walk import Tally, Walk
from cai.pipeline.prices import is_local
from cai.pipeline.spending import Spending
from cai.pipeline.staleness import stale_steps
from cai.pipeline.step import Step
from cai.pipeline.steps import checked_job, roles_until, steps_of
from cai.recipe import Recipe
from cai.records import Json
from cai.storage.calls import CallStore
from cai.storage.run import Run

ASKED_BESIDE = {"audit": "judge", "evaluate": "model"}
"""The steps that ask and are no stage: whose model is asked."""
WINDOW = 512
"""Rows that a local engine takes at a time, at most."""
Note = Callable[[str], None]


@dataclass(slots=True)
class Planner:
    """Everything that one plan is made from."""

    job: Job
    steps: Sequence[Step]
    stale: Mapping[str, str]
    nodes: Sequence[Node]
    probe: Probe
    walk: Walk
    asked: Rows = field(default_factory=dict)
    learnt: Rows = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    was_empty: bool = False
    """Whether the store had no answer before the probe."""
    count: int = 0
    """Prompts that the probe may ask; 0: nothing is asked."""

    @property
    def rates(self) -> Rates:
        return self.probe.rates

    def rows(self) -> list[PlanRow]:
        """One a step, in the order of the run."""
        beside = self._beside_timed()
        return [self._row(step, beside) for step in self.steps]

    def _beside_timed(self) -> dict[str, list[tuple[str, Tally]]]:
        """As `_beside`, once a few calls of those have been timed that no step of the probe tells the time of."""
        asked = set(self.walk.asked)
        found = self._beside()
        untimed = [name for name in found if not self.probe.times.told_by(self._timed_as(name))]
        given = [(name, role, one.lacking[: self.count]) for name in untimed for role, one in found[name]]
        if not any(requests for _, _, requests in given):
            return found
        for name, role, requests in given:
            if requests and role != "sft":
                self.probe.time_calls(name, role, requests)
        self.walk.asked = asked
        return self._beside()

    def _beside(self) -> dict[str, list[tuple[str, Tally]]]:
        """(role, tally) of the steps that ask and are no stage."""
        found: dict[str, list[tuple[str, Tally]]] = {}
        if "audit" in self.stale:
            last = last_drafts(self.nodes)
            known = last not in self.stale
            drafts = None if known else self.asked.get(last, [])
            found["audit"] = [("judge", audit_tally(self.job, self.walk, drafts))]
        if "evaluate" in self.stale:
            tallies = evaluate_tally(self.job, self.walk, "sft" not in self.stale)
            found["evaluate"] = [("sft" if name == "sl" else "model", one) for name, one in tallies.items()]
        return found

    def _row(self, step: Step, beside: Mapping[str, list[tuple[str, Tally]]]) -> PlanRow:
        name, why = step.name, self.stale.get(step.name, "")
        if not why:
            return PlanRow(name, "")
        if name in beside:
            return self._asking(name, why, beside[name])
        if node := next((one for one in self.nodes if one.step == name), None):
            return self._asking(name, why, [(node.role, self.walk.tallies[name])])
        if training := self.trainings.get(name):
            timed = "" if training.seconds is None else training.timed
            return PlanRow(name, why, seconds=training.seconds, timed=timed, training_steps=training.steps)
        return PlanRow(name, why)

    def _asking(self, name: str, why: str, parts: Sequence[tuple[str, Tally]]) -> PlanRow:
        tallies = [one for _, one in parts]
        untold = any(one.untold for one in tallies)
        seconds, timed = self._seconds(name, parts[0][0], tallies)
        return PlanRow(
            name, why, sum(one.answered for one in tallies), round(sum(one.expected for one in tallies)),
            sum(one.low for one in tallies), sum(one.high for one in tallies),
            round(sum(one.prompt_tokens for one in tallies)),
            None if untold else round(sum(one.completion_tokens for one in tallies)),
            seconds, timed, worth=worth(self.job, self.rates, self._like(name), parts),
        )  # fmt: skip

    def _like(self, name: str) -> str:
        """The step whose answers a step's are taken for."""
        judged = "reason" if self.job.recipe.label.reasoning_samples else "label"
        return {"audit": judged, "evaluate": "respond"}.get(name, name)

    def _timed_as(self, name: str) -> str:
        """The step whose times a step's are taken for."""
        return name if self.probe.times.told_by(name) else self._like(name)

    def tells_time(self, name: str) -> bool:
        """Whether the time of a step's calls is known, by a probe or by the run."""
        return bool(self.probe.times.told_by(self._timed_as(name))) or self._recorded(name) is not None

    def _recorded(self, name: str) -> float | None:
        return recorded_call(self.job.run, next(one for one in self.steps if one.name == name), self._like(name))

    def _seconds(self, name: str, role: str, tallies: Sequence[Tally]) -> tuple[float | None, str]:
        """The seconds, and by what they are told."""
        calls = sum(one.expected for one in tallies)
        if not calls:
            return 0.0, ""
        if (seconds := self._probed(name, role, tallies, calls)) is not None:
            return seconds, self.probe.times.told_by(self._timed_as(name))
        each = self._recorded(name)
        return (None, "") if each is None else (calls * each, "run")

    def _probed(self, name: str, role: str, tallies: Sequence[Tally], calls: float) -> float | None:
        step = self._timed_as(name)
        written = sum(one.completion_tokens for one in tallies)
        if not written or not (role == "sft" or is_local(self.job.engine(role).spec)):
            return self.probe.times.of(step, calls)
        width = sum(one.prompt_tokens for one in tallies) / calls + self._max_tokens(name)
        batch = min(WINDOW, max(1.0, self.job.recipe.engine.batch_tokens // width))
        return self.probe.times.of(step, calls, batch)

    def _max_tokens(self, name: str) -> int:
        """The most that one call of a step writes."""
        label = self.job.recipe.label
        if name == "reason" or (name == "audit" and label.reasoning_samples):
            return label.reasoning_tokens
        settings = getattr(self.job.recipe, name.partition("-")[0], None)
        return int(getattr(settings, "max_tokens", 16))


def make_plan(
    recipe: Recipe, folder: Path, *, probe: int | None = None, train_probe: bool = True,
    spending: Spending | None = None, reporter: Reporter | None = None, note: Note | None = None,
    accept_audit: bool = False,
) -> Json:  # fmt: skip
    """What bringing the run in `folder` up to date takes: ``{steps: [PlanRow], total, probe, notes, …}``.

    `probe` prompts at most, in all (None: `usual_number` of them), are sent through the stages, timed, and their
    answers kept in the run's call store, the times beside it; 0 asks nothing. Where answers are there, no other prompts
    are asked in their place, and what was not timed is told by an earlier plan, or by the speed that the run's manifest
    has of the same model.
    Raises what `run_recipe` raises before it begins.
    """
    started = time.monotonic()
    run = Run(folder)
    roles = roles_until(recipe, recipe.until)
    job = checked_job(recipe, run, recipe.until)
    job.reporter, job.accept_audit, job.spending = reporter or Silent(), accept_audit, spending or Spending()
    job.check_spending(roles)
    steps = steps_of(job, recipe.until)
    plan = {step.name: step.plan() for step in steps}
    stale = stale_steps(run, plan)
    require_audit(job, plan, stale)
    if stale:
        job.check_roles(roles)
        job.check_people(stale)
        if "audit" in stale:
            check_against(job)
    nodes = model_nodes(job, steps, stale)
    count = usual_number(one.kind for one in job.prompts.prompts) if probe is None else probe
    with TemporaryDirectory(prefix="cai-plan-") as name, _store(job, count, Path(name)) as store:
        asking = Probe(job, nodes, store, Path(name))
        keys = asking.keys({step: role for step, role in ASKED_BESIDE.items() if step in stale})
        asking.times.recall(store.path, keys, [job.engine(role).spec for role in roles])
        asking.times.started = time.monotonic() - started
        planner = Planner(
            job, steps, stale, nodes, asking, Walk([one for one in nodes if one.why], store, asking.rates),
            was_empty=not len(store), count=count,
        )  # fmt: skip
        _measured(planner, count, note or (lambda text: None))
        _walked(planner)
        _timed(planner)
        _trained(planner, Path(name), bool(count) and train_probe, note or (lambda text: None))
        report = _report(planner, store)
        asking.times.keep(store.path, keys)
        return report


def _store(job: Job, probe: int, temporary: Path) -> CallStore:
    """The run's own; where nothing is asked and there is none, an empty one that goes away."""
    path = store_path(job.run)
    return CallStore(path if probe or path.exists() else temporary / "calls.sqlite")


def _measured(planner: Planner, count: int, note: Note) -> None:
    asking, job = planner.probe, planner.job
    open_nodes = [one for one in planner.nodes if one.why]
    if count and (open_nodes or {"sft", "reward"} & planner.stale.keys()):
        drawn = drawn_prompts(job, planner.nodes, asking.store, count)
        if drawn.open:
            note(
                f"probe: {len(drawn.prompts)} of {len(job.prompts.prompts)} prompts go through the stages that are to "
                f"be done; the answers are kept in {asking.store.path}, for the run to use"
            )
        elif open_nodes:
            note(f"probe: the answers to {len(drawn.prompts)} prompts are there, which is enough to tell by")
        planner.asked = asking.ask(drawn.prompts)
    if open_nodes or ASKED_BESIDE.keys() & planner.stale.keys():
        prompts = drawn_prompts(job, [], asking.store, max(count, LEARN)).prompts
        planner.learnt = asking.learn(prompts, planner.asked)
        _take_revisions_for_samples(planner)


def _take_revisions_for_samples(planner: Planner) -> None:
    """A policy that is still to be trained will write texts as long as those that it is trained on."""
    sample = next((one for one in planner.nodes if one.step == "sample" and one.fingerprint is None), None)
    if sample is None:
        return
    last = last_drafts(planner.nodes)
    for kind in ("red_team", "helpful", "lookalike"):
        step = last if planner.rates.written[last, kind].n else "respond"
        for table in (planner.rates.written, planner.rates.lengths):
            if table[step, kind].n:
                table["sample", kind] = table[step, kind]


def _walked(planner: Planner) -> None:
    """From each source that is there: the prompts, and the files of steps that are up to date."""
    open_steps = {one.step for one in planner.walk.nodes}
    for source in dict.fromkeys(one.source for one in planner.walk.nodes):
        if source not in open_steps:
            planner.walk.run(source, source_rows(planner.job, source))


def _timed(planner: Planner) -> None:
    """Ask a few calls of the stages whose time nothing tells, for the probe's prompts had nothing left to ask there."""
    tallies = ((node, planner.walk.tallies[node.step]) for node in planner.walk.nodes)
    untold = [(node, one.lacking[: planner.count]) for node, one in tallies if not planner.tells_time(node.step)]
    if not any(requests for _, requests in untold):
        return
    for node, requests in untold:
        planner.probe.time_calls(node.step, node.role, requests)
    planner.walk = Walk(planner.walk.nodes, planner.walk.store, planner.walk.rates)
    _walked(planner)


def _trained(planner: Planner, folder: Path, measure: bool, note: Note) -> None:
    job, asked = planner.job, planner.asked
    if measure and {"sft", "reward"} & planner.stale.keys():
        planner.probe.import_libraries()
        note("probe: a few training steps on these texts, in a temporary folder; nothing of them is kept")
    if "sft" in planner.stale:
        drafts = asked.get(last_drafts(planner.nodes), [])
        planner.trainings["sft"] = sft_training(job, drafts, folder, measure)
    if "reward" in planner.stale:
        pairs = planner.walk.tallies["label"].records
        if "label" not in planner.stale:
            pairs = float(job.run.steps["label"]["rows"])
        planner.trainings["reward"] = reward_training(job, asked.get("label", []), pairs, folder, measure)
    for name, one in planner.trainings.items():
        if one.seconds is None:
            planner.trainings[name] = recorded_training(job.run, next(s for s in planner.steps if s.name == name), one)


def _report(planner: Planner, store: CallStore) -> Json:
    rows = planner.rows()
    times, spent = planner.probe.times, planner.job.spending.spent
    loaded, load_seconds = _loads(planner, rows)
    start = times.started + (times.imports if planner.trainings or any(map(is_local, loaded)) else 0.0)
    besides = load_seconds + (start if any(row.why for row in rows) else 0.0)
    return {
        "run": str(planner.job.run.folder),
        "steps": [row.to_json() for row in rows],
        "total": total_of(rows, besides),
        "spans": spans(rows),
        "start_seconds": round(start, 1),
        "load_seconds": round(load_seconds, 1),
        "loads": len(loaded),
        "unmeasured": [row.step for row in rows if row.seconds is None],
        "probe": {
            "prompts": len(planner.asked.get("prompts", [])),
            "store": str(store.path),
            **spent.to_json(),
            "failed": planner.probe.failed,
        },
        "untrained_policy": any(one.fingerprint is None and one.why for one in planner.nodes),
        "notes": _notes(planner, rows),
    }


def _notes(planner: Planner, rows: Sequence[PlanRow]) -> list[str]:
    floor = planner.job.recipe.preferences.mass_floor
    probed = len(planner.asked.get("prompts", [])) if any(one.why for one in planner.nodes) else 0
    return [
        *planner.job.notes,
        *sampled_notes(planner.nodes),
        *unread_notes(planner.nodes, planner.learnt, floor),
        *covered_note(probed, len(planner.job.prompts.prompts), sum(row.calls_high for row in rows)),
        *answered_note(planner.was_empty, sum(row.answered for row in rows), planner.job.spending.spent.calls),
    ]


def _loads(planner: Planner, rows: Sequence[PlanRow]) -> tuple[list[str], float]:
    """The models loaded, one after the other, and the seconds of that: the weights of one are let go for another's."""
    role = ASKED_BESIDE | {one.step: one.role for one in planner.nodes}
    held, loaded, seconds = "", [], 0.0
    for row in rows:
        if row.training_steps or row.step == "evaluate":
            held = ""
        if not row.calls:
            continue
        of = f"hf/{SFT_MODEL}" if role[row.step] == "sft" else planner.job.engine(role[row.step]).spec
        if of != held:
            took = planner.probe.times.loads.get(of) or max(planner.probe.times.loads.values(), default=0.0)
            held, seconds = of, seconds + took
            loaded.append(of)
    return loaded, seconds
