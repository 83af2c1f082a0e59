"""The soft-label experiment is what it says: noise of the stated size, calibrated votes, planted figures found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from cai.embedded import weights_path
from cai.embedded.evaluate import expected_calibration_error
from cai.models import load_model
from cai.preferences import sigmoid
from cai.recipe import EngineSettings, PreferenceSettings, RewardSettings
from cai.records import Judgement, Vote
from tests.benchmarks.bench_soft_labels import (
    Claim,
    Spread,
    claims,
    figures,
    fitted_temperature,
    right_by_sureness,
    rows,
    table,
)
from tests.benchmarks.noisy_judge import Noise, Pair, draw_pairs, error_rate, exchange, labels, reasoned
from tests.benchmarks.soft_label_runs import DESIGNS, Design, drawn, forecasts, run_seed


def certain(pairs: list[Pair], strength: float = 12.0, principles: int = 1) -> list[Judgement]:
    """A judge that is right and sure under so many principles, and leans to what stands first."""
    found = []
    for pair in pairs:
        votes = tuple(
            Vote(wording.id, order, 0, -0.1 if one > 0 else one - 0.1, -0.1 if one < 0 else -one - 0.1, 0.9)
            for wording, side in pair.sides[:principles]
            for order, lean in (("ab", 3), ("ba", -3))
            for one in ((strength if side == "a" else -strength) + lean,)
        )
        found.append(Judgement(pair.prompt, pair.a, pair.b, votes))
    return found


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return draw_pairs(600, "train", Random(1))


@pytest.mark.parametrize("rate", DESIGNS["short"].error_rates)
def test_votes_are_wrong_at_the_stated_rate_and_as_unsure_as_that(pairs: list[Pair], rate: float) -> None:
    clean, draw = certain(pairs), Random(0)
    noise = Noise.making_wrong(rate, clean)
    noisy = [noise.on(one, draw) for one in clean]
    assert error_rate(pairs, clean) == 0
    assert error_rate(pairs, noisy) == pytest.approx(rate, abs=0.04)
    soft = labels(noisy, PreferenceSettings(temperature=noise.temperature))
    first = [pair.sides[0][1] == "a" for pair in pairs]
    assert expected_calibration_error(list(zip(soft, first, strict=True))) < 0.05
    assert fmean(max(p, 1 - p) for p in soft) == pytest.approx(1 - rate, abs=0.04)


def test_noise_moves_log_odds_alone(pairs: list[Pair]) -> None:
    [clean] = certain(pairs[:1])
    moved = Noise(5.0, 1.0).on(clean, Random(0))
    draw = Random(0)
    for before, after in zip(clean.votes, moved.votes, strict=True):
        assert after.logit == pytest.approx(before.logit + draw.gauss(0, 5.0))
        assert after.mass == before.mass


@pytest.mark.parametrize(("shared", "low", "high"), [(True, 0.14, 0.26), (False, 0.0, 0.02)])
def test_errors_of_a_pair_that_its_votes_share_are_in_its_label(
    pairs: list[Pair], shared: bool, low: float, high: float
) -> None:
    agreed = [one for one in pairs if one.share in (0, 1) and len(one.sides) >= 8]
    clean, draw = certain(agreed, principles=16), Random(0)
    noise = Noise.making_wrong(0.2, clean, shared)
    noisy = [noise.on(one, draw) for one in clean]
    assert len(agreed) > 100 and error_rate(agreed, noisy) == pytest.approx(0.2, abs=0.06)
    soft = labels(noisy, PreferenceSettings(temperature=noise.temperature))
    assert low <= fmean((p > 0.5) != bool(one.share) for p, one in zip(soft, agreed, strict=True)) <= high
    if shared:
        assert fmean(max(p, 1 - p) for p in soft) == pytest.approx(0.8, abs=0.04)


def test_a_judge_taken_in_by_length_is_shown_the_longer_answer_as_the_better(pairs: list[Pair]) -> None:
    some = [one for one in pairs if one.share in (0, 1)]
    some = [*[one for one in some if one.shorter == one.sides[0][1]][:2], *[one for one in some if one.shorter][:2]]
    engine = load_model(f"hf/{weights_path()}", EngineSettings(device="cpu"))
    turned = [replace(one, a=one.b, b=one.a) if one.shorter == one.sides[0][1] else one for one in some]
    assert [len(one.a) < len(one.b) for one in some] == [one.shorter == "a" for one in some]
    assert turned[0] != some[0] and turned[1] != some[1]
    taken_in = reasoned(engine, some, "longer", Random(5))
    right = reasoned(engine, turned, 0.0, Random(5))
    assert [one.votes for one in taken_in] == [one.votes for one in right]
    assert [(one.response_a, one.response_b) for one in taken_in] == [(one.a, one.b) for one in some]


def test_the_truth_is_the_share_of_principles() -> None:
    test = drawn(replace(DESIGNS["long"], train=30, calibration=20, test=30), 0)
    assert [len(some) for some in test] == [30, 20, 30]
    assert not {one.prompt.id for one in test.train} & {one.prompt.id for one in test.calibration}
    assert {one.prompt.split for one in test.test} == {"test"}
    assert all(0 <= one.share <= 1 and one.share == fmean(s == "a" for _, s in one.sides) for one in test.train)
    assert any(one.share not in (0, 1) for one in test.train)


def test_exchanged_reasonings() -> None:
    text = "The zoo opens at ten. Response (A) is untrue. Response (B) says nothing untrue."
    swapped = "The zoo opens at ten. Response (A) says nothing untrue. Response (B) is untrue."
    assert exchange(text) == swapped
    assert exchange(exchange(text)) == text
    assert exchange("Both are the same.") == "Both are the same."


def planted(seed: int, noise: float) -> dict[str, object]:
    """Forecasts that are right but for their scale: four times too large, or too small."""
    draw = Random(seed)
    cases = {name: [draw.gauss(0, 2) for _ in range(400)] for name in ("train", "calibration", "test")}
    arms = {
        name: {split: [scale * d + draw.gauss(0, spread) for d in some] for split, some in cases.items()}
        for name, scale, spread in (
            ("soft 0.1", 1, 0),
            ("hard 0.1", 4, noise),
            ("clamped", 0.25, 0),
            ("tempered", 1, 0),
            ("unclamped", 4, 0),
        )
    }
    truth = {name: [sigmoid(d) for d in some] for name, some in cases.items()}
    labels = {name: [sigmoid(d) for d in some["train"]] for name, some in arms.items()}
    return {"arms": arms, "labels": labels, "truth": truth, "errors": {"clean": 0.0}}


def test_rows_find_planted_calibration() -> None:
    seeds = [planted(seed, 0.0) for seed in range(5)]
    assert figures(seeds[0], "hard 0.1")["temperature"] == pytest.approx(4, rel=0.01)
    assert figures(seeds[0], "clamped")["temperature"] == pytest.approx(0.25, rel=0.01)
    assert fitted_temperature([1.0, -1.0], [sigmoid(2), sigmoid(-2)]) == pytest.approx(0.5, rel=0.01)
    noisy, clamped, tempered = claims(["soft 0.1", "hard 0.1", "clamped", "tempered", "unclamped"])
    assert claims([]) == [] and claims(DESIGNS["reasoned"].arms) == [clamped, tempered]
    assert [one.name for one in claims(DESIGNS["converged"].arms)] == ["soft_labels_5", "clamped_labels"]
    ece, fitted, entropy, accuracy, told = rows(noisy, seeds)
    assert told.ours < 1 < 10 < told.theirs and told.name == "soft_labels_10_ece_labels" and told.holds is None
    assert ece.ours < 1 < 10 < ece.theirs and ece.holds is True and ece.name == "soft_labels_10_ece"
    assert abs(fitted.ratio) < 0.5 and fitted.holds is None
    assert entropy.ours < entropy.theirs and entropy.high < 0 and entropy.holds is None
    assert accuracy.ratio == accuracy.low == accuracy.high == 0 and accuracy.holds is True
    assert [one.holds for one in rows(clamped, seeds)] == [False, None, None, True, None]
    assert [one.holds for one in rows(tempered, seeds)] == [True, None, None, True, None]
    assert "soft_labels_10_ece (high < 0) holds" in table([noisy], seeds)


def test_how_often_the_sure_are_right() -> None:
    labels = [0.5, 0.55, 0.4, 0.7, 0.2, 0.9, 0.05, 0.99, 0.01]
    truth = [1.0, 0.0, 1.0, 1.0, 1.0, 0.75, 0.0, 1.0, 0.5]
    assert right_by_sureness(labels, truth) == [0, 50, 100, 100]
    assert "least sure quarter of them first: 100, 100, 100, 100 %" in table(
        [], [planted(seed, 0.0) for seed in range(2)]
    )


def test_a_worse_arm_does_not_hold() -> None:
    seeds = [planted(seed, 12.0) for seed in range(5)]
    ece, _, _, accuracy, _ = rows(Claim("turned", "hard 0.1", "soft 0.1"), seeds)
    assert ece.holds is False and accuracy.holds is False


def test_pairs_with_tokens_that_no_training_pair_has_are_forecast_too() -> None:
    design = replace(DESIGNS["short"], train=2, calibration=6, test=6)
    some = drawn(design, 0)
    calibration, test, losses = forecasts(design, 0, some, [one.share for one in some.train])
    assert len(calibration) == len(test) == 6 and len(losses) > 0 and len({*calibration, *test}) > 6


def test_intervals_are_students() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert spread.mean == 3 and spread.high - 3 == pytest.approx(1.9632, abs=1e-3)


@pytest.mark.slow
def test_a_seed_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    settings = RewardSettings(lr=3e-4, epochs=1.0, batch_size=8, max_length=512, too_long="reject")
    design = Design(12, 6, 8, 2, (0.15,), 0.5, settings, tempered=True)
    whole = run_seed(design, 3, tmp_path)
    assert set(whole["arms"]) == {"soft 0.15", "hard 0.15", "clamped", "tempered", "unclamped"}
    assert set(whole["labels"]["hard 0.15"]) <= {0.0, 1.0}
    assert all(0.4 <= p <= 0.6 for p in whole["labels"]["clamped"])
    path = tmp_path / "seed-3.json"
    cut = json.loads(path.read_text())
    del cut["arms"]["hard 0.15"]
    path.write_text(json.dumps(cut))
    assert run_seed(design, 3, tmp_path) == whole
