import re
from pathlib import Path

import numpy as np
import pytest
from made_up_videos import babble, made_up_track

from corpora.lip_sync import ANTICIPATION_FRAMES, estimate_lag, mouth_signals

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def mouth_for(envelope: np.ndarray, delay: float, seed: int = 1, noise: float = 0.15) -> np.ndarray:
    """A mouth that opens `delay` frames after where a person's would, with some life of its own."""
    frames = np.arange(len(envelope))
    opening = np.interp(frames - delay + ANTICIPATION_FRAMES, frames, envelope)
    return opening[:, None] + noise * np.random.default_rng(seed).normal(size=(len(envelope), 3))


@pytest.mark.parametrize("delay", [-7, -3, -0.5, 0, 1, 2.5, 6])
def test_planted_lag_is_found_with_its_sign_and_confidence(delay):
    audio, envelope = babble(12, seed=2)
    estimate = estimate_lag(audio, mouth_for(envelope, delay), np.ones(len(envelope), bool))
    assert estimate.lag_frames == pytest.approx(delay, abs=0.6)
    assert estimate.reliable and not estimate.foreign_sound


def test_mouth_of_another_sound_is_not_reliable_and_is_called_foreign_only_when_long():
    unreliable, foreign, short_foreign = 0, 0, 0
    for seed in range(12):
        audio, _ = babble(20, seed=seed)
        _, other = babble(20, seed=seed + 100)
        estimate = estimate_lag(audio, mouth_for(other, 0), np.ones(500, bool))
        unreliable += not estimate.reliable
        foreign += estimate.foreign_sound
        short_foreign += estimate_lag(audio[:64_000], mouth_for(other, 0)[:100], np.ones(100, bool)).foreign_sound
    assert unreliable >= 10 and foreign >= 6 and short_foreign == 0


def test_own_sound_is_never_called_foreign():
    for seed in range(12):
        audio, envelope = babble(14, seed=seed)
        estimate = estimate_lag(audio, mouth_for(envelope, seed % 5 - 2, noise=0.25), np.ones(350, bool))
        assert not estimate.foreign_sound


def test_loudness_of_the_recording_does_not_matter():
    audio, envelope = babble(8, seed=5)
    usable = np.ones(200, bool)
    loud = estimate_lag(audio, mouth_for(envelope, 2), usable)
    soft = estimate_lag(0.2 * audio, mouth_for(envelope, 2), usable)
    assert soft.lag_frames == pytest.approx(loud.lag_frames, abs=0.3)


def test_frames_without_a_face_do_not_count():
    audio, envelope = babble(12, seed=4)
    mouth = mouth_for(envelope, 3)
    usable = np.ones(300, bool)
    usable[100:160] = False
    estimate = estimate_lag(audio, mouth, usable)
    assert estimate.seconds == pytest.approx(240 / 25)
    assert estimate.lag_frames == pytest.approx(3, abs=0.7)


def test_too_little_speech_gives_no_estimate():
    audio, envelope = babble(4, seed=4)
    few = np.zeros(100, bool)
    few[:24] = True
    assert estimate_lag(audio, mouth_for(envelope, 0), few) is None
    assert estimate_lag(audio[:6400], mouth_for(envelope, 0), np.ones(100, bool)) is None


def test_signals_follow_the_pictures_times_and_mark_losses():
    times = 0.2 + np.arange(90) / 30
    found = np.ones(90, bool)
    found[30:45] = False
    track = made_up_track(times, opening=0.2 + 0.1 * np.sin(3 * times), found=found)
    signals, usable = mouth_signals(track, 100)
    grid = np.arange(100) / 25
    assert signals.shape == (100, 3)
    assert not usable[:4].any() and not usable[82:].any() and not usable[31:42].any() and usable[45:78].all()
    assert np.abs(signals[usable, 0] - (0.2 + 0.1 * np.sin(3 * grid[usable]))).max() < 0.01


@pytest.mark.real
@pytest.mark.slow
def test_lags_of_real_recordings_agree_with_those_of_a_trained_predictor():
    pytest.importorskip("mediapipe")
    model = SHARED / "data/models/face_landmarker.task"
    if not model.is_file():
        pytest.skip(f"real recordings and tracker model are not in {SHARED}")
    from corpora.tracker import track_video
    from speech.audio import read_audio

    rows = re.findall(
        r"^\| (\w+)\.mp4 \|(?:[^|]*\|){8} ([+-]\d+) \|",
        (SHARED / "data/MANIFEST.md").read_text(),
        re.MULTILINE,
    )
    wanted = {
        "obama_1",
        "obama_4",
        "celebv_2KGP_1",
        "kim_k_1",
        "bob_menendez_1",
        "lrs2_00016_1",
        "zhao_lijian_1",
    }
    chosen = [(name, int(lag)) for name, lag in rows if name in wanted]
    assert len(chosen) == len(wanted)
    for name, lag in chosen:
        path = SHARED / f"data/videos/{name}.mp4"
        audio = read_audio(path)
        estimate = estimate_lag(audio, *mouth_signals(track_video(path, model), len(audio) // 640))
        assert estimate.reliable and abs(estimate.lag_frames - lag) <= 1.0, (name, lag, estimate)
