"""A synthetic speaker's planted expression style, estimated back from motion of which the phonemes are known.

The estimators invert `corpora.performance` for neutral speech: mouth gains are least-squares fits of coefficients to the viseme tracks of the phonemes
away from lip contacts, resting offsets are medians. What speech does not decide (blinks, gaze) and what neutral speech does not show
(`emotion_gain`) is not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from corpora.visemes import VisemeTracks, viseme_tracks
from faces.arkit import ARKIT_INDEX
from speech.synthesis import PhonemeEvent

# Fractions of `ExpressionStyle.coarticulation` that are tried.
_COARTICULATION = np.linspace(0, 1, 11)
# Coefficients (the mean of both sides for a name ending in "*") that one viseme control moves, by a gain of the style.
_DRIVEN = {
    "jawOpen": "jaw_open",
    "mouthLowerDown*": "lower_lip_down",
    "mouthUpperUp*": "upper_lip_up",
    "mouthStretch*": "stretch",
    "mouthFunnel": "funnel",
    "mouthPucker": "pucker",
}


class SpokenMotion(NamedTuple):
    """ARKit coefficients `expression [T, 52]` at 25 fps of a neutral clip, and the phonemes that were spoken (seconds)."""

    expression: np.ndarray
    phonemes: Sequence[PhonemeEvent]


def estimate_style(clips: Sequence[SpokenMotion]) -> dict[str, float]:
    """Estimates of the fields of `corpora.speaker_style.ExpressionStyle` that neutral speech shows, by name, from all clips of a person together.

    A gain of a coefficient that never moves is 0; ratios of such gains are NaN. Raises `ValueError` without clips.
    """
    if not clips:
        raise ValueError("no clip was given to estimate a style from; give at least one")
    face = np.concatenate([clip.expression for clip in clips]).astype(np.float64)
    fits = [_fit(face, clips, value) for value in _COARTICULATION]
    best = int(np.argmin([residual for residual, _, _ in fits]))
    _, gain, tracks = fits[best]
    jaw, lips = gain["jawOpen"], gain["mouthLowerDown*"]
    opening = 0.8 * jaw + 0.7 * lips  # 1.38 times the amplitude, whatever the preference
    free, calm = tracks["free"], tracks["free"] & (tracks["spread"] < 0.05) & (tracks["rounding"] < 0.1)
    left, right = (
        _gain(_column(face, f"mouthLowerDown{side}"), tracks["lower_lip_down"], free) for side in ("Left", "Right")
    )
    smile = _column(face, "mouthSmile*") - _column(face, "mouthFrown*")
    brows = _column(face, "browOuterUp*") - _column(face, "browDown*")
    return {
        "mouth_amplitude": opening / 1.38,
        "jaw_preference": _ratio(1.4 * jaw - 0.5 * lips, opening),
        "rounding_gain": (gain["mouthFunnel"] + gain["mouthPucker"]) / 2,
        "width_gain": gain["mouthStretch*"],
        "upper_lip_gain": _ratio(gain["mouthUpperUp*"], lips),
        "coarticulation": float(_COARTICULATION[best]),
        "mouth_asymmetry": _ratio(left - right, left + right),
        "brow_asymmetry": _brow_asymmetry(face),
        "rest_smile": float(np.median(smile[calm] if calm.any() else smile)),
        "rest_brow": float(np.median(brows)),
        "rest_squint": float(np.median(_column(face, "eyeSquint*"))),
        "brow_activity": float(brows.std()),
    }


def _fit(
    face: np.ndarray, clips: Sequence[SpokenMotion], coarticulation: float
) -> tuple[float, dict[str, float], dict[str, np.ndarray]]:
    """Unexplained share of the driven coefficients, their gains, and the tracks, for one coarticulation."""
    found = [_tracks(tuple(clip.phonemes), len(clip.expression), float(coarticulation)) for clip in clips]
    tracks = {name: np.concatenate([track[name] for track in found]) for name in {*_DRIVEN.values(), "spread"}}
    tracks["rounding"] = np.maximum(tracks["pucker"], tracks["funnel"])
    tracks["free"] = np.concatenate([_is_free(track) for track in found])
    free, gains, residual = tracks["free"], {}, 0.0
    for name, control in _DRIVEN.items():
        values = _column(face, name)
        gains[name] = _gain(values, tracks[control], free)
        error = values[free] - gains[name] * tracks[control][free]
        residual += float(error @ error) / max(float(values[free] @ values[free]), 1e-12)
    return residual, gains, tracks


# The same sentences are often estimated from several motions: the truth, a prediction.
_tracks = lru_cache(maxsize=1024)(viseme_tracks)


def _is_free(tracks: VisemeTracks) -> np.ndarray:
    """Frames whose mouth no lip contact shapes."""
    return (tracks.bilabial < 0.01) & (tracks.labiodental < 0.01)


def _gain(values: np.ndarray, track: np.ndarray, frames: np.ndarray) -> float:
    power = float(track[frames] @ track[frames])
    return float(values[frames] @ track[frames]) / power if power else 0.0


def _column(face: np.ndarray, name: str) -> np.ndarray:
    if not name.endswith("*"):
        return face[:, ARKIT_INDEX[name]]
    return (face[:, ARKIT_INDEX[name[:-1] + "Left"]] + face[:, ARKIT_INDEX[name[:-1] + "Right"]]) / 2


def _brow_asymmetry(face: np.ndarray) -> float:
    raised, lowered = (
        [float(_column(face, f"{name}{side}").sum()) for side in ("Left", "Right")]
        for name in ("browOuterUp", "browDown")
    )
    # A brow that is lowered less is the one that is raised more.
    return _ratio(raised[0] - raised[1] - lowered[0] + lowered[1], sum(raised) + sum(lowered))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
