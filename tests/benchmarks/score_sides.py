"""One side of the scores benchmark in a process of its own: `python score_sides.py SIDE FOLDER`.

`FOLDER` holds a model and `questions.json`: rows of {"text", "choices"}, or for our own side of requests. Every line of
standard input asks for one round over the questions of that name on so many pairs, answered with labels a second: two
orders of sixteen principles make one label.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VOTES = 32  # a label's: 16 principles in two orders
Row = dict[str, Any]
Work = Callable[[list[Row]], object]


def ours(folder: Path) -> Work:
    from cai.models import load_model
    from cai.recipe import EngineSettings
    from cai.records import ChoiceRequest, Message

    engine = load_model(f"hf/{folder}", EngineSettings())

    def work(rows: list[Row]) -> object:
        return list(
            engine.score(
                ChoiceRequest(tuple(Message(*one) for one in row["messages"]), tuple(row["choices"]), row["prefix"])
                for row in rows
            )
        )

    return work


def plain(folder: Path) -> Work:
    """What one writes first: a question at a time, one new token, its logits read."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def work(rows: list[Row]) -> object:
        found = []
        for row in rows:
            ids = tokenizer(row["text"], return_tensors="pt").to(device)
            labels = [tokenizer.encode(one)[-1] for one in row["choices"]]
            with torch.inference_mode():
                said = model.generate(
                    **ids, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
                )
            found.append(said.logits[0][0].log_softmax(-1)[labels].tolist())
        return found

    return work


def lm_eval(folder: Path) -> Work:
    """lm-evaluation-harness as its multiple-choice tasks ask: every choice is a continuation to be scored."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = HFLM(pretrained=str(folder), batch_size=32, device=device, dtype="auto", max_length=1024)

    def work(rows: list[Row]) -> object:
        asked = [(row["text"], one) for row in rows for one in row["choices"]]
        return model.loglikelihood(
            [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(asked)], disable_tqdm=True
        )

    return work


def vllm(folder: Path) -> Work:
    """vLLM in this one process with prefix caching, in the weights' own type.

    A round begins with an empty cache, as ours does.
    """
    return _vllm(folder, json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"])


def vllm_auto(folder: Path) -> Work:
    """The same left to choose: it reads float32 weights in bfloat16."""
    return _vllm(folder, "auto")


def _vllm(folder: Path, dtype: str) -> Work:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM, SamplingParams

    model = LLM(
        str(folder), enable_prefix_caching=True, dtype=dtype, max_model_len=1024, logprobs_mode="raw_logprobs",
        gpu_memory_utilization=0.3,  # of this machine's memory; the cache of all the questions is a fraction of it
    )  # fmt: skip
    sampling = SamplingParams(max_tokens=1, temperature=0.0, logprobs=20)

    def work(rows: list[Row]) -> object:
        model.reset_prefix_cache()
        return model.generate([row["text"] for row in rows], sampling, use_tqdm=False)

    return work


SIDES: dict[str, Callable[[Path], Work]] = {
    "ours": ours, "plain": plain, "lm_eval": lm_eval, "vllm": vllm, "vllm_auto": vllm_auto,
}  # fmt: skip


def main() -> None:
    side, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries and their processes print is no answer
    work = SIDES[side](folder)
    questions: dict[str, list[Row]] = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    for line in sys.stdin:
        asked = json.loads(line)
        rows = questions[asked["questions"]][: VOTES * asked["pairs"]]
        started = time.perf_counter()
        work(rows)
        print(json.dumps(len(rows) / VOTES / (time.perf_counter() - started)), file=answers, flush=True)


if __name__ == "__main__":
    main()
