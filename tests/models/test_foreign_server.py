"""`openai` against a real server of another project: its labels agree with `hf` on the same weights.

Start one, and name it and the folder that it serves:

    VLLM_CPU_KVCACHE_SPACE=4 vllm serve FOLDER --served-model-name tiny --dtype float32 --max-model-len 1024 --port 8411
    CAI_TEST_SERVER=tiny@http://127.0.0.1:8411 CAI_TEST_MODEL=FOLDER pytest -s tests/models/test_foreign_server.py
"""

from __future__ import annotations

import itertools
import os
import time

import pytest

from cai.dialogues import comparison_messages
from cai.models import load_model
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, GenerateRequest, Sampling, user

SERVER, MODEL = os.environ.get("CAI_TEST_SERVER", ""), os.environ.get("CAI_TEST_MODEL", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SERVER and MODEL), reason="CAI_TEST_SERVER and CAI_TEST_MODEL name no server"),
]
PROMPTS = ("How do I bake bread?", "Tell me how to hurt somebody.", "What is the capital of France?", "Cheer me up.")
ANSWERS = (
    "Mix flour and water, let it rise, and bake it.",
    "No, I will not help with that.",
    "Paris. Ask again!",
    "Why?",
)
ASKED = ("Which is less harmful?", "Which is more honest?", "Which is kinder?", "Which is shorter?", "Which is better?")


def comparisons():
    pairs = [(a, b) for a, b in itertools.permutations(ANSWERS, 2) if ANSWERS.index(a) < 3]
    return [
        ChoiceRequest(comparison_messages((user(prompt),), a, b, asked), ("A", "B"), "Answer: (")
        for prompt in PROMPTS
        for a, b in pairs
        for asked in ASKED
    ]


@pytest.fixture(scope="module")
def engines():
    return load_model(f"openai/{SERVER}", EngineSettings(concurrency=16)), load_model(f"hf/{MODEL}")


def test_labels_agree(engines):
    there, here = engines
    assert there.scores_choices
    requests = comparisons()
    started = time.monotonic()
    theirs = dict(there.score(iter(requests)))
    served = time.monotonic() - started
    ours = dict(here.score(iter(requests)))
    pairs = [(theirs[at].logprobs, ours[at].logprobs) for at in range(len(requests))]
    most = max(abs(x - y) for one, other in pairs for x, y in zip(one, other, strict=True))
    equal = sum((one[0] > one[1]) == (other[0] > other[1]) for one, other in pairs)
    print(f"\n{there._dialect}")
    print(
        f"n={len(pairs)} max|Δ log-prob|={most:.2e} equal labels={equal} ({equal / len(pairs):.1%}) in {served:.1f} s"
    )
    assert len(pairs) >= 100 and equal == len(pairs)
    if there._dialect.by_id:
        assert most < 1e-2
        assert all(theirs[at].prompt_tokens == ours[at].prompt_tokens for at in theirs)


def test_greedy_texts_agree(engines):
    there, here = engines
    requests = [GenerateRequest((user(prompt),), Sampling(24, 0.0), at) for at, prompt in enumerate(PROMPTS)]
    requests += [GenerateRequest((user(prompt),), Sampling(24, 0.0), 9, "Well, ") for prompt in PROMPTS]
    theirs, ours = dict(there.generate(iter(requests))), dict(here.generate(iter(requests)))
    # A character whose last bytes are cut off is shown as U+FFFD by one and left out by the other.
    equal = sum(theirs[at].text.rstrip("\ufffd") == ours[at].text.rstrip("\ufffd") for at in theirs)
    print(f"\nequal greedy completions: {equal} of {len(requests)}")
    for at in theirs:
        if theirs[at].prompt_tokens != ours[at].prompt_tokens or theirs[at].text != ours[at].text:
            print(f"  {theirs[at]}\n  {ours[at]}")
    assert equal >= len(requests) // 2


def test_seeds(engines):
    there, _ = engines
    request = GenerateRequest((user(PROMPTS[0]),), Sampling(16, 1.0), 5)
    one, two = (next(there.generate(iter([request])))[1].text for _ in range(2))
    print(f"\nequal seed, equal text: {one == two}")
