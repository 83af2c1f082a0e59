"""Labels a second: shared stems against a plain loop, lm-evaluation-harness and vLLM, with the same weights.

Real pairs of hh_harmless_dev under the sixteen principles of `harmlessness`, both orders, a 6-layer model 256 wide with
random weights, in float32 where a row does not say another type; whether votes change is asked of the embedded judge,
whose votes turn with the principle.
`make bench-peers` installs the peers, each in an environment of its own; `CAI_BENCH_LM_EVAL` and `CAI_BENCH_VLLM` name
the Python of another one, `CAI_BENCH_ROWS` some of the rows.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, get_args

from tests.benchmarks.bench_reward import PAIRS, ROUNDS, SHAPE, VOCABULARY, build, device, named
from tests.benchmarks.measure import (
    Failed,
    Result,
    SideFailed,
    Skipped,
    Worker,
    alternate,
    asked_for,
    compare,
    failing,
    machine,
)

PEERS = Path(__file__).resolve().parents[2] / ".peers"
LONGEST = 900
CONTESTED, PRINCIPLES = 16, 16
UNIT = "labels/s, ours / "


class Row(NamedTuple):
    """`side` is a peer's, which answers with weights of `dtype` about so many `pairs` a round."""

    name: str
    side: str
    template: str
    bar: str
    peer: str
    pairs: int = 6
    dtype: str = "float32"


VLLM = "vLLM with prefix caching"
ROWS = (
    Row("scores_principle_last", "plain", "principle_last", ">= 5", "a plain transformers loop"),
    Row("scores_paper_order", "plain", "paper", ">= 2", "a plain transformers loop"),
    Row("scores_lm_eval", "lm_eval", "principle_last", ">= 5", "lm-evaluation-harness, batches of 32"),
    Row("scores_vllm", "vllm", "principle_last", ">= 2", f"{VLLM}, float32", 24),
    Row("scores_vllm_bfloat16", "vllm", "principle_last", ">= 2", f"{VLLM}, bfloat16", 24, "bfloat16"),
    Row("scores_vllm_auto", "vllm_auto", "principle_last", "reported", f"{VLLM}, float32 read in bfloat16", 24),
)
"""Of rounds with six pairs both sides of the last three would spend much of half a second waking up. Left to itself
vLLM reads float32 weights in bfloat16, which is half the work and other weights; the last row is that."""
EXACT = "scores_difference"
ONLY_SMALL = ("scores_vllm_bfloat16", "scores_vllm_auto")
"""A larger shape is in bfloat16 throughout."""


def votes_on(prompt: Any, a: str, b: str, template: Any) -> list[Any]:
    """A choice request under each principle, in both orders."""
    from cai.constitution import load_constitution
    from cai.dialogues import comparison_messages, verdict_prefix
    from cai.records import ChoiceRequest

    return [
        ChoiceRequest(comparison_messages(prompt.messages, *side, one, template), ("A", "B"), verdict_prefix(template))
        for one in (principle.comparison for principle in load_constitution("harmlessness").principles)
        if one
        for side in ((a, b), (b, a))
    ]


def contested_votes() -> list[Any]:
    """Choice requests on held-out pairs of the embedded world, of each of which principles prefer different sides."""
    from tests.benchmarks.noisy_judge import draw_pairs

    pairs = [one for one in draw_pairs(20 * CONTESTED, "test", Random(0)) if 0 < one.share < 1][:CONTESTED]
    return [vote for one in pairs for vote in votes_on(one.prompt, one.a, one.b, "principle_last")]


def requests(template: Any, chat: Any) -> list[Any]:
    """Choice requests of the first pairs that fit; 32 in a row are one pair's."""
    from cai.human_preferences import read_human_preferences

    found: list[Any] = []
    for pair in read_human_preferences(str(PAIRS)).preferences:
        votes = votes_on(pair.prompt, pair.response_a, pair.response_b, template)
        if max(len(chat.encode(one.messages, one.prefix)) for one in votes) <= LONGEST:
            found += votes
        if len(found) == pairs_of_a_round(max(row.pairs for row in ROWS)) * len(votes):
            break
    return found


def pairs_of_a_round(pairs: int) -> int:
    """A GPU is given four times as many as a CPU."""
    return pairs * 4 if device() == "cuda" else pairs


def python_with(package: str) -> str | None:
    """The Python that has a peer: the one that the environment names, ours, or that of `make bench-peers`."""
    if named := os.environ.get(f"CAI_BENCH_{package.upper()}"):
        return named
    if importlib.util.find_spec(package):
        return sys.executable
    made = PEERS / package / "bin" / "python"
    return str(made) if made.exists() else None


BothWays = Sequence[tuple[Sequence[float], Sequence[float]]]


def against_full_forwards(name: str, both: BothWays, of: str) -> Result:
    """The largest difference of a log-probability."""
    most = max(abs(a - b) for full, shared in both for a, b in zip(full, shared, strict=True))
    unit = f"largest |Δ log-prob| of {len(both)} votes of {of}, shared stems against full forwards"
    return Result(name, most, most, most, "<= 1e-4", most, 0.0, unit, machine())


def labels_that_change(both: BothWays) -> Result:
    """The votes of a judge that reads the principle that change, though they are not within 1e-3 of a tie."""
    leads = [(full[0] - full[1], shared[0] - shared[1]) for full, shared in both]
    changed = sum(abs(lead) > 1e-3 and (lead > 0) != (quick > 0) for lead, quick in leads)
    rows = [leads[at : at + 2 * PRINCIPLES] for at in range(0, len(leads), 2 * PRINCIPLES)]
    turned = sum(0 < sum(lead > 0 for lead, _ in some[::2]) < PRINCIPLES for some in rows)
    unit = (
        f"changed of {len(both)} votes of the embedded judge, who turns with the principle on {turned} of {len(rows)} "
        "pairs; shared stems against full forwards"
    )
    return Result("scores_changed", changed, changed, changed, "<= 0", changed, 0, unit, machine())


def both_ways(engine: Any, asked: Sequence[Any]) -> Iterator[tuple[list[float], tuple[float, ...]]]:
    """The log-probabilities of each request from a forward of its own, and with shared stems."""
    import torch
    from transformers import AutoModelForCausalLM

    shared = dict(engine.score(iter(asked)))
    plain = AutoModelForCausalLM.from_pretrained(engine._folder, dtype=torch.float32).to(engine._loaded.device).eval()
    for at, request in enumerate(asked):
        prompt, marked = engine.chat.encode_choices(request.messages, request.prefix, request.choices)
        with torch.inference_mode():
            logits = plain(torch.tensor([prompt], device=plain.device)).logits[0, -1].log_softmax(-1)
        yield [float(logits[ids[-1]]) for ids in marked], shared[at].logprobs


def results() -> Iterator[Result | Skipped | Failed]:
    from cai.embedded import weights_path
    from cai.models import load_model
    from cai.recipe import EngineSettings

    wanted = asked_for((EXACT, *(row.name for row in ROWS)))
    if EXACT in wanted:
        judge = load_model(f"hf/{weights_path()}", EngineSettings(device=device(), dtype="float32"))
        both = list(both_ways(judge, contested_votes()))
        yield labels_that_change(both)
        yield against_full_forwards("scores_difference_judge", both, "the embedded judge")
    if not (PAIRS.is_file() and VOCABULARY.is_dir()):
        yield Skipped("scores", "the real pairs (../shared/data) are not here")
        return
    with tempfile.TemporaryDirectory() as name:
        folders = {dtype: Path(name) / dtype for dtype in ("float32", "bfloat16")}
        rows = [row for row in ROWS if row.name in wanted and (SHAPE == "small" or row.name not in ONLY_SMALL)]
        types = {row.dtype if SHAPE == "small" else "bfloat16" for row in rows}
        if EXACT in wanted and SHAPE == "small":
            asked = _asked(folders["float32"], "float32")
            engine = load_model(f"hf/{folders['float32']}", EngineSettings())
            yield against_full_forwards(EXACT, list(both_ways(engine, asked)), "random weights")
            types.discard("float32")
        for dtype in types:
            _asked(folders[dtype], dtype)
        for row in rows:
            python = sys.executable if row.side == "plain" else python_with(row.side.removesuffix("_auto"))
            if python is None:
                yield Skipped(named(row.name), f"{row.side} is not installed: make bench-peers")
                continue
            try:
                folder = folders[row.dtype if SHAPE == "small" else "bfloat16"]
                yield _row(row, folder, [*_with_threads(python), python])
            except SideFailed as error:
                yield failing(named(row.name), error)


def _with_threads(python: str) -> list[str]:
    """What a Python of an environment that brings Intel's OpenMP is started by: vLLM asks that it be preloaded."""
    library = Path(python).parents[1] / "lib" / "libiomp5.so"
    return ["env", f"LD_PRELOAD={library}"] if library.exists() else []


def _asked(folder: Path, dtype: str) -> list[Any]:
    """Write a model and its questions to `folder`; the first of those whose principle is last, six pairs'."""
    from cai.dialogues import TemplateName
    from cai.models import load_model
    from cai.recipe import EngineSettings

    folder.mkdir()
    build(folder, dtype)
    chat = load_model(f"hf/{folder}", EngineSettings()).chat
    asked = {template: requests(template, chat) for template in get_args(TemplateName)}
    questions = {
        template: [
            {
                **one.to_json(),
                "messages": [[message.role, message.content] for message in one.messages],
                "text": chat.text(one.messages, one.prefix),
            }
            for one in some
        ]
        for template, some in asked.items()
    }
    (folder / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
    return asked["principle_last"][: 12 * PRINCIPLES]


def _row(row: Row, folder: Path, python: list[str]) -> Result:
    script = Path(__file__).with_name("score_sides.py")
    sides = [
        Worker([*one, str(script), side, str(folder)], folder / f"{side}.log")
        for one, side in (([sys.executable], "ours"), (python, row.side))
    ]
    asked = {"questions": row.template, "pairs": pairs_of_a_round(row.pairs)}
    try:
        rates = alternate(*((lambda side=side: side(**asked)) for side in sides), ROUNDS)
    finally:
        for side in sides:
            side.stop()
    return compare(named(row.name), *rates, row.bar, UNIT + row.peer)
