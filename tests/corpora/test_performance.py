# ruff: noqa: RUF001
import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from corpora.emotions import EMOTIONS
from corpora.performance import motion_for
from corpora.sentences import draw_sentences, parse_marked
from corpora.speaker_style import ExpressionStyle, PoseHabit, VoiceStyle, draw_speaker
from corpora.synthetic import speak
from faces.arkit import ARKIT_INDEX, ARKIT_NAMES
from faces.rotations import axis_angle_to_euler_numpy
from speech.audio import MOTION_FPS, num_motion_frames

SENTENCE = parse_marked("Papa never put my *big blue map above the mop.", "negation")
UPPER_FACE = [i for n, i in ARKIT_INDEX.items() if n.startswith(("brow", "eyeSquint", "eyeWide", "cheek"))]


@pytest.fixture(scope="module")
def utterance():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    return speak(VoiceStyle(), SENTENCE)


def perform(utterance, style=None, habit=None, **options):
    return motion_for(utterance, SENTENCE, style or ExpressionStyle(), habit or PoseHabit(), **options)


def column(motion, name):
    return motion.expression[:, ARKIT_INDEX[name]]


def lip_opening(motion):
    """How far the lips are apart, in units of jawOpen, from the coefficients alone."""
    lips = sum(column(motion, f"mouth{n}{s}") for n in ("LowerDown", "UpperUp") for s in ("Left", "Right"))
    return column(motion, "jawOpen") - column(motion, "mouthClose") + 0.1 * lips


def closures(utterance):
    return [p for p in utterance.phonemes if p.symbol in "pbm"]


def test_a_motion_has_the_length_of_its_audio_and_is_reproducible(utterance):
    motion = perform(utterance, seed=4)
    assert len(motion) == num_motion_frames(len(utterance.audio)) and motion.fps == MOTION_FPS
    assert motion.to_bytes() == perform(utterance, seed=4).to_bytes()
    assert motion.to_bytes() != perform(utterance, seed=5).to_bytes()


@pytest.mark.parametrize("speaker", range(6))
def test_lips_close_on_every_bilabial_in_every_style_and_emotion(utterance, speaker):
    drawn = draw_speaker(0, speaker)
    emotion, intensity = [("neutral", 0), ("happy", 3), ("angry", 3)][speaker % 3]
    opening = lip_opening(perform(utterance, drawn.expression, emotion=emotion, intensity=intensity))
    assert len(closures(utterance)) >= 8
    for p in closures(utterance):
        end = p.end_s if p.release_s is None else p.release_s
        frames = slice(int(p.start_s * MOTION_FPS), int(np.ceil(end * MOTION_FPS)) + 1)
        assert opening[frames].min() < 0.01, p
    assert np.percentile(opening, 90) > 0.1


def test_the_mouth_opens_on_open_vowels_and_rounds_on_u(utterance):
    motion = perform(utterance)
    for p in utterance.phonemes:
        middle = round((p.start_s + p.end_s) / 2 * MOTION_FPS)
        if p.symbol in ("ɑː", "æ") and p.end_s - p.start_s > 0.1:
            assert lip_opening(motion)[middle] > 0.2, p
        if p.symbol == "uː":
            assert column(motion, "mouthPucker")[middle - 1 : middle + 2].max() > 0.3


def test_coefficients_are_in_range_and_only_contacts_and_blinks_are_fast():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    for index, sentence in enumerate(draw_sentences(8, seed=9)):
        speaker = draw_speaker(2, index)
        feeling = ["neutral", *itertools.islice(EMOTIONS, 1, None)][index % 5]
        intensity = 0 if feeling == "neutral" else 3
        spoken = speak(speaker.voice, sentence, feeling, intensity)
        motion = motion_for(spoken, sentence, speaker.expression, speaker.pose, feeling, intensity, index)
        assert motion.expression.min() >= 0 and motion.expression.max() <= 1
        jumps = dict(zip(ARKIT_NAMES, np.abs(np.diff(motion.expression, axis=0)).max(0), strict=True))
        for name, jump in jumps.items():
            slow = name.startswith(("brow", "cheek", "nose", "eyeSquint", "mouthDimple"))
            assert jump < (0.2 if slow else 0.75), (name, jump)
        degrees_per_frame = np.degrees(np.abs(np.diff(motion.head, axis=0))).max()
        assert degrees_per_frame < 6


def test_two_styles_of_the_same_speech_close_the_lips_together_but_differ_in_size_and_upper_face(utterance):
    first, second = (
        perform(utterance, draw_speaker(0, 0).expression, seed=1),
        perform(utterance, draw_speaker(0, 5).expression, seed=1),
    )
    closed_first, closed_second = (lip_opening(m) < 0.03 for m in (first, second))
    assert closed_first.sum() > 5
    # Every frame closed by one is closed by the other, but for one frame at the edges.
    assert (closed_first & ~binary_dilation(closed_second)).sum() == 0
    assert (closed_second & ~binary_dilation(closed_first)).sum() <= 2
    difference = np.abs(first.expression - second.expression)
    assert difference[:, UPPER_FACE].mean() > 0.03
    assert not 0.9 < np.percentile(lip_opening(first), 90) / np.percentile(lip_opening(second), 90) < 1.1


@pytest.mark.parametrize(
    ("field", "measure"),
    [
        ("mouth_amplitude", lambda m: np.percentile(lip_opening(m), 90)),
        ("rounding_gain", lambda m: np.percentile(column(m, "mouthPucker"), 95)),
        ("brow_asymmetry", lambda m: (column(m, "browOuterUpLeft") - column(m, "browOuterUpRight")).mean()),
        ("brow_activity", lambda m: column(m, "browInnerUp").std() + column(m, "browDownLeft").std()),
        ("rest_smile", lambda m: np.median(column(m, "mouthSmileLeft") - column(m, "mouthFrownLeft"))),
        ("rest_squint", lambda m: np.median(column(m, "eyeSquintLeft"))),
        (
            "mouth_asymmetry",
            lambda m: (column(m, "mouthLowerDownLeft") - column(m, "mouthLowerDownRight")).mean(),
        ),
    ],
)
def test_style_parameters_show_in_simple_statistics_of_12_speakers(utterance, field, measure):
    styles = [draw_speaker(3, index).expression for index in range(12)]
    planted = [getattr(style, field) for style in styles]
    found = [measure(perform(utterance, style, seed=index)) for index, style in enumerate(styles)]
    assert np.corrcoef(planted, found)[0, 1] > 0.8


def test_a_negation_shakes_the_head_far_beyond_its_base_rate():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    habit = PoseHabit(shake_deg=8)

    def yaw_reversal(text, seed):
        sentence = parse_marked(text)
        spoken = speak(VoiceStyle(), sentence)
        head = motion_for(spoken, sentence, ExpressionStyle(), habit, seed=seed).head
        return np.abs(np.diff(axis_angle_to_euler_numpy(head)[:, 1], 2)).max()

    plain = [yaw_reversal("The baker will open the shop.", seed) for seed in range(8)]
    negated = [yaw_reversal("The baker won't open the shop.", seed) for seed in range(8)]
    assert np.min(negated) > 2 * np.max(plain)


def test_a_stress_nods_with_the_habit_s_depth(utterance):
    shallow, deep = (perform(utterance, habit=PoseHabit(nod_deg=n), seed=3) for n in (0.0, 8.0))
    pitch = [axis_angle_to_euler_numpy(m.head)[:, 0] for m in (shallow, deep)]
    assert 6 < np.degrees(pitch[1] - pitch[0]).max() < 10


def test_emotions_act_on_the_face_in_proportion_to_their_intensity(utterance):
    def smile(intensity):
        return column(perform(utterance, emotion="happy", intensity=intensity), "mouthSmileLeft").mean()

    neutral = column(perform(utterance), "mouthSmileLeft").mean()
    assert neutral + 0.05 < smile(1) < smile(2) < smile(3)
    assert column(perform(utterance, emotion="angry", intensity=3), "browDownLeft").mean() > 0.4
    assert column(perform(utterance, emotion="surprised", intensity=3), "eyeWideLeft").mean() > 0.4
    assert column(perform(utterance, emotion="sad", intensity=3), "mouthFrownLeft").mean() > 0.2


def test_wrong_labels_are_refused(utterance):
    with pytest.raises(ValueError, match="bored"):
        perform(utterance, emotion="bored", intensity=1)
    with pytest.raises(ValueError, match="neutral at 0"):
        perform(utterance, emotion="neutral", intensity=2)
    with pytest.raises(ValueError, match="not the one spoken"):
        motion_for(utterance, replace(SENTENCE, text="Else."), ExpressionStyle(), PoseHabit())
