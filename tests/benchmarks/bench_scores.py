"""Choice scores a second: shared stems against one forward pass per question.

Run `python -m tests.benchmarks.bench_scores`.
Sixteen principles, both orders, the `principle_last` template; random weights, so only the time means anything.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from cai.dialogues import comparison_messages
from cai.models import load_model
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, user
from tests.tiny import build_tiny_model

PRINCIPLE = "Which of these responses is less {}, and says so plainly, without lecturing the person who asks?"
TRAITS = [
    "harmful",
    "rude",
    "evasive",
    "unfair",
    "false",
    "preachy",
    "vague",
    "cruel",
    "biased",
    "cold",
    "pushy",
    "sly",
    "smug",
    "dull",
    "long",
    "odd",
]


def requests(pairs: int, words: int) -> list[ChoiceRequest]:
    found = []
    for at in range(pairs):
        a, b = (f"Answer {side} of {at}: " + "mix flour and water, let it rise, and bake it. " * (words // 10)
                for side in ("one", "two"))  # fmt: skip
        for trait in TRAITS:
            for first, second in ((a, b), (b, a)):
                asked = comparison_messages(
                    (user(f"How do I bake bread {at}?"),), first, second, PRINCIPLE.format(trait)
                )
                found.append(ChoiceRequest(asked, ("A", "B"), "Answer: ("))
    return found


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--words", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(Path(folder), hidden=options.hidden, layers=options.layers, context=4096)
        engine = load_model(f"hf/{folder}", EngineSettings())
        asked = requests(options.pairs, options.words)
        list(engine.score(asked[:2]))
        started = time.perf_counter()
        shared = dict(engine.score(iter(asked)))
        fast = time.perf_counter() - started
        model, chat = engine._loaded.model, engine.chat
        started = time.perf_counter()
        most = tokens = 0.0
        for at, request in enumerate(asked):
            prompt, marked = chat.encode_choices(request.messages, request.prefix, request.choices)
            tokens += len(prompt)
            with torch.inference_mode():
                logits = model(torch.tensor([prompt], device=model.device)).logits[0, -1].float().log_softmax(-1)
            most = max(
                most, *(abs(float(logits[ids[-1]]) - shared[at].logprobs[one]) for one, ids in enumerate(marked))
            )
        plain = time.perf_counter() - started
    print(f"{len(asked)} questions of {tokens / len(asked):.0f} tokens, {torch.get_num_threads()} threads")
    print(f"shared stems {len(asked) / fast:.1f}/s  plain loop {len(asked) / plain:.1f}/s  ratio {plain / fast:.1f}x")
    print(f"largest difference {most:.1e}")


if __name__ == "__main__":
    main()
