import math
import warnings

import numpy as np
import pytest
from scipy.stats import norm, t

from metrics import intervals
from metrics.intervals import (
    bootstrap_interval,
    expanded_level,
    paired_reduction,
    speaker_bootstrap,
    speaker_means,
    too_few_speakers,
)

NAMES = [f"speaker{i}" for i in range(40)]


def test_a_speaker_with_many_clips_weighs_no_more_than_another() -> None:
    interval = speaker_bootstrap([1.0] * 9 + [3.0], ["a"] * 9 + ["b"])
    assert interval.mean == 2.0 and interval.speakers == 2


@pytest.mark.parametrize("speakers", [5, 8, 16])
def test_intervals_of_few_speakers_cover_the_true_mean_nearly_as_often_as_they_say(
    speakers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "BEYOND_EACH_END", 5)  # for speed; drawn anew for every world
    worlds = np.random.default_rng(1).normal(size=(600, speakers)).tolist()
    found = [speaker_bootstrap(values, NAMES[:speakers], seed=seed) for seed, values in enumerate(worlds)]
    assert 0.92 <= np.mean([interval.low <= 0 <= interval.high for interval in found]) <= 0.97


def test_the_interval_is_that_of_the_expanded_quantiles_of_all_resamples() -> None:
    values = [0.3, 1.0, 1.1, 2.0, 5.0]
    every = np.sort(np.array(np.meshgrid(*[values] * 5)).reshape(5, -1).mean(0))
    level = norm.cdf(-math.sqrt(5 / 4) * t.ppf(0.975, 4))
    expected = np.quantile(every, [level, 1 - level])
    interval = speaker_bootstrap(values, NAMES[:5])
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.05)
    assert 0.3 < interval.low < np.quantile(every, 0.025) and np.quantile(every, 0.975) < interval.high < 5.0


@pytest.mark.parametrize("speakers", [5, 8, 16, 40])
def test_other_draws_hardly_move_the_ends(speakers: int) -> None:
    values = np.random.default_rng(3).gamma(2, size=speakers).tolist()
    found = np.array([speaker_bootstrap(values, NAMES[:speakers], seed=seed)[1:3] for seed in range(5)])
    assert (found.std(0) < 0.02 * (found[:, 1] - found[:, 0]).mean()).all()
    assert speaker_bootstrap(values, NAMES[:speakers]) == speaker_bootstrap(values, NAMES[:speakers])


def test_with_many_speakers_it_is_the_plain_percentile_interval() -> None:
    assert expanded_level(5) < expanded_level(8) < expanded_level(16) < 0.025
    assert expanded_level(5000) == pytest.approx(0.025, rel=2e-3)


def test_fewer_than_five_speakers_have_no_interval_and_are_told_so() -> None:
    for speakers in range(1, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            interval = speaker_bootstrap([1.0, 2.0, 4.0, 5.0][:speakers], NAMES[:speakers])
        assert math.isnan(interval.low) and math.isnan(interval.high) and interval.speakers == speakers
        assert math.isnan(paired_reduction([1.0] * speakers, [2.0] * speakers, NAMES[:speakers]).low)
    assert too_few_speakers(4) == "an interval needs at least 5 speakers, here are 4" and too_few_speakers(5) == ""


def test_an_infinite_draw_is_an_end_and_one_without_a_value_is_left_out() -> None:
    def some(drawn: np.ndarray) -> np.ndarray:
        return np.where(drawn[:, 0] == 0, np.inf, 1.0)[drawn[:, 1] > 0]

    assert bootstrap_interval(5, some, method="nearest") == (1.0, math.inf)
    assert all(map(math.isnan, bootstrap_interval(5, lambda drawn: np.zeros(0))))


def test_nan_is_not_averaged_away() -> None:
    assert np.isnan(speaker_means([1.0, float("nan")], ["a", "a"])["a"])


def test_reduction_against_a_control_is_a_share_of_the_control() -> None:
    reduction = paired_reduction([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, 10.0], NAMES[:5])
    assert reduction.mean == reduction.low == reduction.high == 0.5


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values for 1 clips"):
        speaker_means([1.0, 2.0], ["a"])
