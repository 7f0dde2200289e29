"""Recording conditions: functions of their arguments, audible, and nothing moves in time."""

import numpy as np
import pytest

from datamodules.recording_conditions import RecordingConditions

CLEAN = {"reverberation": 0.0, "colour": 0.0, "noise": 0.0}


def bursts(seed: int = 0) -> np.ndarray:
    """A second with a loud burst of noise every quarter."""
    audio = np.zeros(16_000, np.float32)
    for start in range(2_000, 16_000, 4_000):
        audio[start : start + 800] = 0.3 * np.random.default_rng(seed).standard_normal(800)
    return audio


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64))))


def test_the_same_draw_gives_the_same_sound_and_leaves_the_original_alone() -> None:
    audio, before = bursts(), bursts()
    heard = [RecordingConditions()(audio, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(heard[0], heard[1]) and not np.array_equal(heard[0], heard[2])
    assert np.array_equal(audio, before)
    assert all(h.dtype == np.float32 and h.shape == audio.shape and np.abs(h).max() <= 1 for h in heard)


def test_without_any_condition_only_the_level_changes() -> None:
    audio = bursts()
    heard = RecordingConditions(**CLEAN)(audio, np.random.default_rng(0))
    assert np.corrcoef(heard, audio)[0, 1] > 0.9999
    assert -38.01 < level_db(heard) < -13.99


@pytest.mark.parametrize("kind", ["reverberation", "colour", "noise"])
def test_each_condition_is_heard_and_moves_nothing(kind: str) -> None:
    audio = bursts()
    for seed in range(5):
        heard = RecordingConditions(**{**CLEAN, kind: 1.0}, snr_db=(6, 20))(audio, np.random.default_rng(seed))
        assert np.corrcoef(heard, audio)[0, 1] < 0.9999
        envelopes = [np.abs(sound).reshape(-1, 80).mean(1) for sound in (heard, audio)]
        lags = range(-4, 5)
        match = [np.corrcoef(np.roll(envelopes[0], -lag), envelopes[1])[0, 1] for lag in lags]
        assert lags[int(np.argmax(match))] == 0  # within 5 ms


def test_noise_has_the_ratio_that_was_asked_for() -> None:
    audio = bursts()
    for seed in range(6):
        heard = RecordingConditions(**{**CLEAN, "noise": 1.0}, snr_db=(10, 10))(audio, np.random.default_rng(seed))
        gain = float(np.dot(heard, audio) / np.dot(audio, audio))
        assert level_db(gain * audio) - level_db(heard - gain * audio) == pytest.approx(10, abs=1.0)


def test_silence_stays_finite() -> None:
    heard = RecordingConditions(1.0, 1.0, 1.0)(np.zeros(3_200, np.float32), np.random.default_rng(0))
    assert np.isfinite(heard).all()
