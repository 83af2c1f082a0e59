"""Scopes, forms and draws: the properties that reruns and ensembles stand on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.constitution import Constitution, Principle, Scope, load_constitution
from cai.errors import InputError, ParseError
from cai.records import Kind, Prompt, user


def prompt(kind: Kind = "red_team", *tags: str) -> Prompt:
    return Prompt.make((user("Hello?"),), kind, tags=tags)


def with_weights(weights: dict[str, float]) -> Constitution:
    principles = tuple(Principle(id, "c", "r", "p", weight=weight) for id, weight in weights.items())
    return Constitution("drawn", principles)


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        (Scope(), [True, True, True]),
        (Scope(kinds=("red_team",)), [True, True, False]),
        (Scope(kinds=()), [False, False, False]),
        (Scope(tags=("x",)), [False, True, True]),
        (Scope(tags=()), [False, False, False]),
        (Scope(except_tags=("x",)), [True, False, False]),
        (Scope(kinds=("helpful",), tags=("x", "z")), [False, False, True]),
        (Scope(tags=("x",), except_tags=("y",)), [False, True, False]),
    ],
)
def test_scope(scope: Scope, reached: list[bool]) -> None:
    principle = Principle("a", applies_to=scope)
    prompts = [prompt(), prompt("red_team", "x"), prompt("helpful", "x", "y")]
    assert [principle.reaches(one) for one in prompts] == reached


def test_for_form_wants_the_form_the_use_and_the_scope() -> None:
    constitution = Constitution("c", (
        Principle("all", "c", "r", "p"),
        Principle("compares", comparison="p"),
        Principle("revises", "c", "r", "p", only_for="revision"),
        Principle("helpful", "c", "r", "p", applies_to=Scope(kinds=("helpful",))),
    ))  # fmt: skip
    assert [one.id for one in constitution.for_form("critique", prompt())] == ["all", "revises"]
    assert [one.id for one in constitution.for_form("comparison", prompt())] == ["all", "compares"]
    assert [one.id for one in constitution.for_form("rubric", prompt())] == []
    assert [one.id for one in constitution.for_form("revision", prompt("helpful"))] == ["all", "revises", "helpful"]


def test_require_forms_names_file_line_principle_and_form() -> None:
    constitution = Constitution("c", (
        Principle("all", "c", "r", "p", line=3, column=5),
        Principle("compares", comparison="p", line=9, column=5),
    ), path=Path("c.yaml"))  # fmt: skip
    constitution.require_forms(["comparison"])
    with pytest.raises(InputError, match=r"c\.yaml:9:5: principle 'compares' has no 'critique'"):
        constitution.require_forms(["critique", "revision"])
    declared = Constitution("c", (Principle("x", comparison="p", only_for="comparison"), constitution.principles[0]))
    declared.require_forms(["critique", "revision", "comparison"])
    with pytest.raises(InputError, match="no principle is meant for revision"):
        Constitution("c", declared.principles[:1]).require_forms(["critique"])


def test_by_id_names_the_nearest() -> None:
    constitution = load_constitution("harmlessness")
    assert constitution.by_id("no-sermon").tags == ("preachiness",)
    with pytest.raises(InputError, match="did you mean 'no-sermon'"):
        constitution.by_id("no-sermn")


PINNED = (
    "hurting-others", "danger-to-the-asker", "threats-and-revenge", "people-who-need-protection", "breaking-the-law",
    "cheating-and-fraud", "other-peoples-property", "insults-and-contempt", "prejudice", "private-matters",
    "truthfulness", "plain-refusal", "the-safe-part", "no-sermon", "good-faith", "short-and-clear",
)  # fmt: skip


def test_draws_are_pinned() -> None:
    """A change here changes every run that anybody has made: give it a new name instead."""
    shipped = load_constitution("harmlessness")
    principles = [replace(one, id=name) for one, name in zip(shipped.principles, PINNED, strict=True)]
    constitution = replace(shipped, principles=tuple(principles))
    drawn = [constitution.draw(0, f"{n:016x}", "critique", n % 4 + 1).id for n in range(5)]
    assert drawn == ["people-who-need-protection", "the-safe-part", "truthfulness", "prejudice", "the-safe-part"]


WEIGHTS = st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.floats(0.1, 10), min_size=2, max_size=12)


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.integers(0, 99), st.randoms(use_true_random=False))
def test_order_and_scale_of_weights_do_not_matter(weights: dict[str, float], seed: int, random: object) -> None:
    shuffled = list(weights.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = with_weights(weights), with_weights({id: 4 * weight for id, weight in shuffled})
    for n in range(20):
        assert one.draw(seed, str(n), "label", 1).id == other.draw(seed, str(n), "label", 1).id


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.integers(0, 99))
def test_removing_a_principle_moves_only_its_own_draws(weights: dict[str, float], seed: int) -> None:
    gone, *_ = weights
    fewer = with_weights({id: weight for id, weight in weights.items() if id != gone})
    whole = with_weights(weights)
    for n in range(50):
        before = whole.draw(seed, str(n), "critique", 1).id
        if before != gone:
            assert fewer.draw(seed, str(n), "critique", 1).id == before


def test_one_of_k_is_drawn_one_time_in_k_by_weight() -> None:
    whole = with_weights({"a": 1, "b": 2, "c": 5})
    counts = Counter(whole.draw(7, str(n), "label", 1).id for n in range(8000))
    assert counts["a"] == pytest.approx(1000, abs=130)
    assert counts["b"] == pytest.approx(2000, abs=170)


def test_seed_record_purpose_and_round_each_change_the_draw() -> None:
    whole = with_weights({f"p{n}": 1 for n in range(16)})
    base = [whole.draw(0, str(n), "critique", 1).id for n in range(200)]
    for other in (
        [whole.draw(1, str(n), "critique", 1).id for n in range(200)],
        [whole.draw(0, f"{n}x", "critique", 1).id for n in range(200)],
        [whole.draw(0, str(n), "label", 1).id for n in range(200)],
        [whole.draw(0, str(n), "critique", 2).id for n in range(200)],
    ):
        same = sum(a == b for a, b in zip(base, other, strict=True))
        assert 2 <= same <= 30


def test_drawing_from_nothing_is_a_reason_to_reject() -> None:
    with pytest.raises(ParseError, match="no principle"):
        with_weights({"a": 1, "b": 1}).draw(0, "r", "critique", 1, among=())
