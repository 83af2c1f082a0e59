from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.chat import Chat
from cai.errors import EngineError
from cai.human_preferences.benchmarks import BenchmarkRow
from cai.models.reward import RewardScorer, score_responses
from cai.pipeline.measure_reward import measured_benchmark, measured_pairs
from cai.records import Message, Messages, Preference, Prompt, assistant, user
from cai.training.checks import score_ids
from cai.training.rows import encode_groups
from tests.tiny import build_tiny_model

WORDS = [
    "bread",
    "flour",
    "water",
    "harmful",
    "kind",
    "honest",
    "Paris",
    "capital",
    "<|eos|>",
    "<|pad|>",
    "<|user|>",
    "{x}",
    "你好",
]


def items(n: int) -> list[tuple[Messages, str]]:
    draws = random.Random(0)
    return [
        ((user(" ".join(draws.choices(WORDS, k=draws.randint(1, 20)))),), " ".join(draws.choices(WORDS, k=5)))
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A reward model with a random head."""
    folder = build_tiny_model(tmp_path_factory.mktemp("base"))
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    network.save_pretrained(folder)
    return folder


def test_a_score_does_not_depend_on_the_others_or_on_the_batch(model):
    rows = items(40)
    scorer = RewardScorer(model, "cpu", batch_tokens=1)
    alone = scorer.score(rows)
    together = score_responses(model, rows, device="cpu", batch_tokens=100_000)
    backwards = score_responses(model, rows[::-1], device="cpu", batch_tokens=300)[::-1]
    assert together == pytest.approx(alone, abs=1e-5)
    assert backwards == pytest.approx(alone, abs=1e-5)
    assert len({round(score, 4) for score in alone}) == 40


def test_a_score_is_read_at_the_final_eos_even_if_the_text_names_pads_and_ends(model):
    messages, response = (user("a <|pad|> b"),), "c <|pad|><|pad|>"
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = Chat(tokenizer).encode_dialogue((*messages, assistant(response)))
    assert ids.count(tokenizer.pad_token_id) == 0 and ids[-1] == tokenizer.eos_token_id
    network = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        hidden = network.model(torch.tensor([ids])).last_hidden_state[0, -1]
        expected = network.score(hidden).item()
    assert score_responses(model, [(messages, response)], device="cpu") == pytest.approx([expected], abs=1e-5)


def test_a_long_prompt_loses_its_left_and_a_long_answer_has_no_score(model):
    long = (user("flour water " * 400),)
    cut, never = score_responses(model, [(long, "Paris"), ((user("q"),), "flour water " * 400)], device="cpu")
    assert math.isfinite(cut) and math.isnan(never)
    assert score_responses(model, [(long, "Paris")], device="cpu", max_length=64) != [cut]


def test_a_cut_prompt_is_scored_as_it_is_trained_on(model):
    rows = [Preference(Prompt.make((user("flour water " * 90 + f"{n}?"),)), "A", "B", 1.0) for n in range(3)]
    scorer = RewardScorer(model, "cpu", max_length=64)
    groups, counts = encode_groups(scorer.chat, rows, 64, "truncate_left")
    expected = [score_ids(scorer.model, group.rows, 8, scorer.tokenizer.pad_token_id) for group in groups]
    assert counts.truncated == 3 and {len(row) for group in groups for row in group.rows} == {64}
    found = scorer.score([(one.prompt.messages, text) for one in rows for text in (one.response_a, one.response_b)])
    assert found == pytest.approx([score for two in expected for score in two], abs=1e-5)
    assert scorer.notes.truncated == set(range(6)) and len({round(score, 4) for score in found}) == 6


PLACES = (user("".join(f"{n} flour " for n in range(40)) + "What is it?"),)


def test_answers_that_are_compared_lose_the_same_tokens_as_in_training(model):
    texts = ("A", "Paris is the capital. " * 3, "No.")
    pairs = [(texts[0], texts[1]), (texts[2], texts[0])]
    scorer = RewardScorer(model, "cpu", max_length=64)
    rows = [Preference(Prompt.make(PLACES), *pair, 1.0) for pair in pairs]
    [group], counts = encode_groups(scorer.chat, rows, 64, "truncate_left")
    assert sorted(map(len, group.rows))[0] < 64 == max(map(len, group.rows)) and counts.truncated == 2
    trained = dict(zip(texts, score_ids(scorer.model, group.rows, 8, scorer.tokenizer.pad_token_id), strict=True))
    found = scorer.score_together([(PLACES, pair) for pair in pairs])
    assert found == [pytest.approx([trained[text] for text in pair], abs=1e-5) for pair in pairs]
    assert scorer.notes.truncated == {0, 1} and not scorer.notes.too_long
    alone = dict(zip(texts, scorer.score([(PLACES, text) for text in texts]), strict=True))
    assert alone[texts[1]] == pytest.approx(trained[texts[1]], abs=1e-5)
    assert all(abs(alone[text] - trained[text]) > 1e-3 for text in (texts[0], texts[2])), "by itself it keeps more"


def test_figures_count_the_pairs_that_training_would_cut_or_leave_out(model):
    long, longer = "Paris is the capital. " * 2, "Paris is the capital. " * 6
    rows = [Preference(Prompt.make(PLACES), *pair, 1.0) for pair in (("A", "B"), ("A", long), (longer, "B"))]
    rows += [Preference(Prompt.make((user("q"),)), "A", "B", 1.0)]
    scorer, seen = RewardScorer(model, "cpu"), set()
    for scorer.max_length in range(10, 400, 7):
        _, counts = encode_groups(scorer.chat, rows, scorer.max_length, "truncate_left")
        figures = measured_pairs(scorer, rows)
        told = (figures["pairs"], figures["truncated"], figures["too_long"])
        assert told == (counts.used, counts.truncated, counts.too_long), scorer.max_length
        seen.add(told[1:])
    assert {(3, 0), (2, 1), (1, 2), (0, 0)} <= seen


def test_rows_of_a_benchmark_that_ask_the_same_are_cut_alike(model):
    fits = len(Chat(AutoTokenizer.from_pretrained(model)).encode_dialogue((*PLACES, assistant("A"))))
    scorer = RewardScorer(model, "cpu", max_length=fits)
    rows = [BenchmarkRow(PLACES, ("A",), wrong, "s", str(wrong)) for wrong in (("A",), ("Paris. " * 3, "B"))]
    figures = measured_benchmark(scorer, rows[:1])
    assert (figures["rows"], figures["truncated"]) == (1, 0)
    figures = measured_benchmark(scorer, rows)
    assert (figures["rows"], figures["not_scored"], figures["truncated"]) == (2, 0, 2)


def test_texts_that_fit_have_the_same_scores_to_the_bit_together_and_apart(model):
    rows = items(40)
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    sets = [(messages, (one, other)) for (messages, one), (_, other) in pairs]
    scorer = RewardScorer(model, "cpu", batch_tokens=300)
    apart = scorer.score([(messages, text) for messages, texts in sets for text in texts])
    assert [score for some in scorer.score_together(sets) for score in some] == apart


def test_what_is_too_long_to_train_on_is_not_scored_either(model):
    messages = (user("What is it? " * 20), assistant("Flour. " * 20), user("Why?"))
    scorer = RewardScorer(model, "cpu")
    pair = Preference(Prompt.make(messages), "A", "B", 1.0)
    trained, scored = set(), set()
    for scorer.max_length in range(1, 30):
        if encode_groups(scorer.chat, [pair], scorer.max_length, "truncate_left")[0]:
            trained.add(scorer.max_length)
        if math.isfinite(scorer.score([(messages, "A")])[0]):
            scored.add(scorer.max_length)
    assert trained == scored == set(range(5, 30))  # BOS, a token of the question, the role, the answer, EOS


def test_a_row_that_cannot_be_rendered_has_no_score(model):
    tool = (Message("tool", "x"), user("q"))  # type: ignore[arg-type]
    scores = score_responses(model, [(tool, "a"), ((user("q"),), "a")], device="cpu")
    assert math.isnan(scores[0]) and math.isfinite(scores[1])


def test_nothing_to_score(model):
    assert score_responses(model, [], device="cpu") == []


def test_progress_counts_rows(model):
    seen = []
    score_responses(model, items(9), device="cpu", batch_tokens=60, progress=lambda *at: seen.append(at))
    assert seen[-1] == (9, 9) and len(seen) > 1


def test_what_is_not_a_reward_model_is_refused(model, tmp_path):
    with pytest.raises(EngineError, match=r"no config\.json"):
        score_responses(tmp_path, [])
    with pytest.raises(EngineError, match=r"no weights for score\.weight"):
        score_responses(build_tiny_model(tmp_path / "causal"), [])
    folder = tmp_path / "nopad"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 2}))
    with pytest.raises(EngineError, match="pad token"):
        score_responses(folder, [])
