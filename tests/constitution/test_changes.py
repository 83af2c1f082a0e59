"""What a diff says, and that the shares of draws that it names are the ones that a run would see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.constitution import Constitution, Principle, load_constitution
from cai.constitution.changes import compare, word_steps

BEFORE = load_constitution("harmlessness")


def edited(**changes: Principle | None) -> Constitution:
    """`BEFORE` with some principles (by position, as p0, p1, …) replaced or taken out."""
    rows = [changes.get(f"p{n}", one) for n, one in enumerate(BEFORE.principles)]
    return replace(BEFORE, principles=tuple(one for one in rows if one is not None))


def test_nothing_differs_from_itself() -> None:
    change = compare(BEFORE, BEFORE)
    assert max(change.moved.values()) < 1e-9 and max(change.asked_anew.values()) < 1e-9
    assert not any((change.added, change.removed, change.renamed, change.rewordings, change.settings, change.examples))


def test_rewording_one_of_sixteen_moves_nothing_and_asks_a_sixteenth_anew() -> None:
    change = compare(BEFORE, edited(p0=replace(BEFORE.principles[0], comparison="Which is safer?")))
    [rewording] = change.rewordings
    assert (rewording.principle, rewording.form, rewording.kind) == ("hurting-others", "comparison", "reworded")
    assert change.moved == pytest.approx({"critique": 0, "comparison": 0})
    assert change.asked_anew["critique"] == pytest.approx(0)
    assert change.asked_anew["comparison"] == pytest.approx(1 / 16)


def test_removing_one_of_sixteen_moves_a_sixteenth() -> None:
    change = compare(BEFORE, edited(p3=None))
    assert change.removed == ("people-who-need-protection",)
    assert change.moved["critique"] == pytest.approx(1 / 16)
    assert compare(edited(p3=None), BEFORE).added == ("people-who-need-protection",)


def test_a_new_id_is_a_renaming_and_moves_draws_but_a_title_does_not() -> None:
    change = compare(BEFORE, edited(p1=replace(BEFORE.principles[1], id="new-name")))
    assert change.renamed == (("danger-to-the-asker", "new-name"),)
    assert not change.added and not change.removed
    assert change.moved["critique"] == pytest.approx(2 / 17)
    change = compare(BEFORE, edited(p1=replace(BEFORE.principles[1], title="Other")))
    assert change.settings == ("danger-to-the-asker: title",)
    assert max(change.moved.values()) < 1e-9


def test_weights_forms_and_examples() -> None:
    one = BEFORE.principles[2]
    change = compare(BEFORE, replace(edited(p2=replace(one, weight=3.0, rubric="")), revision_examples=()))
    assert change.settings == (f"{one.id}: weight 1 -> 3",)
    assert [(row.form, row.kind) for row in change.rewordings] == [("rubric", "form removed")]
    assert change.examples == ("revision",)
    assert 0.05 < change.moved["comparison"] < 0.2


def test_the_shares_are_those_of_real_draws() -> None:
    weights = {f"p{n}": 1 + n % 3 for n in range(7)}
    old = Constitution("t", tuple(Principle(id, comparison=id, weight=weight) for id, weight in weights.items()))
    weights |= {"p1": 5, "p4": 0.5, "new": 2}
    del weights["p2"]
    texts = {**{id: id for id in weights}, "p0": "reworded"}
    new = Constitution("t", tuple(Principle(id, comparison=texts[id], weight=weight) for id, weight in weights.items()))
    pairs = [(old.draw(3, str(n), "label"), new.draw(3, str(n), "label")) for n in range(4000)]
    change = compare(old, new)
    moved = sum(a.id != b.id for a, b in pairs) / len(pairs)
    asked_anew = sum(a.comparison != b.comparison for a, b in pairs) / len(pairs)
    assert moved != asked_anew
    assert change.moved["comparison"] == pytest.approx(moved, abs=0.03)
    assert change.asked_anew["comparison"] == pytest.approx(asked_anew, abs=0.03)


def test_word_steps() -> None:
    assert word_steps("Say what is bad in it.", "Say what is very bad.") == [
        ("same", "Say what is"), ("gone", " bad in it."), ("new", " very bad."),
    ]  # fmt: skip


@given(st.text(), st.text())
def test_word_steps_rebuild_both_texts(before: str, after: str) -> None:
    steps = word_steps(before, after)
    assert "".join(text for step, text in steps if step != "new") == before.rstrip()
    assert "".join(text for step, text in steps if step != "gone") == after.rstrip()


def test_other_worked_examples_go_before_every_question_of_their_sort() -> None:
    before = load_constitution("harmlessness")
    after = replace(before, comparison_examples=before.comparison_examples[:1])
    assert compare(before, after).asked_anew == {"critique": 0.0, "comparison": 1.0}
    assert compare(before, replace(before, revision_examples=())).asked_anew == {"critique": 1.0, "comparison": 0.0}
