"""Near-duplicates and contaminated prompts: planted truths, exact pairwise search, order and splits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import ConfigError
from cai.exports.decontamination import contaminated
from cai.exports.near_duplicates import bands, jaccard, near_duplicates, shingles
from cai.exports.prompt_text import plain_text, words
from cai.records import Message, Prompt, assistant, user

LONG = "how would one plan a quiet garden with roses and a small pond behind an old stone house"


def prompt(*turns: str) -> Prompt:
    messages = [assistant(text) if n % 2 else user(text) for n, text in enumerate(turns)]
    return Prompt.make(tuple(messages))


def set_jaccard(a: str, b: str) -> float:
    one, two = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (a, b))
    return len(one & two) / len(one | two)


def test_words_are_those_a_reader_would_count() -> None:
    assert words("Don't STOP — the ﬁrst_one, 2nd!") == ["don", "t", "stop", "the", "first", "one", "2nd"]
    assert words("你好 world ありがとう") == [*"你好", "world", *"ありがとう"]
    assert plain_text(prompt("?!")) == "?!"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_the_index_of_hashes_is_that_of_the_shingles(a: str, b: str) -> None:
    assert jaccard(shingles(a), shingles(b)) == pytest.approx(set_jaccard(a, b))


def test_the_first_is_kept_and_test_before_train() -> None:
    first, again, other = prompt(LONG), prompt(LONG.upper() + "?!"), prompt("something else altogether")
    held_out = prompt(f"{LONG} please")
    assert near_duplicates([], [first, other, again], 0.8) == {again.id: "near_duplicate"}
    assert near_duplicates([held_out], [again, first, other], 0.8) == {
        first.id: "near_duplicate_of_test", again.id: "near_duplicate_of_test",
    }  # fmt: skip
    assert near_duplicates([held_out, first], [other], 0.8) == {first.id: "near_duplicate"}


def test_a_shared_system_text_makes_no_duplicates() -> None:
    system = Message("system", "You are a patient helper who answers in full sentences. " * 20)
    prompts = [Prompt.make((system, user(text))) for text in ("how do I bake bread", "why is the sky blue at noon")]
    assert near_duplicates([], prompts, 0.5) == {}
    assert contaminated(prompts[:1], {"held": prompts[1:]}) == {}


def edited(rng: random.Random, vocabulary: list[str]) -> list[str]:
    text = rng.choices(vocabulary, k=30)
    copies = [list(text) for _ in range(4)]
    for copy in copies[1:]:
        for place in rng.sample(range(30), rng.randrange(1, 7)):
            copy[place] = rng.choice(vocabulary)
    return [" ".join(copy) for copy in copies]


def test_it_agrees_with_the_search_of_all_pairs() -> None:
    rng = random.Random(5)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=rng.randrange(2, 9))) for _ in range(400)]
    texts = [text for _ in range(60) for text in edited(rng, vocabulary)]
    prompts = [prompt(text) for text in texts]
    kept: list[str] = []
    expected: set[str] = set()
    for text, one in zip(texts, prompts, strict=True):
        near = any(set_jaccard(text, other) >= 0.7 for other in kept)
        if near:
            expected.add(one.id)
        else:
            kept.append(text)
    assert 20 < len(expected) < 150
    assert set(near_duplicates([], prompts, 0.7)) == expected


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_a_pair_at_the_threshold(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= 128 and 1 - (1 - threshold**rows) ** count >= 0.99


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_told(threshold: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 < threshold"):
        near_duplicates([], [], threshold)


# ------------------------------------------------------------------------------------------------- decontamination


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_not() -> None:
    some = LONG.split()
    thirteen, twelve = " ".join(some[2:15]), " ".join(some[2:14])
    inside = prompt(f"Ignore all that. {thirteen.title()}, and quickly!")
    outside = prompt(f"Ignore all that. {twelve}, and quickly!")
    assert contaminated([inside, outside], {"bench.jsonl": [prompt(LONG)]}) == {inside.id: "bench.jsonl"}


def test_a_question_of_eight_words_is_looked_for_whole_and_a_shorter_one_as_all_there_is() -> None:
    eight, short = "what is the best way to sharpen knives", "Why not?"
    unseen = {"a": [prompt(eight)], "b": [prompt(short)]}
    longer, equal, other = prompt(f"Tell me: {eight}, please"), prompt("why NOT"), prompt("why not go home then")
    assert contaminated([longer, equal, other], unseen) == {longer.id: "a", equal.id: "b"}


def test_runs_do_not_cross_turns_and_every_turn_is_searched() -> None:
    parts = LONG.split()
    across = prompt(" ".join(parts[:8]), "ok", " ".join(parts[8:]))
    later = prompt("hello", "hi", LONG)
    answered = prompt("hello", LONG, "thanks")
    found = contaminated([across, later, answered], {"held": [prompt(LONG)]})
    assert set(found) == {later.id, answered.id}


def test_scripts_without_spaces_are_searched_by_character() -> None:
    question = "请问在旧石屋后面如何规划一个安静的花园"
    inside, other = prompt(f"你好，{question}？谢谢"), prompt("今天天气怎么样")
    assert set(contaminated([inside, other], {"held": [prompt(question)]})) == {inside.id}


def test_hostile_text_is_compared_like_any_other() -> None:
    odd = prompt("\ud800 \x00 {x} %s")
    assert near_duplicates([odd], [prompt("\ud800 \x00 {x} %s!")], 0.9) != {}
    assert set(contaminated([odd], {"held": [odd]})) == {odd.id}
