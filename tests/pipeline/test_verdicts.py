"""Names for the answers are checked against the judge's tokenizer, and the run says what was chosen."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cai.chat import Chat
from cai.dialogues import NAMINGS, YES_NOS, reasoned_verdict_prefix, verdict_prefix
from cai.models.questions import questions_of, separate_tokens
from cai.pipeline.run_recipe import run_recipe
from cai.pipeline.verdicts import chosen
from cai.recipe_files import load_recipe
from cai.records import ChoiceRequest, ChoiceScores, Judgement, user
from cai.storage.run import Run, read_rows
from tests.pipeline.judges import build_judge, merging_tokenizer
from tests.pipeline.runs import fake_run, write_prompts
from tests.tiny import build_tiny_tokenizer

DATA = Path(__file__).resolve().parents[2] / "../shared/data/tokenizers"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the shared tokenizers are not here")
BRACKETED = [("(", label) for label in "AB"]
SPACED = [("Ġ", label) for label in "AB"]
MERGES = {
    "(A) and (B)": [],
    "(1) and (2)": BRACKETED,
    "A and B": [*BRACKETED, ("(", "1"), ("(", "2"), *SPACED],
    "1 and 2": [*BRACKETED, ("(", "1"), ("(", "2"), ("Ġ", "1"), ("Ġ", "2")],
}


@cache
def tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    match name:
        case "tiny":
            return build_tiny_tokenizer()
        case "phi3":
            return AutoTokenizer.from_pretrained(DATA / "phi3")
        case "gpt2":
            return GPT2Tokenizer(vocab=str(DATA / "gpt2/encoder.json"), merges=str(DATA / "gpt2/vocab.bpe"))
        case "dolma2":
            return PreTrainedTokenizerFast(tokenizer_file=str(DATA / "allenai_dolma2.json"), eos_token="<|endoftext|>")
    return SentencePieceBackend(
        vocab_file=str(DATA / "llama2/tokenizer.model"), bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        vocab_files_names={"vocab_file": "tokenizer.model"},
    )  # fmt: skip


@needs_data
@pytest.mark.parametrize("name", ["tiny", "phi3", "gpt2", "dolma2", "llama2"])
@pytest.mark.parametrize("template", ["principle_last", "paper"])
def test_public_tokenizers_write_a_and_b_with_one_token_each_after_the_exact_text(name: str, template: Any) -> None:
    chat = Chat(tokenizer(name))
    for before in (verdict_prefix(template), reasoned_verdict_prefix("Response (A) is kind.", template)):
        prompt, options = chat.encode_choices((user("Which is better?"),), before, ("A", "B"))
        assert separate_tokens(prompt, options)
        assert prompt == chat.encode((user("Which is better?"),), before)
        assert options == [chat.encode((user("Which is better?"),), before + label) for label in "AB"]


@needs_data
@pytest.mark.parametrize("name", ["phi3", "gpt2", "dolma2", "llama2"])
def test_public_tokenizers_write_yes_and_no_with_one_token_each(name: str) -> None:
    chat = Chat(tokenizer(name))
    ways = [separate_tokens(*chat.encode_choices((user("Kind?"),), one.prefix, one.choices)) for one in YES_NOS]
    assert any(ways)


def test_a_label_that_is_unknown_to_the_tokenizer_is_no_token_of_its_own() -> None:
    assert separate_tokens([1, 2], [[1, 2, 3], [1, 2, 4]])
    assert not separate_tokens([1, 2], [[1, 2, 3], [1, 2, 3]])
    assert not separate_tokens([1, 2], [[1, 2, 3], [1, 2, 3, 4]])
    assert not separate_tokens([1, 2], [[1, 5], [1, 2, 4]])


class Judge:
    """Says what a tokenizer would: `tokens` are the choices that are one token; None knows no tokenizer."""

    scores_choices, scores_strings = True, True

    def __init__(self, tokens: set[str] | None, **more: bool) -> None:
        self.tokens = tokens
        self.__dict__ |= more

    def one_token(self, prefix: str, choices: tuple[str, ...]) -> bool | None:
        return None if self.tokens is None else set(choices) <= self.tokens


@pytest.mark.parametrize(
    ("judge", "found"),
    [
        (Judge({"A", "B"}), (0, "one token")),
        (Judge({"1", "2", " A", " B"}), (1, "one token")),
        (Judge({" A", " B", "A"}), (2, "one token")),
        (Judge(set()), (0, "whole strings")),
        (Judge(set(), scores_strings=False), (0, "samples")),
        (Judge({"A", "B"}, scores_choices=False), (0, "samples")),
        (Judge(None), (0, "unchecked")),
    ],
)
def test_the_first_names_that_can_be_read_are_taken(judge: Any, found: tuple[int, str]) -> None:
    assert chosen(judge, [[("Answer:", naming.choices)] for naming in NAMINGS]) == found


def test_names_must_be_readable_at_every_place() -> None:
    class Picky(Judge):
        def one_token(self, prefix: str, choices: tuple[str, ...]) -> bool:
            return choices != ("A", "B") or prefix == "here"

    places = [[("here", naming.choices), ("there", naming.choices)] for naming in NAMINGS]
    assert chosen(Picky(set()), places) == (1, "one token")  # type: ignore[arg-type]


def judged(
    folder: Path, merges: list[tuple[str, str]], until: str = "preferences", **settings: Any
) -> tuple[Run, list[Judgement]]:
    """Three prompts, answered by the fake engine and labelled by a real judge with that tokenizer."""
    judge = build_judge(folder / "judge", merges)
    prompts = write_prompts(folder, red_team=3, helpful=0)
    more = {"judge": f"hf/{judge}", "label__examples": False, "preferences__mass_floor": 0.0}
    fake_run(folder / "run", prompts, until=until, **more, **settings)
    return Run.existing(folder / "run"), [Judgement.from_json(row) for row in read_rows(folder / "run/label.jsonl")]


@pytest.mark.parametrize("names", MERGES)
def test_a_run_takes_the_names_that_its_judge_can_read_and_says_so(tmp_path: Path, names: str) -> None:
    run, rows = judged(tmp_path, MERGES[names], label__template="paper")
    settings = run.steps["label"]["settings"]
    assert settings["names"] == names
    assert settings["verdicts"] == f"log-probabilities of {names}, one token each"
    assert list(run.manifest["verdicts"].values()) == [{"names": names, "how": "one token"}]
    assert all(math.isfinite(vote.logit) and vote.mass > 0 for row in rows for vote in row.votes)


def test_where_no_names_are_one_token_whole_strings_are_scored(tmp_path: Path) -> None:
    run, rows = judged(tmp_path, MERGES["1 and 2"][:-2])
    settings = run.steps["label"]["settings"]
    assert settings["verdicts"].startswith("log-probabilities of (A) and (B), as whole strings")
    assert all(0 < vote.mass < 1 for row in rows for vote in row.votes)


def test_whole_strings_are_scored_from_the_first_token_that_differs() -> None:
    chat = Chat(merging_tokenizer(BRACKETED))
    prompt, options = chat.encode_choices((user("Which?"),), "Answer: (", ("A", "B"))
    assert not separate_tokens(prompt, options)
    questions = questions_of(0, prompt, options)
    assert len(questions) == 2 and all(list(one.ids) == prompt[:-1] for one in questions)
    assert [chat.decode([one.picks[0][1]]) for one in questions] == ["(A", "(B"]


def test_the_reasoned_place_is_checked_too(tmp_path: Path) -> None:
    run, rows = judged(tmp_path, BRACKETED, "label", label__reasoning_samples=1, label__reasoning_tokens=8)
    settings = run.steps["label"]["settings"]
    assert settings["verdicts"] == "log-probabilities of (1) and (2), one token each, after 1 reasoning an order"
    assert [key.partition(": ")[2] for key in run.manifest["verdicts"]] == ["comparison, principle_last, reasoned"]
    assert all(vote.rationale is not None for row in rows for vote in row.votes)


def test_a_rerun_does_not_load_the_tokenizer_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cai.models.hf import HFEngine

    judged(tmp_path, BRACKETED)
    monkeypatch.setattr(HFEngine, "one_token", lambda *_: pytest.fail("it was asked again"))
    recipe = load_recipe("rl-cai", dict(Run.existing(tmp_path / "run").manifest["command"]["overrides"]))
    run_recipe(recipe, tmp_path / "run", until="preferences")
    assert Run.existing(tmp_path / "run").steps["label"]["settings"]["names"] == "(1) and (2)"


def test_scores_of_a_choice_request_add_up_over_its_tokens(tmp_path: Path) -> None:
    from cai.models import load_model

    engine = load_model(f"hf/{build_judge(tmp_path / 'judge', [])}")
    whole, first = (
        dict(engine.score(iter([ChoiceRequest((user("Kind?"),), choices, "Answer:")])))[0]
        for choices in ((" Yes", " No"), (" Y", " N"))
    )
    assert isinstance(whole, ChoiceScores) and isinstance(first, ChoiceScores)
    assert all(one < other for one, other in zip(whole.logprobs, first.logprobs, strict=True))
