"""Soft labels from votes: exact arithmetic, planted biases, properties."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.errors import ParseError
from cai.preferences import LabelFigures, beta_interval, beta_variance, sigmoid, soft_label, usable
from cai.preferences.soft_labels import bounded
from cai.recipe import PreferenceSettings
from cai.records import Judgement, Prompt, Vote, user

PROMPT = Prompt.make((user("hello"),))
LOGIT = st.floats(-30, 30)


def vote(order: str, logit_first: float, principle: str = "p", mass: float = 1.0) -> Vote:
    """A vote whose first-shown answer leads by `logit_first` nats."""
    first = math.log(mass) + math.log(max(sigmoid(logit_first), 1e-300))
    second = math.log(mass) + math.log(max(sigmoid(-logit_first), 1e-300))
    a, b = (first, second) if order == "ab" else (second, first)
    return Vote(principle, order, 0, a, b, mass)


def judged(*votes: Vote) -> Judgement:
    return Judgement(PROMPT, "one", "two", votes)


def test_a_known_pair_of_votes_gives_the_known_label() -> None:
    label = soft_label(judged(vote("ab", 2.0), vote("ba", -1.0)), PreferenceSettings())
    assert label.p_a == pytest.approx(sigmoid(1.5), abs=1e-12)
    assert label.chosen == "one"


@given(LOGIT)
def test_a_judge_that_only_knows_places_gives_exactly_one_half(bias: float) -> None:
    label = soft_label(judged(vote("ab", bias), vote("ba", bias)), PreferenceSettings())
    assert label.p_a == pytest.approx(0.5, abs=1e-9)


@given(LOGIT, LOGIT)
def test_exchanging_the_answers_exchanges_the_label(ab: float, ba: float) -> None:
    one = soft_label(judged(vote("ab", ab), vote("ba", ba)), PreferenceSettings())
    other = soft_label(judged(vote("ab", ba), vote("ba", ab)), PreferenceSettings())
    assert one.p_a + other.p_a == pytest.approx(1.0, abs=1e-9)
    assert one.swap().swap() == one or one.swap().swap().p_a == pytest.approx(one.p_a)


def test_principles_are_averaged_as_probabilities_by_their_weights() -> None:
    votes = judged(vote("ab", 3.0, "x"), vote("ba", -3.0, "x"), vote("ab", -1.0, "y"), vote("ba", 1.0, "y"))
    label = soft_label(votes, PreferenceSettings(), {"x": 3.0, "y": 1.0})
    assert label.p_a == pytest.approx((3 * sigmoid(3) + sigmoid(-1)) / 4, abs=1e-9)


def test_a_vote_without_mass_abstains_and_the_rest_decide() -> None:
    votes = judged(vote("ab", 3.0, "x", 0.1), vote("ba", -3.0, "x", 0.9), vote("ab", -1.0, "y"), vote("ba", 1.0, "y"))
    assert soft_label(votes, PreferenceSettings()).p_a == pytest.approx(sigmoid(-1), abs=1e-9)
    with pytest.raises(ParseError, match="abstained"):
        soft_label(judged(vote("ab", 3.0, mass=0.1), vote("ba", -3.0, mass=0.1)), PreferenceSettings())


def test_a_vote_of_exactly_the_floor_counts_unless_it_is_nothing() -> None:
    least = vote("ab", 0.0, mass=0.5)
    assert usable(least, 0.5) and not usable(least, math.nextafter(0.5, 1.0))
    assert usable(replace(least, mass=1e-9), 0.0) and not usable(replace(least, mass=0.0), 0.0)
    even = judged(vote("ab", 2.0, mass=0.5), vote("ba", -2.0, mass=0.5))
    assert soft_label(even, PreferenceSettings(mass_floor=0.5)).p_a == pytest.approx(sigmoid(2.0), abs=1e-9)


def test_a_missing_order_is_never_guessed() -> None:
    with pytest.raises(ParseError, match="'ba' is missing"):
        soft_label(judged(vote("ab", 3.0)), PreferenceSettings())


def test_clamp_temperature_and_tie_band() -> None:
    strong = judged(vote("ab", 4.0), vote("ba", -4.0))
    assert soft_label(strong, PreferenceSettings(clamp=(0.4, 0.6))).p_a == 0.6
    assert soft_label(strong, PreferenceSettings(temperature=4.0)).p_a == pytest.approx(sigmoid(1.0), abs=1e-9)
    weak = judged(vote("ab", 0.1), vote("ba", -0.1))
    assert soft_label(weak, PreferenceSettings(tie_band=0.05, clamp=(0.1, 0.9))).p_a == 0.5


@pytest.mark.parametrize("band", [0.0, 0.0001, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.45, 0.49, 1 / 3])
def test_the_edges_of_a_tie_band_are_ties_on_both_sides(band: float) -> None:
    for p in (0.5 + band, 0.5 - band, 1.0 - (0.5 + band), 1.0 - (0.5 - band)):
        assert bounded(p, band, None) == 0.5
    for p in (0.5 + band + 1e-6, 0.5 - band - 1e-6):
        assert bounded(p, band, None) == p


@given(LOGIT, LOGIT, st.sampled_from([0.05, 0.1, 0.2]))
def test_a_pair_is_a_tie_whichever_answer_is_a(ab: float, ba: float, band: float) -> None:
    settings = PreferenceSettings(tie_band=band)
    one = soft_label(judged(vote("ab", ab), vote("ba", ba)), settings)
    other = soft_label(judged(vote("ab", ba), vote("ba", ab)), settings)
    assert (one.p_a == 0.5) == (other.p_a == 0.5)


@pytest.mark.parametrize("odds", [1.5, 1 / 1.5])
def test_a_verdict_on_the_edge_is_not_clear_whichever_answer_leads(odds: float) -> None:
    figures = LabelFigures()
    one = judged(vote("ab", math.log(odds)), vote("ba", -math.log(odds)))
    figures.add(one, soft_label(one, PreferenceSettings()))
    assert figures.to_json()["clear"] == 0.0


def test_figures_count_what_was_planted() -> None:
    figures = LabelFigures(mass_floor=0.5)
    for logits in ((2.0, -2.0), (1.0, 1.0), (-3.0, 3.0), (0.5, 0.5)):
        judgement = judged(vote("ab", logits[0]), vote("ba", logits[1]))
        figures.add(judgement, soft_label(judgement, PreferenceSettings()))
    figures.add(judged(vote("ab", 0.0, mass=0.1), vote("ba", 0.0, mass=0.1)), None)
    found = figures.to_json()
    assert (found["pairs"], found["ties"], found["abstained"]) == (5, 2, {"red_team": 1})
    assert found["flip_rate"] == pytest.approx(2 / 4)
    assert (found["clear"], found["clear_flip_rate"]) == (pytest.approx(2 / 4), 0.0)
    assert found["position_bias"] == pytest.approx((1.0 + 0.5) / 4), "of the votes that count"


@pytest.mark.parametrize(("ab", "ba", "flipped"), [(0.0, 1.0, 0), (0.0, -1.0, 0), (1.0, 1.0, 1), (-1.0, -1.0, 1)])
def test_a_flip_does_not_depend_on_which_answer_is_a(ab: float, ba: float, flipped: int) -> None:
    for one in (judged(vote("ab", ab), vote("ba", ba)), judged(vote("ab", ba), vote("ba", ab))):
        figures = LabelFigures()
        figures.add(one, soft_label(one, PreferenceSettings()))
        assert figures.to_json()["flip_rate"] == flipped


def test_verdicts_that_count_for_no_label_are_counted_where_others_make_one() -> None:
    silent = [vote(order, 1.0, f"p{n}", mass=0.01) for n in range(15) for order in ("ab", "ba")]
    one = judged(vote("ab", 1.0), vote("ba", -1.0), *silent)
    figures = LabelFigures(mass_floor=0.5)
    figures.add(one, soft_label(one, PreferenceSettings()))
    found = figures.to_json()
    assert found["abstained"] == {} and found["kinds"]["red_team"] == {
        "pairs": 1, "ties": 0, "abstained": 0, "verdicts": 16, "left_out": 15,
    }  # fmt: skip


def counted(order: str, a: int, b: int, asked: int = 8, sample: int = 0) -> Vote:
    share = (a + 1) / (a + b + 2)
    return Vote("p", order, sample, math.log(share), math.log1p(-share), (a + b) / asked, None, (a, b))  # type: ignore[arg-type]


def test_a_counted_vote_is_the_mean_of_its_beta_posterior() -> None:
    from scipy.stats import beta

    judgement = judged(counted("ab", 6, 2), counted("ba", 6, 2))
    assert soft_label(judgement, PreferenceSettings()).p_a == pytest.approx(beta(7, 3).mean())
    assert beta_variance((6, 2)) == pytest.approx(beta(7, 3).var())
    assert beta_interval((6, 2)) == pytest.approx(beta(7, 3).interval(0.95))
    assert beta_variance((0, 0)) == pytest.approx(1 / 12)


def test_fewer_verdicts_are_less_certain_and_weigh_less_if_wanted() -> None:
    few, many = judged(counted("ab", 1, 0), counted("ba", 1, 0)), judged(counted("ab", 60, 2), counted("ba", 60, 2))
    exact = judged(vote("ab", 2.0), vote("ba", -2.0))
    assert [soft_label(one, PreferenceSettings(mass_floor=0.0)).weight for one in (few, many, exact)] == [1.0, 1.0, 1.0]
    settings = PreferenceSettings(mass_floor=0.0, weight="certainty")
    weights = [soft_label(one, settings).weight for one in (few, many, exact)]
    assert 0 < weights[0] < 0.5 < weights[1] < 1 == weights[2]
    assert weights[0] == pytest.approx(1 - 12 * beta_variance((1, 0)))


def test_a_vote_of_nothing_abstains_whatever_the_floor() -> None:
    with pytest.raises(ParseError, match="no verdict could be read"):
        soft_label(judged(counted("ab", 0, 0), counted("ba", 3, 0)), PreferenceSettings(mass_floor=0.0))


def test_samples_are_averaged_within_their_principle_before_weights_apply() -> None:
    votes = []
    for sample, logit in enumerate((3.0, 1.0)):
        votes += [replace(vote("ab", logit, "x"), sample=sample), replace(vote("ba", -logit, "x"), sample=sample)]
    votes += [vote("ab", -1.0, "y"), vote("ba", 1.0, "y")]
    label = soft_label(judged(*votes), PreferenceSettings(), {"x": 1.0, "y": 3.0})
    assert label.p_a == pytest.approx(((sigmoid(3) + sigmoid(1)) / 2 + 3 * sigmoid(-1)) / 4, abs=1e-9)


def test_abstentions_are_counted_by_kind_and_by_reason() -> None:
    figures = LabelFigures()
    helpful = Prompt.make((user("help"),), "helpful")
    low = judged(vote("ab", 1.0, mass=0.1), vote("ba", 1.0, mass=0.1))
    unread = judged(counted("ab", 0, 0), counted("ba", 0, 0))
    good = judged(vote("ab", 1.0), vote("ba", -1.0))
    for judgement in (low, low, unread, good, replace(good, prompt=helpful)):
        try:
            figures.add(judgement, soft_label(judgement, PreferenceSettings()))
        except ParseError:
            figures.add(judgement, None)
    said_no = judged(replace(counted("ab", 0, 0), refused=True), counted("ba", 0, 0))
    with pytest.raises(ParseError, match="the judge refused"):
        soft_label(said_no, PreferenceSettings())
    figures.add(said_no, None)
    figures.add_unanswered("helpful", "not answered")
    figures.add_unanswered("red_team", "not answered")
    found = figures.to_json()
    assert found["abstained"] == {"helpful": 1, "red_team": 5} and found["pairs"] == 8
    assert found["abstained_why"] == {
        "low mass": {"red_team": 2}, "not answered": {"helpful": 1, "red_team": 1}, "refused": {"red_team": 1},
        "unparsed": {"red_team": 1},
    }  # fmt: skip
    assert found["kinds"]["red_team"] == {
        "pairs": 6, "ties": 0, "abstained": 5, "verdicts": 5, "left_out": 2,
    }  # fmt: skip
    assert found["mean_p_chosen"] == pytest.approx(sigmoid(1.0))
    assert found["sampled"]["votes"] == 4 and found["sampled"]["interval_width"] == pytest.approx(0.95)
