"""From phonemes with times to mouth movement: viseme targets and coarticulation by dominance functions.

Coarticulation follows Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993): phoneme s has for each control a
target T_s and a dominance D_s(t) = a_s exp(-r_s |t - t_s|^c), and the control follows F(t) = sum_s D_s(t) T_s / sum_s D_s(t). Here c is 1,
and the distance is measured from the nearest point of the phoneme's core (its middle part), so that long sounds hold their target.
Lip contacts are not left to the blend: bilabials and labiodentals also give a contact track that reaches 1 in at least one frame.
"""

# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech.audio import MOTION_FPS
from speech.synthesis import SILENCE, PhonemeEvent

CONTROLS = (
    *("jaw_open", "funnel", "pucker", "lower_lip_down", "upper_lip_up", "stretch", "spread"),
    *("roll_lower", "shrug_upper", "tongue_out"),
)
"""Mouth controls of both sides together; `corpora.performance` turns them into ARKit coefficients in a person's style."""

_CONTROL = {name: index for index, name in enumerate(CONTROLS)}
_RATE_PER_S = 28.0
_CORE_SHARE = 0.35
_FIRST_VOWEL_SHARE = 0.55
_CONTACT_RAMP_S = 0.055
# Longer than a motion frame, so that every contact holds for at least one frame.
_SHORTEST_CONTACT_S = 1.1 / MOTION_FPS
_STRESSED_GAIN, _UNSTRESSED_GAIN = 1.15, 0.85


@dataclass(frozen=True)
class Viseme:
    """`targets`: controls away from rest; `weight`: dominance a_s of the controls; `own`: factor on it for the named targets."""

    targets: dict[str, float]
    weight: float = 1.0
    own: float = 1.0
    vowel: bool = False


def _vowel(jaw_open: float, **targets: float) -> Viseme:
    return Viseme({"jaw_open": jaw_open, **targets}, weight=1.0, vowel=True)


_BILABIAL = Viseme({"jaw_open": 0.06}, weight=0.35, own=3.0)
_LABIODENTAL = Viseme({"jaw_open": 0.1, "roll_lower": 0.3, "upper_lip_up": 0.2}, weight=0.35, own=3.0)
_POSTALVEOLAR = Viseme(
    {"jaw_open": 0.08, "funnel": 0.5, "pucker": 0.15, "lower_lip_down": 0.22, "upper_lip_up": 0.15},
    weight=0.6,
    own=2.0,
)
_SIBILANT = Viseme(
    {"jaw_open": 0.05, "lower_lip_down": 0.28, "upper_lip_up": 0.12, "stretch": 0.22}, weight=0.5, own=1.8
)
_DENTAL = Viseme({"jaw_open": 0.14, "tongue_out": 0.35, "lower_lip_down": 0.22}, weight=0.4, own=1.8)
_ALVEOLAR = Viseme({"jaw_open": 0.11, "lower_lip_down": 0.18}, weight=0.35)
_VELAR = Viseme({"jaw_open": 0.18}, weight=0.3)
_GLOTTAL = Viseme({"jaw_open": 0.2}, weight=0.05)
_RHOTIC = Viseme({"jaw_open": 0.14, "funnel": 0.35, "pucker": 0.25}, weight=0.4, own=1.8)
_LABIOVELAR = Viseme({"jaw_open": 0.09, "funnel": 0.2, "pucker": 0.62}, weight=0.7, own=2.5)
_SILENCE = Viseme({"jaw_open": 0.0}, weight=0.6)

_CLOSE_FRONT = _vowel(0.12, lower_lip_down=0.26, upper_lip_up=0.14, stretch=0.3, spread=0.35)
_NEAR_FRONT = _vowel(0.17, lower_lip_down=0.25, upper_lip_up=0.13, stretch=0.22, spread=0.2)
_MID_FRONT = _vowel(0.28, lower_lip_down=0.28, upper_lip_up=0.16, stretch=0.24, spread=0.15)
_OPEN_FRONT = _vowel(0.44, lower_lip_down=0.32, upper_lip_up=0.18, stretch=0.18, spread=0.08)
_OPEN_BACK = _vowel(0.48, lower_lip_down=0.26, upper_lip_up=0.12)
_OPEN_ROUND = _vowel(0.4, lower_lip_down=0.2, funnel=0.35)
_MID_CENTRAL = _vowel(0.32, lower_lip_down=0.22, upper_lip_up=0.1)
_SCHWA = _vowel(0.18, lower_lip_down=0.18, upper_lip_up=0.06)
_RHOTIC_VOWEL = _vowel(0.22, lower_lip_down=0.15, funnel=0.32, pucker=0.1)
_MID_ROUND = _vowel(0.3, funnel=0.45, pucker=0.2)
_CLOSE_ROUND = _vowel(0.13, funnel=0.25, pucker=0.55)

VISEMES: dict[str, Viseme] = {
    **dict.fromkeys("pbm", _BILABIAL),
    **dict.fromkeys("fv", _LABIODENTAL),
    **dict.fromkeys("θð", _DENTAL),
    **dict.fromkeys("tdnɾ", _ALVEOLAR),
    **dict.fromkeys("lɫ", Viseme({"jaw_open": 0.18, "tongue_out": 0.08, "lower_lip_down": 0.18}, weight=0.4)),
    **dict.fromkeys("sz", _SIBILANT),
    **dict.fromkeys("ʃʒ", _POSTALVEOLAR),
    **dict.fromkeys("ɹrɻ", _RHOTIC),
    **dict.fromkeys("wʍ", _LABIOVELAR),
    "j": Viseme({"jaw_open": 0.11, "stretch": 0.25, "spread": 0.3}, weight=0.5),
    **dict.fromkeys("kɡgŋx", _VELAR),
    **dict.fromkeys("hʔ", _GLOTTAL),
    **dict.fromkeys("iy", _CLOSE_FRONT),
    **dict.fromkeys("ɪᵻɨ", _NEAR_FRONT),
    **dict.fromkeys("eɛ", _MID_FRONT),
    **dict.fromkeys("æa", _OPEN_FRONT),
    "ɑ": _OPEN_BACK,
    "ɒ": _OPEN_ROUND,
    **dict.fromkeys("ʌɐ", _MID_CENTRAL),
    "ə": _SCHWA,
    **dict.fromkeys("ɜɚɝ", _RHOTIC_VOWEL),
    **dict.fromkeys("ɔo", _MID_ROUND),
    **dict.fromkeys("uʊʉ", _CLOSE_ROUND),
    SILENCE: _SILENCE,
}
BILABIALS = frozenset("pbm")
LABIODENTALS = frozenset("fv")


@dataclass(frozen=True, eq=False)
class VisemeTracks:
    """Per frame i, at time i / 25 s: `controls` [T, len(CONTROLS)], `bilabial` [T] and `labiodental` [T] contact, 0 to 1, float32."""

    controls: np.ndarray
    bilabial: np.ndarray
    labiodental: np.ndarray

    def __getitem__(self, control: str) -> np.ndarray:
        return self.controls[:, _CONTROL[control]]


@dataclass(frozen=True)
class _Segment:
    viseme: Viseme
    start_s: float
    end_s: float
    gain: float


def viseme_tracks(phonemes: Sequence[PhonemeEvent], num_frames: int, coarticulation: float = 0.4) -> VisemeTracks:
    """Mouth movement for phonemes; `coarticulation` 0 (crisp) to 1 (slurred) slows the dominance functions.

    Lip contacts do not depend on it: closures come with the sound in every style.
    """
    times = np.arange(num_frames) / MOTION_FPS
    segments = [segment for phoneme in phonemes for segment in _segments(phoneme)]
    starts, ends = (np.array([getattr(s, name) for s in segments]) for name in ("start_s", "end_s"))
    targets, weights = np.zeros((2, len(segments), len(CONTROLS)))
    for row, segment in enumerate(segments):
        weights[row] = segment.viseme.weight
        for name, value in segment.viseme.targets.items():
            targets[row, _CONTROL[name]] = value * segment.gain
            weights[row, _CONTROL[name]] *= segment.viseme.own
    half_core = _CORE_SHARE * (ends - starts) / 2
    distance = np.maximum(np.abs(times[:, None] - (starts + ends) / 2) - half_core, 0)
    decay = np.exp(-_RATE_PER_S * (1.35 - 0.7 * coarticulation) * distance)
    # A frame far from everything must not divide by nothing.
    total = np.maximum(decay @ weights, 1e-12)
    controls = (decay @ (weights * targets)) / total
    return VisemeTracks(
        controls.astype(np.float32),
        _contact([_contact_interval(p) for p in phonemes if p.symbol in BILABIALS], times),
        _contact([_contact_interval(p) for p in phonemes if p.symbol in LABIODENTALS], times),
    )


def _segments(phoneme: PhonemeEvent) -> list[_Segment]:
    """One segment for each letter that has a viseme: diphthongs and affricates move from one to the next."""
    visemes = [VISEMES[letter] for letter in phoneme.symbol if letter in VISEMES] or [_SCHWA]
    length = phoneme.end_s - phoneme.start_s
    shares = [1.0] if len(visemes) == 1 else [_FIRST_VOWEL_SHARE]
    shares += [(1 - shares[0]) / max(len(visemes) - 1, 1)] * (len(visemes) - 1)
    segments, start = [], phoneme.start_s
    for viseme, share in zip(visemes, shares, strict=True):
        gain = (_STRESSED_GAIN if phoneme.stressed else _UNSTRESSED_GAIN) if viseme.vowel else 1.0
        segments.append(_Segment(viseme, start, start + share * length, gain))
        start += share * length
    return segments


def _contact_interval(phoneme: PhonemeEvent) -> tuple[float, float]:
    return phoneme.start_s, phoneme.end_s if phoneme.release_s is None else phoneme.release_s


def _contact(intervals: list[tuple[float, float]], times: np.ndarray) -> np.ndarray:
    """1 within the intervals (widened to hold a frame), smooth ramps around them."""
    contact = np.zeros(len(times), np.float32)
    for start, end in intervals:
        half = max(end - start, _SHORTEST_CONTACT_S) / 2
        ramp = np.clip((np.abs(times - (start + end) / 2) - half) / _CONTACT_RAMP_S, 0, 1)
        contact = np.maximum(contact, 1 - ramp**2 * (3 - 2 * ramp)).astype(np.float32)
    return contact
