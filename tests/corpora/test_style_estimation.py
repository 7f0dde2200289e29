"""Planted styles are found again in the motion that they made."""

from dataclasses import replace

import numpy as np
import pytest

from corpora.performance import motion_for
from corpora.sentences import draw_sentences
from corpora.speaker_style import ExpressionStyle, PoseHabit, VoiceStyle, draw_speaker, style_ranges
from corpora.style_estimation import SpokenMotion, estimate_style
from corpora.synthetic import speak

# How far an estimate may lie from what was planted, as a share of the range that styles are drawn from.
TOLERANCE = 0.15
UNSEEN = {"blink_rate_per_min", "blink_duration_s", "gaze_activity", "emotion_gain"}
SCALED = {"brow_activity"}  # a deviation that is proportional to the parameter


@pytest.fixture(scope="module")
def spoken():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    return [(sentence, speak(VoiceStyle(), sentence)) for sentence in draw_sentences(6, [0, 3, 1])]


def clips_of(spoken, style: ExpressionStyle) -> list[SpokenMotion]:
    found = []
    for number, (sentence, utterance) in enumerate(spoken):
        motion = motion_for(utterance, sentence, style, PoseHabit(), seed=number)
        found.append(SpokenMotion(motion.expression, utterance.phonemes))
    return found


@pytest.mark.parametrize("name", sorted(set(style_ranges(ExpressionStyle)) - UNSEEN - SCALED))
def test_each_parameter_is_found_where_it_is_planted(spoken, name):
    low, high = style_ranges(ExpressionStyle)[name]
    for planted in (low + 0.2 * (high - low), low + 0.8 * (high - low)):
        estimate = estimate_style(clips_of(spoken, replace(ExpressionStyle(), **{name: planted})))[name]
        assert abs(estimate - planted) < TOLERANCE * (high - low)


def test_every_parameter_that_neutral_speech_shows_is_estimated(spoken):
    assert set(estimate_style(clips_of(spoken, ExpressionStyle()))) == set(style_ranges(ExpressionStyle)) - UNSEEN


def test_more_active_brows_have_a_larger_estimate(spoken):
    calm, lively = (
        estimate_style(clips_of(spoken, replace(ExpressionStyle(), brow_activity=value)))["brow_activity"]
        for value in (0.5, 1.5)
    )
    assert lively > 2 * calm


def test_a_change_of_one_parameter_leaves_the_estimates_of_the_others(spoken):
    """Amplitude, preference and upper lip share coefficients; their estimates must not."""
    base = estimate_style(clips_of(spoken, ExpressionStyle()))
    louder = estimate_style(clips_of(spoken, replace(ExpressionStyle(), mouth_amplitude=1.3)))
    for name in ("jaw_preference", "upper_lip_gain", "width_gain", "rest_smile", "rest_brow"):
        assert louder[name] == pytest.approx(base[name], abs=0.05)


def test_a_still_face_has_no_gains_and_no_ratios_of_them(spoken):
    still = [
        SpokenMotion(np.zeros_like(clip.expression), clip.phonemes) for clip in clips_of(spoken, ExpressionStyle())
    ]
    found = estimate_style(still)
    assert found["mouth_amplitude"] == 0 and np.isnan(found["upper_lip_gain"]) and np.isnan(found["mouth_asymmetry"])


def test_no_clip_is_refused():
    with pytest.raises(ValueError, match="no clip"):
        estimate_style([])


def test_estimates_of_drawn_speakers_follow_their_styles(spoken):
    speakers = [draw_speaker(3, index) for index in range(10)]
    found = [estimate_style(clips_of(spoken, speaker.expression)) for speaker in speakers]
    for name in found[0]:
        planted = [getattr(speaker.expression, name) for speaker in speakers]
        assert np.corrcoef(planted, [estimate[name] for estimate in found])[0, 1] > 0.8, name
