from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.embedded import corpus, curriculum, prompts_path, world
from cai.embedded.answers import MIXES, base_answer
from cai.embedded.principles import FAMILIES, FORMS, wordings
from cai.embedded.prompts import COUNTS, draw_facts, draw_prompts, shipped_prompts, to_line
from cai.records import user

SORTS = (("act", "red_team"), ("act", "lookalike"), ("act", "helpful"), ("task", "helpful"), ("idiom", "lookalike"))


def test_the_world_is_as_large_as_it_says():
    harmful = {(scene.name, scene.purpose) for scene in world.scenes() if scene.harmful}
    ordinary = {(scene.name, scene.purpose) for scene in world.scenes() if scene.kind == "helpful"}
    assert len({name for name, _ in harmful}) >= 40 and len(harmful) >= 300
    topics = {
        (scene.name, scene.person if scene.sort == "fact" else "")
        for scene in world.scenes()
        if scene.kind == "helpful"
    }
    assert len(topics) >= 80 and len(ordinary) >= 80
    assert len(world.ways("train")) >= 25 and all(len(set(ways)) == 25 for ways in world.FACT_WAYS.values())


def test_requests_name_one_scene_each():
    requests = [scene.request for scene in world.scenes() if scene.sort != "fact"]
    assert len(requests) == len(set(requests))


def test_harm_follows_from_the_parts_together():
    kinds = {(scene.name, scene.person, scene.purpose): scene.kind for scene in world.scenes()}
    assert kinds["diary", "my sister", ""] == "red_team"
    assert kinds["diary", "my own", ""] == "lookalike"
    assert kinds["diary", "my sister", "with their permission"] == "lookalike"
    assert kinds["diary", "my sister", "for their birthday"] == "red_team"
    assert kinds["photo", "my sister", "for their birthday"] == "helpful"
    assert kinds["photo", "my sister", "to shame them"] == "red_team"
    assert kinds["push", "my sister", ""] == "red_team"
    assert kinds["push", "my sister", "in a video game"] == "lookalike"


def test_train_and_held_out_are_disjoint():
    for sort, kind in SORTS:
        train, test = (world.scenes_of(sort, kind, split) for split in ("train", "test"))
        assert train and test and not {one.request for one in train} & {one.request for one in test}
        assert {one.name for one in test} <= {one.name for one in train}, "held out are combinations of known parts"
        assert {one.purpose for one in test} <= {one.purpose for one in train}
        assert {one.person for one in test} <= {one.person for one in train}
        decides = [{(one.name, one.purpose) for one in side} for side in (train, test)]
        assert not decides[0] & decides[1], "what makes a request harmful is held out, not only who is concerned"
    assert not set(world.ways("train")) & set(world.ways("test"))
    for name in world.FACT_WAYS:
        assert not set(world.fact_ways(name, "train")) & set(world.fact_ways(name, "test"))
    for family in FAMILIES:
        for form in FORMS:
            train, test = (set(wordings(family, form, split)) for split in ("train", "test"))
            assert train and test and not train & test


def test_nothing_held_out_is_ever_in_the_training_text():
    """Held out are combinations, ways of asking and wordings: none of them in 250 groups of each phase."""
    held_out = {text for family in FAMILIES for form in FORMS for text in wordings(family, form, "test")}
    ways = [*world.ways("test"), *(way for name in world.FACT_WAYS for way in world.fact_ways(name, "test"))]
    asked = re.compile("|".join(re.escape(way).replace(r"\{\}", ".+") for way in ways))
    for phase in curriculum.PHASES:
        for group in islice(corpus.groups(5, phase), 250):
            for turn in group:
                for message in turn.messages:
                    lines = message.content.splitlines()
                    assert not held_out & {line.removeprefix("Question: ") for line in lines}
                    for line in lines:
                        said = line.rpartition("Human: ")[2]
                        assert message.role != "user" or not asked.fullmatch(said), said
                        scene = world.read_scene((user(said),)) if message.role == "user" else None
                        assert scene is None or scene.split == "train", said


def test_no_held_out_request_stands_inside_what_is_said_in_training():
    """Asked, and said back to the asker; with a purpose or without."""
    held_out = {
        tuple(words(text))
        for sort, kind in SORTS
        for one in world.scenes_of(sort, kind, "test")
        for text in (one.request, one.said_back)
    }
    lengths = sorted({len(one) for one in held_out})
    for phase in curriculum.PHASES:
        for group in islice(corpus.groups(6, phase), 250):
            for text in {text for turn in group for text in (turn.learned, *(one.content for one in turn.messages))}:
                said = words(text)
                runs = {tuple(said[at : at + size]) for size in lengths for at in range(len(said) - size + 1)}
                assert not runs & held_out, text


def words(text):
    return re.findall(r"[\w']+", text)


def test_drawn_prompts_of_the_two_sides_share_nothing():
    draw = Random(0)
    for kind in COUNTS:
        train, test = (
            {prompt.messages[-1].content for _, prompt in draw_prompts(kind, split, 150, draw)}
            for split in ("train", "test")
        )
        assert not train & test


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["train", "test"]))
def test_what_is_asked_is_read_back(seed, split):
    draw = Random(seed)
    scene = draw.choice(world.scenes())
    messages = world.ask(scene, split, draw)
    assert world.read_scene(messages) == scene
    assert [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]


def test_dialogues_of_one_to_three_turns_are_asked_and_learned_from():
    draw = Random(0)
    for split in ("train", "test"):
        asked = [prompt.messages for kind in COUNTS for _, prompt in draw_prompts(kind, split, 150, draw)]
        turns = Counter(sum(one.role == "user" for one in messages) for messages in asked)
        assert turns.keys() == {1, 2, 3} and turns[1] > turns[2] > 10 and turns[3] > 10
    shipped = Counter(sum(one.role == "user" for one in prompt.messages) for prompt in shipped_prompts())
    assert shipped.keys() == {1, 2, 3} and shipped[3] > 10
    for phase in curriculum.PHASES:
        groups = islice(corpus.groups(7, phase), 300)
        firsts = [
            [one.content for one in turn.messages if one.role == "user"] for group in groups for turn in group[:1]
        ]
        answered = [one for one in firsts if world.read_scene((user(one[-1]),))]
        assert {len(one) for one in answered} == {1, 2, 3}


def test_a_myth_is_a_fixed_untruth():
    for site, attribute in product(world.parts.SITES, world.FACT_WAYS):
        believed = world.myth(site, attribute)
        assert believed == world.myth(site, attribute) != world.fact(site, attribute)
        assert believed in world.VALUES[attribute]


@pytest.mark.parametrize(("mix", "most"), [("base", 160), ("faulty", 160), ("milder", 160), ("last", 80)])
def test_some_myths_are_what_the_base_model_believes(mix, most):
    facts = world.scenes_of("fact", "helpful", "train")
    believed = [scene for scene in facts if scene.mistaken]
    assert len(believed) == len(world.mistaken()) == 4 and len({scene.name for scene in believed}) > 1
    for scene in facts:
        said = [base_answer(scene, Random(seed), MIXES[mix]) for seed in range(200)]
        untrue = [one for one in said if one.untrue]
        assert (len(untrue) > most) == scene.mistaken
        if scene.mistaken:
            assert all(world.myth(scene.person, scene.name) in one.core for one in untrue)


def test_questions_of_fact_ask_for_each_fact_as_often():
    asked = draw_facts("test", 150, Random(1))
    assert len({prompt.id for _, prompt in asked}) == 150
    assert set(Counter(scene for scene, _ in asked).values()) == {3, 4}


def test_second_person():
    assert world.to_second_person("my own diary as they told me") == "your own diary as they told you"
    assert world.to_second_person("in a story I am writing") == "in a story you are writing"
    assert world.read_scene((user("What is the meaning of life?"),)) is None


def test_the_shipped_prompts_are_the_recipes():
    lines = prompts_path().read_text(encoding="utf-8").splitlines(keepends=True)
    assert lines == [to_line(prompt) for prompt in shipped_prompts()]
    rows = [json.loads(line) for line in lines]
    assert len({row.get("prompt") or json.dumps(row["messages"]) for row in rows}) == len(rows)
    for kind, (train, test) in COUNTS.items():
        ours = [row for row in rows if row["kind"] == kind]
        assert [sum(row["split"] == side for row in ours) for side in ("train", "test")] == [train, test]


def test_facts_are_asked_for_in_other_words_that_no_held_out_way_stands_in():
    from cai.embedded.rewording import reworded_ways

    for name in world.FACT_WAYS:
        held_out, made = world.fact_ways(name, "test"), reworded_ways(name)
        assert len(made) >= 60 and len(set(made)) == len(made)
        assert not [way for way in made for one in held_out if one.rstrip(".?").lower() in way.lower()]
        assert len(set(made) - set(world.fact_ways(name, "train"))) >= 55, "most are none of the world's own"
