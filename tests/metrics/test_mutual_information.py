"""Mutual information: known values, bounds, bias and the control."""

import math

import numpy as np
import pytest

from metrics.checks import MetricError
from metrics.mutual_information import information_about, miller_madow, mutual_information


def slow_information(first: np.ndarray, second: np.ndarray) -> float:
    total = 0.0
    for a in set(first.tolist()):
        for b in set(second.tolist()):
            joint = np.mean((first == a) & (second == b))
            if joint:
                total += joint * math.log(joint / (np.mean(first == a) * np.mean(second == b)))
    return total


def test_it_agrees_with_the_sum_over_all_pairs_and_is_symmetric() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 300)
    second = (first + rng.integers(0, 3, 300)) % 7
    assert mutual_information(first, second) == pytest.approx(slow_information(first, second), abs=1e-12)
    assert mutual_information(second, first) == pytest.approx(mutual_information(first, second), abs=1e-12)


def test_equal_labels_tell_their_entropy_and_a_constant_nothing() -> None:
    labels = np.repeat(np.arange(4) * 100, 25)
    assert mutual_information(labels, labels) == pytest.approx(math.log(4))
    assert mutual_information(labels, np.zeros_like(labels)) == pytest.approx(0, abs=1e-12)


def test_miller_madow_takes_off_most_of_what_independent_labels_seem_to_tell() -> None:
    rng = np.random.default_rng(1)
    values = [(rng.integers(0, 20, 2000), rng.integers(0, 20, 2000)) for _ in range(20)]
    plug_in = np.mean([mutual_information(*pair) for pair in values])
    corrected = np.mean([miller_madow(*pair) for pair in values])
    assert plug_in > 0.07 and abs(corrected) < 0.1 * plug_in


def test_the_excess_is_what_alignment_in_time_adds() -> None:
    rng = np.random.default_rng(2)
    # Each clip has labels of its own, so knowing the clip tells much; in the second set frames are aligned besides.
    units = [rng.integers(0, 8, 200) + 8 * clip for clip in range(6)]
    apart = [rng.integers(0, 8, 200) + 8 * clip for clip in range(6)]
    unaligned = information_about(units, apart)
    assert unaligned.plug_in > math.log(6) and abs(unaligned.excess) < 4 * unaligned.rotated_deviation
    aligned = information_about(units, [clip // 2 for clip in units])
    assert aligned.excess > 20 * aligned.rotated_deviation and aligned.plug_in == pytest.approx(aligned.entropy)
    assert information_about(units, apart, seed=3) == information_about(units, apart, seed=3)


def test_slow_labels_that_do_not_know_of_each_other_have_no_excess() -> None:
    """Labels that stay for a while meet again and again; shuffled one by one they would not, and chance would look like alignment."""
    rng = np.random.default_rng(4)
    slow = [[np.repeat(rng.integers(0, 12, 40), 5) for _ in range(20)] for _ in range(2)]
    found = information_about(*slow)
    frames_shuffled = [rng.permutation(clip) for clip in slow[0]]
    weak = mutual_information(np.concatenate(frames_shuffled), np.concatenate(slow[1]))
    assert abs(found.excess) < 4 * found.rotated_deviation
    assert found.plug_in - weak > 4 * found.rotated_deviation
    assert information_about([np.arange(3)], [np.arange(3)]).rotated == pytest.approx(math.log(3))


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricError, match="equally long"):
        information_about([np.zeros(3, int)], [np.zeros(4, int)])
    with pytest.raises(MetricError, match="N > 0"):
        mutual_information(np.zeros(0, int), np.zeros(0, int))
