"""Export → files → import gives the same preferences, or every row that is not there is counted with its reason."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.exports import load_export
from cai.exports.writing import export_dataset
from cai.imports import find_sources, import_data, read_preferences, read_prompt_rows
from cai.records import Draft, Message, Messages, Preference, Prompt, assistant, user
from tests.exports.hostile import EMPTY, MARKS, PIECES, UNREADABLE, make_hostile, preference, readable


@dataclass(frozen=True)
class Holds:
    """What a format can hold, as its consumer's documents say, whatever our code thinks."""

    turns: bool = True
    system: bool = True
    any_order: bool = True
    ties: bool = False
    marks: bool = True
    answers: int = 1

    def dialogue(self, messages: Messages) -> bool:
        if self.any_order:
            return True
        rest = messages[1:] if messages[0].role == "system" else messages
        if rest is not messages and not self.system:
            return False
        alternate = all(one.role == ("assistant" if at % 2 else "user") for at, one in enumerate(rest))
        return alternate and (self.turns or len(rest) == 1)

    def preference(self, one: Preference) -> bool:
        texts = [*(turn.content for turn in one.prompt.messages), one.response_a, one.response_b]
        if not self.marks and any(mark in text for text in texts for mark in ("\n\nHuman:", "\n\nAssistant:")):
            return False
        if (one.p_a == 0.5 and not self.ties) or one.response_a == one.response_b:
            return False
        return self.dialogue(one.prompt.messages) and readable(texts)


ALTERNATING = Holds(any_order=False)
ONE_TURN = Holds(any_order=False, turns=False)
ONE_TEXT = Holds(any_order=False, turns=False, system=False)
PREFERENCES = {
    "preference": Holds(),
    "preference_implicit": Holds(),
    "unpaired_preference": Holds(answers=2),
    "openrlhf_preference": Holds(),
    "nemo_rl_preference": Holds(),
    "nemo_rl_binary": ONE_TEXT,
    "llamafactory_sharegpt": ALTERNATING,
    "llamafactory_alpaca": ALTERNATING,
    "llamafactory_kto": Holds(any_order=False, answers=2),
    "axolotl_preference": Holds(),
    "axolotl_kto": Holds(any_order=False, turns=False, answers=2),
    "axolotl_reward": ONE_TURN,
    "hh": Holds(any_order=False, system=False, marks=False),
    "ultrafeedback": ONE_TEXT,
    "annotated_pairs": Holds(any_order=False, turns=False, system=False, ties=True),
    "native": Holds(ties=True),
}
PROMPTS = ("prompts", "openrlhf_prompts", "verl_rl")
DEMONSTRATIONS = (
    "sft", "prompt_completion", "openrlhf_sft", "verl_sft", "llamafactory_sft", "axolotl_sft",
)  # fmt: skip
SPLITS = ("train", "test")


def survivors(name: str, made: Sequence[Preference]) -> dict[str, Preference]:
    return {one.id: one for one in made if PREFERENCES[name].preference(one)}


def check_round_trip(name: str, made: Sequence[Preference], folder: Path, **how: object) -> None:
    """Every preference comes back as it was, or is in a count; none comes back that was not there."""
    counts = export_dataset(load_export(name), made, folder, **how)
    assert sum(counts.values()) == accounted(name, made, counts)
    expected = survivors(name, made)
    written = sum(counts[split] for split in SPLITS)
    if not written:
        assert not expected
        return
    read, report = read_preferences(find_sources(str(folder)))
    assert report.rows == written
    alone = sum(count for reason, count in report.rejected.items() if "no pair" in reason)
    assert (report.units - alone) * PREFERENCES[name].answers + alone == written
    assert report.units == report.kept + report.duplicates + report.rejected.total()
    assert report.duplicates == 0
    assert {one.id for one in read} == expected.keys()
    for one in read:
        same_preference(one, expected[one.id], tags=name == "native")


def accounted(name: str, made: Sequence[Preference], counts: dict[str, int]) -> int:
    """The rows and refusals that this many preferences must add up to: two answers for a row of answers."""
    if PREFERENCES[name].answers == 1:
        return len(made)
    early = sum(counts.get(reason, 0) for reason in ("ties", "identical_answers"))
    return 2 * (len(made) - early) + early


def same_preference(found: Preference, made: Preference, tags: bool = False) -> None:
    """Every format carries what a row says of itself as columns; only `native` has tags."""
    if tags:
        assert found.prompt.tags == made.prompt.tags
    assert found.prompt.source == made.prompt.source
    assert found.prompt.messages == made.prompt.messages
    assert (found.response_a, found.response_b) == (made.response_a, made.response_b)
    assert found.p_a == pytest.approx(made.p_a, abs=1e-12)
    assert (found.weight, found.source) == (made.weight, made.source)
    assert (found.prompt.kind, found.prompt.split) == (made.prompt.kind, made.prompt.split)


# ------------------------------------------------------------------------------------------------ planted rows


@pytest.mark.parametrize("name", PREFERENCES)
def test_200_hostile_preferences(name, tmp_path):
    check_round_trip(name, make_hostile(200), tmp_path / name)


@pytest.mark.parametrize("name", PREFERENCES)
def test_prompts_of_files_that_are_called_ai_or_human_keep_their_source(name, tmp_path):
    sources = ("ai", "human", "a set, of 1")
    made = [
        Preference(Prompt.make((user(f"q{n}"),), "helpful", source), "a", "b", 0.75, 1.0, ranker)
        for n, (source, ranker) in enumerate((source, ranker) for source in sources for ranker in ("ai", "human"))
    ]
    check_round_trip(name, made, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", PREFERENCES)
def test_2000_hostile_preferences(name, kind, tmp_path):
    check_round_trip(name, make_hostile(2000, seed=1), tmp_path / name, files=(kind,))


@pytest.mark.slow
def test_the_hostile_rows_are_what_they_claim():
    made = make_hostile(2000, seed=1)
    texts = [text for one in made for text in (one.response_a, one.response_b)]
    assert len({one.id for one in made}) == 2000
    for piece in (*PIECES, *UNREADABLE):
        assert any(piece in text for text in texts), repr(piece)
    assert all(empty in texts for empty in EMPTY)
    assert sum(len(text) == 100_000 for text in texts) > 5
    assert sum(any(mark in text for mark in MARKS[:4]) for text in texts) > 100
    for name in PREFERENCES:
        assert 300 < len(survivors(name, made)) < 2000


@pytest.mark.parametrize("labels", ["bernoulli", "duplicate", "threshold"])
def test_the_soft_label_survives_every_way_to_a_hard_one(labels, tmp_path):
    from cai.exports import ExportOptions

    made = [one for one in make_hostile(80, seed=2) if PREFERENCES["preference"].preference(one)]
    for name in ("preference", "llamafactory_kto", "hh"):
        export = load_export(name, options=ExportOptions(labels=labels))
        counts = export_dataset(export, made, tmp_path / labels / name)
        expected = survivors(name, made)
        read, report = read_preferences(find_sources(str(tmp_path / labels / name)))
        lost = counts.get("under_threshold", 0)
        assert len(read) >= len(expected) - lost and {one.id for one in read} <= expected.keys()
        assert report.duplicates == (report.units - report.rejected.total() - len(read))
        for one in read:
            same_preference(one, expected[one.id])


# ------------------------------------------------------------------------------------------------ properties


texts = st.one_of(
    st.text(max_size=12),
    st.lists(st.sampled_from([*PIECES, *UNREADABLE, *EMPTY]), max_size=4).map("".join),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Zs", "Zl", "Zp", "L"]), max_size=6),
)
dialogues = st.one_of(
    texts.map(lambda one: (user(one),)),
    st.tuples(texts, texts).map(lambda two: (Message("system", two[0]), user(two[1]))),
    st.tuples(texts, texts, texts).map(lambda three: (user(three[0]), assistant(three[1]), user(three[2]))),
    st.tuples(st.sampled_from(["user", "assistant", "system"]), texts, texts).map(
        lambda three: (Message(three[0], three[1]), user(three[2]))
    ),
)


@st.composite
def preferences(draw: Callable[..., object]) -> Preference:
    p_a = draw(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0)))
    return preference(draw(dialogues), draw(texts), draw(texts), p_a, random.Random(draw(st.integers(0, 99))))


def distinct(made: list[Preference]) -> list[Preference]:
    return list({(one.prompt.id, frozenset((one.response_a, one.response_b))): one for one in made}.values())


some_preferences = st.lists(preferences(), min_size=1, max_size=6).map(distinct)


def check_in_a_folder(name: str, made: list[Preference]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_round_trip(name, made, Path(folder) / name, files=("jsonl",))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(list(PREFERENCES)), made=some_preferences)
def test_whatever_the_texts(name, made):
    check_in_a_folder(name, made)


@pytest.mark.slow
@pytest.mark.parametrize("name", PREFERENCES)
@settings(max_examples=60, deadline=None)
@given(made=some_preferences)
def test_whatever_the_texts_in_every_format(name, made):
    check_in_a_folder(name, made)


# ------------------------------------------------------------------------------------------------ prompts and answers


def hostile_prompts(count: int) -> list[Prompt]:
    return list({one.prompt.id: one.prompt for one in make_hostile(count, seed=3)}.values())


def check_prompts(name: str, prompts: Sequence[Prompt], records: Sequence[object], folder: Path) -> None:
    counts = export_dataset(load_export(name), records, folder)
    written = sum(counts[split] for split in SPLITS)
    assert sum(counts.values()) == len(prompts)
    holds = ALTERNATING if name.startswith("llamafactory") else Holds()
    expected = {
        one.id: one for one in prompts
        if holds.dialogue(one.messages) and readable([turn.content for turn in one.messages])
    }  # fmt: skip
    read, report = read_prompt_rows(find_sources(str(folder)))
    assert (report.rows, report.kept) == (written, len(expected))
    assert report.units == written == report.kept + report.rejected.total()
    assert {one.id: (one.messages, one.kind, one.source, one.split) for one in read} == {
        one.id: (one.messages, one.kind, one.source, one.split) for one in expected.values()
    }


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_come_back(name, tmp_path):
    prompts = hostile_prompts(200)
    check_prompts(name, prompts, prompts, tmp_path / name)


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_the_prompts_of_demonstrations_come_back(name, tmp_path):
    from dataclasses import replace

    prompts = [replace(one, kind="helpful") for one in hostile_prompts(200)]
    check_prompts(name, prompts, [Draft(one, "answer") for one in prompts], tmp_path / name)


def test_every_format_is_held_to_this():
    from cai.exports import EXPORTS
    from cai.imports import FORMATS

    assert {*PREFERENCES, *PROMPTS, *DEMONSTRATIONS} == set(EXPORTS) <= set(FORMATS)


# ------------------------------------------------------------------------------------------------ by name, and as files


@pytest.mark.parametrize("name", PREFERENCES)
def test_the_format_may_be_named(name, tmp_path):
    made = make_hostile(60)
    export_dataset(load_export(name), made, tmp_path / name)
    read, report = read_preferences(find_sources(str(tmp_path / name)), name)
    assert {one.id for one in read} == survivors(name, made).keys()
    assert list(report.formats) == [name]


def test_what_is_written_reads_again_and_what_is_not_lies_beside_it(tmp_path):
    made = make_hostile(200)
    export_dataset(load_export("native"), made, tmp_path / "native", ("jsonl",))
    path, report = import_data(find_sources(str(tmp_path / "native")), tmp_path / "out")
    again = [Preference.from_json(json.loads(line)) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert {one.id for one in again} == survivors("native", made).keys()
    refused = [json.loads(one) for one in (tmp_path / "out/preferences.rejected.jsonl").read_text().splitlines()]
    assert len(refused) == report.rejected.total() > 0
    told = {(one["row"]["id"], one["reason"]) for one in refused}
    assert len(told) == len(refused) and {id for id, _ in told}.isdisjoint(one.id for one in again)
    from cai.human_preferences import read_human_preferences

    for one, other in zip(again, read_human_preferences(str(path)).preferences, strict=True):
        same_preference(other, one)


def test_annotated_pairs_that_were_exported_with_a_weight_of_another_name_keep_it(tmp_path):
    made = Preference(Prompt.make((user("q"),)), "a", "b", 1.0, 0.25)
    export_dataset(load_export("annotated_pairs"), [made], tmp_path / "annotated_pairs")
    path = tmp_path / "annotated_pairs" / "annotated_pairs.json"
    before = path.read_text(encoding="utf-8").replace('"label_weight": "0.25"', '"weight": "0.25"')
    (tmp_path / "before.json").write_text(before, encoding="utf-8")
    for place in (tmp_path / "annotated_pairs", tmp_path / "before.json"):
        read, _ = read_preferences(find_sources(str(place)))
        assert [one.weight for one in read] == [0.25]
    assert '"weight": "0.25"' in before
