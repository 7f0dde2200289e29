# ruff: noqa: RUF001
import numpy as np
import pytest

from corpora.visemes import CONTROLS, VISEMES, viseme_tracks
from speech.audio import MOTION_FPS
from speech.synthesis import PhonemeEvent


def phonemes(*symbols, length=0.1, start=0.2):
    """Phonemes of equal length with silence around them."""
    events = [PhonemeEvent("_", 0.0, start)]
    for symbol in symbols:
        events.append(PhonemeEvent(symbol, events[-1].end_s, events[-1].end_s + length))
    return [*events, PhonemeEvent("_", events[-1].end_s, events[-1].end_s + 0.3)]


def frames_of(events):
    return int(events[-1].end_s * MOTION_FPS)


def slow_control(events, control, time, coarticulation):
    """Cohen and Massaro's sum, phoneme by phoneme, for symbols of one letter."""
    weighted = total = 0.0
    for p in events:
        viseme = VISEMES[p.symbol]
        gain = 0.85 if viseme.vowel else 1.0
        target = viseme.targets.get(control, 0.0) * gain
        weight = viseme.weight * (viseme.own if control in viseme.targets else 1.0)
        centre, core = (p.start_s + p.end_s) / 2, 0.35 * (p.end_s - p.start_s) / 2
        distance = max(abs(time - centre) - core, 0)
        dominance = weight * np.exp(-28.0 * (1.35 - 0.7 * coarticulation) * distance)
        weighted += dominance * target
        total += dominance
    return weighted / total


def test_controls_agree_with_the_dominance_equation_written_out():
    events = phonemes("s", "a", "ʃ", "u", "f", "i")
    tracks = viseme_tracks(events, frames_of(events), coarticulation=0.3)
    for control in CONTROLS:
        expected = [slow_control(events, control, i / MOTION_FPS, 0.3) for i in range(frames_of(events))]
        np.testing.assert_allclose(tracks[control], expected, atol=1e-5)


@pytest.mark.parametrize("length", [0.02, 0.04, 0.06, 0.11])
@pytest.mark.parametrize("start", [0.2, 0.213, 0.228])
def test_every_bilabial_closes_fully_in_some_frame_however_short_or_placed(length, start):
    events = phonemes("a", "p", "a", length=length, start=start)
    tracks = viseme_tracks(events, frames_of(events))
    closure = events[2]
    times = np.arange(frames_of(events)) / MOTION_FPS
    near = np.abs(times - (closure.start_s + closure.end_s) / 2) < max(length / 2, 0.025)
    assert tracks.bilabial[near].max() == 1
    assert tracks.bilabial[times < closure.start_s - 0.09].max() == 0


def test_a_stop_is_closed_until_its_release_and_not_through_its_burst():
    events = phonemes("a", length=0.2)
    events[1:2] = [
        PhonemeEvent("a", 0.2, 0.4),
        PhonemeEvent("p", 0.4, 0.6, release_s=0.46),
        PhonemeEvent("a", 0.6, 0.8),
    ]
    events[-1] = PhonemeEvent("_", 0.8, 1.0)
    tracks = viseme_tracks(events, 25)
    assert tracks.bilabial[11] == 1  # 0.44 s
    assert tracks.bilabial[14] == 0  # 0.56 s


def test_vowels_show_their_shapes():
    def at_centre(symbol, control):
        events = phonemes("t", symbol, "t", length=0.16)
        return viseme_tracks(events, frames_of(events))[control][round(0.44 * MOTION_FPS)]

    assert at_centre("ɑ", "jaw_open") > 3 * at_centre("i", "jaw_open")
    assert at_centre("u", "pucker") > 0.3 and at_centre("i", "pucker") < 0.01
    assert at_centre("i", "spread") > 0.15 and at_centre("u", "spread") == 0


def test_rounding_begins_before_the_rounded_vowel():
    rounded, plain = (
        viseme_tracks(e, frames_of(e))["pucker"] for e in (phonemes("s", "t", "u"), phonemes("s", "t", "i"))
    )
    during_t = round(0.36 * MOTION_FPS)
    assert rounded[during_t] > 0.05 > plain[during_t]


def test_diphthongs_move_and_diacritics_do_not_matter():
    events = phonemes("aɪ", length=0.3)
    jaw = viseme_tracks(events, frames_of(events))["jaw_open"]
    assert jaw[round(0.28 * MOTION_FPS)] > 1.5 * jaw[round(0.46 * MOTION_FPS)]
    long, short = phonemes("ɑː"), phonemes("ɑ")
    np.testing.assert_array_equal(viseme_tracks(long, 10).controls, viseme_tracks(short, 10).controls)


def test_slurred_speech_moves_less_but_closes_at_the_same_time():
    events = phonemes(*"satabatisuma", length=0.07)
    crisp, slurred = (viseme_tracks(events, frames_of(events), c) for c in (0.0, 1.0))
    assert slurred["jaw_open"].std() < 0.9 * crisp["jaw_open"].std()
    np.testing.assert_array_equal(slurred.bilabial, crisp.bilabial)


def test_all_controls_stay_in_range_for_every_symbol():
    for symbol in VISEMES:
        events = phonemes("a", symbol, "u")
        tracks = viseme_tracks(events, frames_of(events))
        assert np.isfinite(tracks.controls).all()
        assert tracks.controls.min() >= 0 and tracks.controls.max() <= 1
