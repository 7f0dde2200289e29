import numpy as np
import pytest

from metrics.intervals import paired_reduction, speaker_bootstrap, speaker_means


def test_a_speaker_with_many_clips_weighs_no_more_than_another() -> None:
    interval = speaker_bootstrap([1.0] * 9 + [3.0], ["a"] * 9 + ["b"])
    assert interval.mean == 2.0 and interval.speakers == 2


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(30)]
    hits = 0
    for trial in range(200):
        interval = speaker_bootstrap(rng.normal(5, 1, 30).tolist(), names, draws=400, seed=trial)
        hits += interval.low <= 5 <= interval.high
    assert 175 <= hits <= 200


def test_one_speaker_has_no_interval() -> None:
    interval = speaker_bootstrap([1.0, 2.0], ["a", "a"])
    assert interval.mean == 1.5 and np.isnan(interval.low)


def test_nan_is_not_averaged_away() -> None:
    assert np.isnan(speaker_means([1.0, float("nan")], ["a", "a"])["a"])


def test_reduction_against_a_control_is_a_share_of_the_control() -> None:
    reduction = paired_reduction([1.0, 2.0], [2.0, 4.0], ["a", "b"])
    assert reduction.mean == reduction.low == reduction.high == 0.5


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values for 1 clips"):
        speaker_means([1.0, 2.0], ["a"])
