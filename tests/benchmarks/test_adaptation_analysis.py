"""What the measurements of adapted people compute: bands of a signal, and correlations over people."""

import numpy as np
import pytest

from benchmarks.rank_contributions import BANDS_HZ, band_shares
from benchmarks.style_recovery import correlations

TIMES = np.arange(100)[:, None] / 25


@pytest.mark.parametrize(
    ("hertz", "band"), [(0.0, "still"), (0.5, "under 1 Hz"), (2.0, "1 to 4 Hz"), (12.5, "over 4 Hz")]
)
def test_a_tone_lies_in_its_band(hertz, band):
    shares = band_shares([np.cos(2 * np.pi * hertz * TIMES)])
    assert shares.keys() == BANDS_HZ.keys()
    assert shares[band] == pytest.approx(1, abs=1e-9) and sum(shares.values()) == pytest.approx(1)


def test_shares_are_of_power_over_all_signals():
    """By Parseval's theorem: a mean of 1 and a sine of amplitude 2 have powers 1 and 2."""
    shares = band_shares([1 + 2 * np.sin(2 * np.pi * 2 * TIMES), np.zeros((7, 1))])
    assert shares["still"] == pytest.approx(1 / 3) and shares["1 to 4 Hz"] == pytest.approx(2 / 3)


def test_estimates_that_follow_the_planted_values_correlate_and_noise_does_not():
    planted = [{"smile": float(value), "brow": float(value)} for value in range(8)]
    noise = np.random.default_rng(0).permutation(8)
    found = correlations(
        planted, [{"smile": 3 - 2 * p["smile"], "brow": float(n)} for p, n in zip(planted, noise, strict=True)]
    )
    assert found["smile"] == pytest.approx((-1, -1, -1))
    r, low, high = found["brow"]
    assert low < r < high and low < 0 < high
