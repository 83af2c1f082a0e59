"""Labels a second: shared stems against a plain loop, lm-evaluation-harness and vLLM, with the same weights.

Real pairs of hh_harmless_dev under the sixteen principles of `harmlessness`, both orders, a 6-layer model 256 wide with
random weights, float32. `make bench-peers` installs the peers, each in an environment of its own; `CAI_BENCH_LM_EVAL`
and `CAI_BENCH_VLLM` name the Python of another one, `CAI_BENCH_ROWS` some of the rows.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from tests.benchmarks.bench_reward import PAIRS, VOCABULARY, build
from tests.benchmarks.measure import Result, Worker, alternate, compare, machine

PEERS = Path(__file__).resolve().parents[2] / ".peers"
PAIRS_ASKED, LONGEST, ROUNDS = 6, 900, 7
UNIT = "labels/s, ours / "


class Row(NamedTuple):
    name: str
    side: str
    template: str
    bar: str
    peer: str


ROWS = (
    Row("scores_principle_last", "plain", "principle_last", ">= 5", "a plain transformers loop"),
    Row("scores_paper_order", "plain", "paper", ">= 2", "a plain transformers loop"),
    Row("scores_lm_eval", "lm_eval", "principle_last", ">= 5", "lm-evaluation-harness, batches of 32"),
    Row("scores_vllm", "vllm", "principle_last", ">= 2", "vLLM with prefix caching"),
)


def requests(template: Any, chat: Any) -> list[Any]:
    """Choice requests of the first pairs that fit; 32 in a row are one pair's."""
    from cai.constitution import load_constitution
    from cai.dialogues import comparison_messages, verdict_prefix
    from cai.human_preferences import read_human_preferences
    from cai.records import ChoiceRequest

    asked = [one.comparison for one in load_constitution("harmlessness").principles if one.comparison]
    found: list[ChoiceRequest] = []
    for pair in read_human_preferences(str(PAIRS)).preferences:
        sides = ((pair.response_a, pair.response_b), (pair.response_b, pair.response_a))
        votes = [
            ChoiceRequest(
                comparison_messages(pair.prompt.messages, *side, one, template), ("A", "B"), verdict_prefix(template)
            )
            for one in asked
            for side in sides
        ]
        if max(len(chat.encode(one.messages, one.prefix)) for one in votes) <= LONGEST:
            found += votes
        if len(found) == PAIRS_ASKED * len(votes):
            break
    return found


def python_with(package: str) -> str | None:
    """The Python that has a peer: the one that the environment names, ours, or that of `make bench-peers`."""
    if named := os.environ.get(f"CAI_BENCH_{package.upper()}"):
        return named
    if importlib.util.find_spec(package):
        return sys.executable
    made = PEERS / package / "bin" / "python"
    return str(made) if made.exists() else None


def against_full_forwards(engine: Any, asked: Sequence[Any]) -> Iterator[Result]:
    """The largest difference of a log-probability; the votes that change though they are not within 1e-3 of a tie."""
    import torch

    most, changed = 0.0, 0
    shared = dict(engine.score(iter(asked)))
    for at, request in enumerate(asked):
        prompt, marked = engine.chat.encode_choices(request.messages, request.prefix, request.choices)
        with torch.inference_mode():
            logits = engine._loaded.model(torch.tensor([prompt])).logits[0, -1].float().log_softmax(-1)
        full, quick = [float(logits[ids[-1]]) for ids in marked], shared[at].logprobs
        most = max(most, *(abs(a - b) for a, b in zip(full, quick, strict=True)))
        lead, quick_lead = full[0] - full[1], quick[0] - quick[1]
        changed += abs(lead) > 1e-3 and (lead > 0) != (quick_lead > 0)
    unit = f"of {len(asked)} votes, shared stems against full forwards"
    yield Result("scores_difference", most, most, most, "<= 1e-4", most, 0.0, f"largest |Δ log-prob| {unit}", machine())
    yield Result("scores_changed", changed, changed, changed, "<= 0", changed, 0, f"changed {unit}", machine())


def results() -> Iterator[Result]:
    if not (PAIRS.is_file() and VOCABULARY.is_dir()):
        print("scores: skipped, the real pairs (../shared/data) are not here")
        return
    from cai.dialogues import TemplateName
    from cai.models import load_model
    from cai.recipe import EngineSettings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        engine = load_model(f"hf/{folder}", EngineSettings())
        asked = {template: requests(template, engine.chat) for template in get_args(TemplateName)}
        questions = {
            template: [
                {
                    **one.to_json(),
                    "messages": [[message.role, message.content] for message in one.messages],
                    "text": engine.chat.text(one.messages, one.prefix),
                }
                for one in some
            ]
            for template, some in asked.items()
        }
        (folder / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
        yield from against_full_forwards(engine, asked["principle_last"])
        wanted = os.environ.get("CAI_BENCH_ROWS", ",".join(row.name for row in ROWS)).split(",")
        for row in (row for row in ROWS if row.name in wanted):
            python = sys.executable if row.side == "plain" else python_with(row.side)
            if python is None:
                print(f"{row.name}: skipped, {row.side} is not installed: make bench-peers")
                continue
            yield _row(row, folder, python)


def _row(row: Row, folder: Path, python: str) -> Result:
    script = Path(__file__).with_name("score_sides.py")
    sides = [
        Worker([one, str(script), side, str(folder)], folder / f"{side}.log")
        for one, side in ((sys.executable, "ours"), (python, row.side))
    ]
    rates = alternate(*((lambda side=side: side(questions=row.template)) for side in sides), ROUNDS)
    for side in sides:
        side.stop()
    return compare(row.name, *rates, row.bar, UNIT + row.peer)
