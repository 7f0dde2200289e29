import numpy as np
import pytest

from corpora.gestures import (
    Cue,
    band_limited_noise,
    blink_track,
    brow_raise,
    gaze_track,
    head_rotation,
    speech_cues,
)
from corpora.sentences import parse_marked
from corpora.speaker_style import PoseHabit
from faces.rotations import axis_angle_to_euler_numpy
from speech.audio import MOTION_FPS
from speech.synthesis import PhonemeEvent, Utterance, WordEvent

STILL = PoseHabit(
    pitch_range_deg=0, yaw_range_deg=0, roll_range_deg=0, drift_deg=0, energy_deg=0, nod_deg=6, shake_deg=8
)


def rng(seed=0):
    return np.random.default_rng(seed)


def degrees(cues, habit, frames=100, **options):
    return np.degrees(axis_angle_to_euler_numpy(head_rotation(cues, np.ones(frames), habit, rng(), **options)))


def test_noise_has_unit_spread_whatever_its_band_and_the_band_limits_its_speed():
    slow, fast = (band_limited_noise(20000, hz, rng(), 1)[:, 0] for hz in (0.2, 1.0))
    assert slow.std() == pytest.approx(1, abs=0.15) and fast.std() == pytest.approx(1, abs=0.1)
    assert np.diff(fast).std() > 3 * np.diff(slow).std()
    spectrum = np.abs(np.fft.rfft(fast)) ** 2
    frequency = np.fft.rfftfreq(len(fast), 1 / MOTION_FPS)
    assert spectrum[frequency > 3].sum() < 0.01 * spectrum.sum()


def test_a_nod_goes_down_on_the_stress_and_leaves_yaw_and_roll_alone():
    angles = degrees([Cue("stress", 2.0, 1.8, 2.2)], STILL)
    assert abs(int(angles[:, 0].argmax()) - 50) <= 1
    assert 0.8 * 6 < angles[:, 0].max() < 1.2 * 6
    assert np.abs(angles[:, 1:]).max() < 1e-4
    emphasised = degrees([Cue("stress", 2.0, 1.8, 2.2, strength=1.4)], STILL)
    assert emphasised[:, 0].max() == pytest.approx(1.4 * angles[:, 0].max(), rel=1e-3)


def test_a_shake_turns_to_and_fro_during_the_negation_only():
    angles = degrees([Cue("negation", 2.0, 1.8, 2.2)], STILL)
    yaw = angles[:, 1]
    assert yaw.max() > 4 and yaw.min() < -4
    assert np.abs(yaw[: int(1.6 * MOTION_FPS)]).max() < 1e-4 and np.abs(yaw[int(2.8 * MOTION_FPS) :]).max() < 1e-4
    assert np.abs(angles[:, [0, 2]]).max() < 1e-4


def test_the_resting_posture_is_the_habit_s():
    habit = PoseHabit(0, 0, 0, 0.5, 5.0, -7.0, 3.0, drift_deg=0, energy_deg=0)
    np.testing.assert_allclose(degrees([], habit)[0], [5, -7, 3], atol=1e-4)
    assert degrees([], habit, posture_pitch_deg=2.0)[0, 0] == pytest.approx(7, abs=1e-4)


def test_range_scales_the_free_movement_and_keeps_its_course():
    narrow, wide = (
        degrees([], PoseHabit(yaw_range_deg=r, drift_deg=0, energy_deg=0), frames=500)[:, 1] for r in (1, 4)
    )
    assert wide.std() == pytest.approx(4 * narrow.std(), rel=0.02)
    assert np.corrcoef(narrow, wide)[0, 1] > 0.99


def test_blinks_come_at_their_rate_close_fully_and_last_as_long_as_asked():
    track = blink_track(25 * 600, 20, 0.2, rng())
    closed = np.flatnonzero(track == 1)
    count = 1 + int((np.diff(closed) > 1).sum())
    assert 150 < count < 250
    begin = closed[5]
    assert track[begin - 4] == 0 and track[begin + 5] == 0 and 0 < track[begin + 1] < 1
    assert track.min() == 0


def test_gaze_stays_small_and_returns_to_the_listener():
    gaze = gaze_track(5000, 1.0, rng())
    assert np.abs(gaze).max() <= 0.6 and (np.abs(gaze).max(axis=1) < 0.02).mean() > 0.3
    assert gaze_track(5000, 0.3, rng()).std() < 0.5 * gaze.std()


def test_brows_rise_on_stress_and_questions_and_fall_on_negations():
    up, down = brow_raise([Cue("stress", 1.0, 0.9, 1.1), Cue("question", 2.8, 2.7, 3.0)], 100)
    assert up[25] > 0.3 and up[75] > 0.3 and up[50] < 0.1 and down.max() == 0
    assert brow_raise([Cue("negation", 1.0, 0.9, 1.1)], 100)[1].max() > 0.3


def test_cues_find_their_words_and_the_stressed_vowel():
    sentence = parse_marked("Nobody in the *village?", "question")
    utterance = Utterance(
        sentence.text,
        np.zeros(16000, np.float32),
        [PhonemeEvent("i", 0.6, 0.7, stressed=True), PhonemeEvent("i", 0.7, 0.9)],
        [
            WordEvent("Nobody", 0.1, 0.4, 0),
            WordEvent("in the", 0.4, 0.55, 7),
            WordEvent("village", 0.55, 0.9, 14),
        ],
    )
    cues = {cue.kind: cue for cue in speech_cues(utterance, sentence)}
    assert set(cues) == {"negation", "stress", "question"}
    assert cues["negation"].time_s == pytest.approx(0.25)
    assert cues["stress"].time_s == pytest.approx(0.65)
    assert cues["question"].end_s == pytest.approx(0.9)
