import json

import numpy as np
import pytest

from corpora.speaker_style import (
    NUM_IDENTITY,
    ExpressionStyle,
    PoseHabit,
    VoiceStyle,
    draw_speaker,
    style_ranges,
)
from faces import load_face_model
from speech.synthesis import VOICES


def test_a_speaker_depends_on_seed_and_index_only():
    late = draw_speaker(7, 20)
    [draw_speaker(7, index) for index in range(5)]
    assert draw_speaker(7, 20) == late
    assert draw_speaker(8, 20) != late and draw_speaker(7, 21) != late


def test_the_first_speakers_all_have_different_voices():
    voices = [draw_speaker(0, index).voice.voice for index in range(len(VOICES))]
    assert sorted(voices) == sorted(VOICES) and len(voices) >= 24


@pytest.mark.parametrize("part", ["expression", "pose", "voice"])
def test_drawn_values_fill_their_documented_ranges(part):
    speakers = [draw_speaker(1, index) for index in range(200)]
    for name, (low, high) in style_ranges(type(getattr(speakers[0], part))).items():
        values = np.array([getattr(getattr(s, part), name) for s in speakers])
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high >= values.max() > high - 0.1 * (high - low)


def test_the_average_person_lies_within_the_ranges():
    for style_class in (ExpressionStyle, PoseHabit, VoiceStyle):
        average = style_class()
        for name, (low, high) in style_ranges(style_class).items():
            assert low <= getattr(average, name) <= high


def test_a_speaker_survives_json():
    speaker = draw_speaker(0, 3)
    values = json.loads(json.dumps(speaker.to_dict()))
    assert ExpressionStyle(**values["expression"]) == speaker.expression
    assert PoseHabit(**values["pose"]) == speaker.pose
    assert len(values["identity"]) == NUM_IDENTITY and values["voice"]["voice"] == speaker.voice.voice


def test_identities_fit_the_procedural_head():
    assert load_face_model("procedural").num_identity == NUM_IDENTITY == len(draw_speaker(0, 0).identity)
