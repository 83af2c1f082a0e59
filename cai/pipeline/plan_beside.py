"""The calls of the steps that ask about more than a stage file holds: the audit of the judge, the measured policies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from cai import audit
from cai.embedded import outcome
from cai.pipeline.audit_asking import by_principle
from cai.pipeline.audit_pairs import audit_items, human_items, special_suffix
from cai.pipeline.job import Job
from cai.pipeline.measure import policies
from cai.pipeline.plan_nodes import Node, characters
from cai.pipeline.plan_rates import Rates
from cai.pipeline.plan_walk import UNTRAINED, Tally, Walk
from cai.pipeline.spending import scored_tokens
from cai.pipeline.verdicts import comparison_reading
from cai.records import Draft, GenerateRequest, Json, Judgement, Request, Round
from cai.stages.respond import Respond
from cai.storage.calls import CallStore, keys_of

_KINDS_OF_ITEMS = 11
"""Of `audit.items` each: identical, noise, swapped, null, mended and the six attacks; the tests come on top."""


def evaluate_tally(job: Job, walk: Walk, sft_known: bool) -> dict[str, Tally]:
    """Policy -> its calls. The questions are known beforehand; a policy still to be trained has answered none."""
    stage = Respond(job.recipe.evaluate.sampling, job.recipe.seed)
    asked = outcome.questions(job.recipe.evaluate.prompts, job.recipe.evaluate.draw)
    requests = [one for prompt in asked for one in stage.requests(prompt)]
    kinds = [prompt.kind for prompt in asked]
    found = {}
    for name, role in policies(job).items():
        fingerprint = job.engine(role).fingerprint if role != "sft" or sft_known else None
        tally = Tally()
        missing = _count(tally, walk.store, walk.asked, fingerprint, requests)
        step = "sample" if role == "sft" else "respond"
        for request, kind, lacks in zip(requests, kinds, missing, strict=True):
            if lacks:
                tally.hold(request, 0)
                tally.prompt_tokens += walk.rates.tokens_read(step, characters(request))
                tally.write(kind, 1.0, walk.rates.tokens_written(step, kind))
        found[name] = tally
    return found


def audit_tally(job: Job, walk: Walk, drafts: Sequence[Json] | None) -> Tally:
    """Exact where the run's last answers are there (`drafts` None); else an estimate from the probe's drafts.

    Where it has none (empty), from stand-ins for them, and anything from no call to all that the kinds of items allow.
    """
    tally = Tally()
    if drafts is None:
        items = audit_items(job)
    else:
        made = [Draft.from_json(row) for row in drafts] or _stand_ins(job)
        settings, naming = job.recipe.audit, comparison_reading(job).names
        special = special_suffix(job)
        items = audit.planted_items(made, job.constitution, settings.items, job.recipe.seed, naming, special)
        items += human_items(job)
    step = "reason" if job.recipe.label.reasoning_samples else "label"
    requests = _asked(job, items, step)
    if drafts is None:
        missing = _count(tally, walk.store, walk.asked, job.engine("judge").fingerprint, requests)
        lacking = [one for one, lacks in zip(requests, missing, strict=True) if lacks]
        _weigh(job, tally, walk.rates, step, lacking, 1.0, None)
    else:
        _guess(job, tally, walk.rates, step, items, requests)
        if not drafts:
            tally.spread = max(tally.most - tally.likely, tally.likely) / 2
    if step == "reason":
        _verdicts(job, tally, walk.rates, requests)
    return tally


def _stand_ins(job: Job) -> list[Draft]:
    """Drafts of the prompts where the probe has none: with them an audit has every kind of item that it can have."""
    said = "word " * 40
    return [
        Draft(one, f"{at} {said}", (Round("", "", f"revised {at} {said}"),))
        for at, one in enumerate(job.prompts.prompts[: 4 * job.recipe.audit.items])
    ]


def _asked(job: Job, items: Sequence[audit.Item], step: str) -> list[Request]:
    stages = by_principle(job, items, step)
    pairs = [(one.principle_id, Judgement(one.prompt, one.better, one.worse, ())) for one in items]
    if step == "reason":
        from cai.judge_records import Deliberation

        return [
            request
            for name, pair in pairs
            for request in stages[name].requests(Deliberation(pair.prompt, pair.response_a, pair.response_b, ()))
        ]
    return [request for name, pair in pairs for request in stages[name].requests(pair)]


def _guess(
    job: Job, tally: Tally, rates: Rates, step: str, items: Sequence[audit.Item], requests: Sequence[Request]
) -> None:
    """From what the probe's answers allow: most kinds of items are there in full, or are as rare in the whole run."""
    settings = job.recipe.audit
    others = settings.pairs if settings.against else 0
    human = sum(one.planted == "human" for one in items)
    most = max(len(items), _KINDS_OF_ITEMS * settings.items + len(job.constitution.tests) + human + others)
    distinct = len(set(keys_of("", requests)))
    each = len(requests) / max(1, len(items))
    tally.likely = float(distinct)
    tally.most = math.ceil(most * each)
    tally.spread = max(0.05 * distinct, (tally.most - distinct) / 2)
    tally.answered = len(requests) - distinct
    _weigh(job, tally, rates, step, requests, distinct / max(1, len(requests)), rates.beyond)


def _verdicts(job: Job, tally: Tally, rates: Rates, requests: Sequence[Request]) -> None:
    """A verdict is scored after each reasoning, where the judge gives log-probabilities."""
    if not job.engine("judge").scores_choices:
        return
    tally.ask, tally.likely, tally.most, tally.spread = (
        2 * tally.ask,
        2 * tally.likely,
        2 * tally.most,
        2 * tally.spread,
    )
    tally.prompt_tokens += sum(rates.tokens_read("label", characters(one)) for one in requests)


def _count(
    tally: Tally, store: CallStore, asked: set[bytes], fingerprint: str | None, requests: Sequence[Request]
) -> list[bool]:
    """Which of the requests are still to be asked."""
    keys = keys_of(fingerprint or UNTRAINED, requests)
    open_keys = set(store.missing(keys)) - asked
    lacks = []
    for key, request in zip(keys, requests, strict=True):
        lacks.append(key in open_keys)
        if lacks[-1] and fingerprint is not None:
            tally.lack(request)
        open_keys.discard(key)
        asked.add(key)
    tally.ask += sum(lacks)
    tally.answered += len(lacks) - sum(lacks)
    return lacks


def _weigh(
    job: Job, tally: Tally, rates: Rates, step: str, requests: Iterable[Request], weight: float, beyond: int | None
) -> None:
    scored = scored_tokens(job.engine("judge").spec)
    for request in requests:
        tally.hold(request, scored, beyond)
        tally.prompt_tokens += weight * rates.tokens_read(step, characters(request))
        if isinstance(request, GenerateRequest):
            tally.write("red_team", weight, rates.tokens_written(step, "red_team"))
        else:
            tally.completion_tokens += weight * scored


def last_drafts(nodes: Sequence[Node]) -> str:
    """The step whose drafts are exported, trained on and audited."""
    return next((one.step for one in reversed(nodes) if one.step.startswith("revise-")), "respond")
