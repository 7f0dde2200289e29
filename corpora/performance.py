"""A spoken sentence performed by a synthetic face: visemes, gestures and emotion composed in a person's style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpora import gestures
from corpora.emotions import EMOTIONS, INTENSITY_SHARE, Emotion
from corpora.sentences import Sentence
from corpora.speaker_style import ExpressionStyle, PoseHabit
from corpora.visemes import VisemeTracks, viseme_tracks
from faces.arkit import ARKIT_INDEX, NUM_ARKIT
from faces.motion import FaceMotion
from speech.audio import num_motion_frames
from speech.synthesis import Utterance

_LIMIT_FROM = 0.65
_EMOTION_HZ = 0.3
_LIP_OPENERS = ("mouthLowerDown*", "mouthUpperUp*", "mouthFunnel", "mouthShrugUpper", "mouthShrugLower")


def motion_for(
    utterance: Utterance,
    sentence: Sentence,
    style: ExpressionStyle,
    habit: PoseHabit,
    emotion: str = "neutral",
    intensity: int = 0,
    seed: int | Sequence[int] = 0,
    identity: Sequence[float] = (),
) -> FaceMotion:
    """The true motion of a person speaking this utterance: ARKit space, 25 fps, `num_motion_frames(len(utterance.audio))` frames.

    `sentence` must be the one that was spoken (its tags place the gestures); `intensity` is 0 (neutral) to 3; `identity` holds
    coefficients of the procedural head. With the same seed two styles share the noise, so they differ only by style.
    Raises `ValueError` for an unknown emotion or intensity, or a sentence that is not the utterance's.
    """
    if sentence.text != utterance.text:
        raise ValueError(f"the sentence {sentence.text!r} is not the one spoken, {utterance.text!r}")
    if emotion not in EMOTIONS or intensity not in INTENSITY_SHARE or (emotion == "neutral") != (intensity == 0):
        raise ValueError(
            f"emotion {emotion!r} at intensity {intensity!r}; expected neutral at 0 or one of {list(EMOTIONS)[1:]} at 1..3"
        )
    frames = num_motion_frames(len(utterance.audio))
    head_rng, face_rng, blink_rng, gaze_rng = np.random.default_rng(seed).spawn(4)
    cues = gestures.speech_cues(utterance, sentence)
    energy = gestures.speech_energy(utterance.audio)
    feeling = EMOTIONS[emotion]
    tracks = viseme_tracks(utterance.phonemes, frames, style.coarticulation)
    face = mouth_expression(tracks, style, feeling.scaled(feeling.mouth_gain, intensity))
    face += upper_face_expression(cues, energy, style, face_rng)
    face += _emotional_expression(feeling, intensity, style, frames, face_rng)
    # Rounded lips cannot smile broadly.
    rounding = np.maximum(tracks["pucker"], tracks["funnel"])[:, None]
    face[:, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]] *= 1 - 0.7 * np.clip(rounding, 0, 1)
    _settle_opposites(face)
    face = _soft_limit(face)
    _add_eyes(face, style, blink_rng, gaze_rng)
    _make_contacts(face, tracks)
    posture = INTENSITY_SHARE[intensity] * feeling.head_pitch_deg
    head = gestures.head_rotation(cues, energy, habit, head_rng, posture)
    return FaceMotion(
        expression=np.clip(face, 0, 1).astype(np.float32),
        head=head,
        identity=np.asarray(identity, np.float32),
        identity_space="procedural" if len(identity) else "",
    )


def mouth_expression(tracks: VisemeTracks, style: ExpressionStyle, opening_gain: float = 1.0) -> np.ndarray:
    """ARKit coefficients [T,52] of the viseme controls in a style, before contacts and limits."""
    face = np.zeros((len(tracks.controls), NUM_ARKIT))
    opening = style.mouth_amplitude * opening_gain
    by_jaw, by_lips = 0.5 + 0.7 * style.jaw_preference, 1.4 - 0.8 * style.jaw_preference
    face[:, ARKIT_INDEX["jawOpen"]] = opening * by_jaw * tracks["jaw_open"]
    face[:, ARKIT_INDEX["mouthFunnel"]] = style.rounding_gain * tracks["funnel"]
    face[:, ARKIT_INDEX["mouthPucker"]] = style.rounding_gain * tracks["pucker"]
    face[:, ARKIT_INDEX["mouthRollLower"]] = tracks["roll_lower"]
    face[:, ARKIT_INDEX["mouthShrugUpper"]] = tracks["shrug_upper"]
    face[:, ARKIT_INDEX["tongueOut"]] = tracks["tongue_out"]
    sided = {
        "mouthLowerDown": opening * by_lips * tracks["lower_lip_down"],
        "mouthUpperUp": opening * by_lips * style.upper_lip_gain * tracks["upper_lip_up"],
        "mouthStretch": style.width_gain * tracks["stretch"],
        "mouthSmile": style.width_gain * tracks["spread"],
    }
    for name, track in sided.items():
        _add_sided(face, name, track, style.mouth_asymmetry)
    # An uneven mouth opens towards its stronger side.
    side = "mouthLeft" if style.mouth_asymmetry > 0 else "mouthRight"
    face[:, ARKIT_INDEX[side]] += 0.6 * abs(style.mouth_asymmetry) * opening * tracks["jaw_open"]
    return face


def upper_face_expression(
    cues: Sequence[gestures.Cue], energy: np.ndarray, style: ExpressionStyle, rng: np.random.Generator
) -> np.ndarray:
    """Resting expression and speech-driven brows [T,52]; `energy` [T] is the loudness of the speech."""
    frames = len(energy)
    face = np.zeros((frames, NUM_ARKIT))
    raised, lowered = gestures.brow_raise(cues, frames)
    wander = 0.08 * gestures.band_limited_noise(frames, 0.5, rng)[:, 0]
    brows = style.rest_brow + style.brow_activity * (raised + wander + 0.08 * energy)
    _add_sided(face, "browOuterUp", np.maximum(brows, 0), style.brow_asymmetry)
    face[:, ARKIT_INDEX["browInnerUp"]] += 0.8 * np.maximum(brows, 0)
    _add_sided(face, "browDown", np.maximum(-brows, 0) + style.brow_activity * lowered, -style.brow_asymmetry)
    smile = style.rest_smile * np.ones(frames)
    _add_sided(face, "mouthSmile", np.maximum(smile, 0), style.mouth_asymmetry)
    _add_sided(face, "mouthFrown", np.maximum(-smile, 0), style.mouth_asymmetry)
    _add_sided(face, "eyeSquint", style.rest_squint * np.ones(frames), 0.0)
    _add_sided(face, "cheekSquint", 0.5 * np.maximum(smile, 0), 0.0)
    return face


def _add_sided(face: np.ndarray, name: str, track: np.ndarray, asymmetry: float) -> None:
    face[:, ARKIT_INDEX[f"{name}Left"]] += (1 + asymmetry) * track
    face[:, ARKIT_INDEX[f"{name}Right"]] += (1 - asymmetry) * track


def _emotional_expression(
    emotion: Emotion, intensity: int, style: ExpressionStyle, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """The emotion's offsets, coming and going slowly around their strength."""
    strength = np.clip(1 + 0.2 * gestures.band_limited_noise(frames, _EMOTION_HZ, rng), 0.5, 1.3)
    return style.emotion_gain * strength * emotion.offsets(intensity)


def _settle_opposites(face: np.ndarray) -> None:
    """Opposite movements of one feature cancel instead of showing together."""
    pairs = [("mouthSmile", "mouthFrown"), ("browOuterUp", "browDown")]
    for first, second in ((a + side, b + side) for a, b in pairs for side in ("Left", "Right")):
        i, j = ARKIT_INDEX[first], ARKIT_INDEX[second]
        difference = face[:, i] - face[:, j]
        face[:, i], face[:, j] = np.maximum(difference, 0), np.maximum(-difference, 0)


def _soft_limit(face: np.ndarray) -> np.ndarray:
    """Identity up to `_LIMIT_FROM`, then bending towards 1; negative values become 0."""
    room = 1 - _LIMIT_FROM
    bent = _LIMIT_FROM + room * np.tanh((face - _LIMIT_FROM) / room)
    return np.maximum(np.where(face > _LIMIT_FROM, bent, face), 0)


def _add_eyes(
    face: np.ndarray, style: ExpressionStyle, blink_rng: np.random.Generator, gaze_rng: np.random.Generator
) -> None:
    frames = len(face)
    blink = gestures.blink_track(frames, style.blink_rate_per_min, style.blink_duration_s, blink_rng)
    to_left, up = gestures.gaze_track(frames, style.gaze_activity, gaze_rng).T
    for side, outward in (("Left", to_left), ("Right", -to_left)):
        lid = face[:, ARKIT_INDEX[f"eyeBlink{side}"]]
        face[:, ARKIT_INDEX[f"eyeBlink{side}"]] = lid + (1 - lid) * blink
        # A closing lid ends what holds the eye open.
        face[:, ARKIT_INDEX[f"eyeWide{side}"]] *= 1 - blink
        face[:, ARKIT_INDEX[f"eyeLookOut{side}"]] = np.maximum(outward, 0)
        face[:, ARKIT_INDEX[f"eyeLookIn{side}"]] = np.maximum(-outward, 0)
        face[:, ARKIT_INDEX[f"eyeLookUp{side}"]] = np.maximum(up, 0)
        face[:, ARKIT_INDEX[f"eyeLookDown{side}"]] = np.maximum(-up, 0)


def _make_contacts(face: np.ndarray, tracks: VisemeTracks) -> None:
    """Close the lips on bilabials and lay the lower lip to the teeth on labiodentals, whatever the style.

    `mouthClose` cancels the lip opening of an equal `jawOpen`; what else opens the lips gives way.
    """
    bilabial, labiodental = tracks.bilabial, tracks.labiodental
    for name in _LIP_OPENERS:
        for each in (name[:-1] + "Left", name[:-1] + "Right") if name.endswith("*") else (name,):
            face[:, ARKIT_INDEX[each]] *= 1 - bilabial
    for side in ("Left", "Right"):
        face[:, ARKIT_INDEX[f"mouthLowerDown{side}"]] *= 1 - labiodental
        face[:, ARKIT_INDEX[f"mouthPress{side}"]] += 0.2 * bilabial
    jaw = face[:, ARKIT_INDEX["jawOpen"]] * (1 - 0.75 * bilabial) * (1 - 0.6 * labiodental)
    face[:, ARKIT_INDEX["jawOpen"]] = jaw
    face[:, ARKIT_INDEX["mouthClose"]] = jaw * np.maximum(bilabial, 0.5 * labiodental)
    roll = face[:, ARKIT_INDEX["mouthRollLower"]]
    face[:, ARKIT_INDEX["mouthRollLower"]] = np.maximum(roll, 0.12 * bilabial + 0.45 * labiodental)
    face[:, ARKIT_INDEX["tongueOut"]] *= 1 - np.maximum(bilabial, labiodental)
