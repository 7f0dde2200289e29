"""Who a synthetic speaker is: identity, voice, expression style and pose habit, drawn from (seed, speaker index).

These are the truth that adaptation should recover, so they are kept in each clip's metadata. Every field of `ExpressionStyle`,
`PoseHabit` and `VoiceStyle` with a range is drawn uniformly from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from speech.synthesis import VOICES

NUM_IDENTITY = 10
"""Identity coefficients of `faces`' procedural head."""

_IDENTITY_SPREAD = 0.65
_IDENTITY_LIMIT = 1.6
_T = TypeVar("_T")


def _drawn(low: float, high: float, default: float) -> Any:
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class ExpressionStyle:
    """How a person's face moves while speaking; the defaults are the average person.

    Gains multiply the coefficients of the average person; resting offsets are ARKit coefficients present all the time.
    `mouth_amplitude`: of all mouth opening; `jaw_preference`: 1 opens by the jaw, 0 by the lips; `rounding_gain`: of funnel and pucker;
    `width_gain`: of spreading; `upper_lip_gain`: of raising the upper lip; `coarticulation`: 0 crisp to 1 slurred;
    `mouth_asymmetry`, `brow_asymmetry`: positive moves the person's left side more (difference of the sides' gains);
    `rest_smile`: negative is a frown; `rest_brow`: negative is lowered; `rest_squint`; `brow_activity`: gain of brow movements;
    `blink_rate_per_min`, `blink_duration_s`; `gaze_activity`: gain of eye movements; `emotion_gain`: of emotional expression.
    """

    mouth_amplitude: float = _drawn(0.4, 1.6, 1.0)
    jaw_preference: float = _drawn(0.0, 1.0, 0.5)
    rounding_gain: float = _drawn(0.6, 1.4, 1.0)
    width_gain: float = _drawn(0.4, 1.6, 1.0)
    upper_lip_gain: float = _drawn(0.3, 1.8, 1.0)
    coarticulation: float = _drawn(0.0, 1.0, 0.4)
    mouth_asymmetry: float = _drawn(-0.5, 0.5, 0.0)
    brow_asymmetry: float = _drawn(-0.7, 0.7, 0.0)
    rest_smile: float = _drawn(-0.18, 0.28, 0.05)
    rest_brow: float = _drawn(-0.3, 0.3, 0.0)
    rest_squint: float = _drawn(0.0, 0.3, 0.1)
    brow_activity: float = _drawn(0.2, 1.8, 1.0)
    blink_rate_per_min: float = _drawn(8.0, 32.0, 18.0)
    blink_duration_s: float = _drawn(0.16, 0.26, 0.2)
    gaze_activity: float = _drawn(0.3, 1.5, 0.8)
    emotion_gain: float = _drawn(0.6, 1.3, 1.0)

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class PoseHabit:
    """How a person's head moves while speaking: degrees, with the signs of `faces.rotations`.

    `*_range_deg`: standard deviation of the free movement; `speed_hz`: its bandwidth; `rest_*_deg`: the resting tilt;
    `nod_deg`: depth of a nod on a stressed word; `shake_deg`: amplitude of the shake on a negation;
    `drift_deg`: how far the resting posture wanders within a clip; `energy_deg`: how far the head rises with loud speech.
    """

    pitch_range_deg: float = _drawn(0.5, 3.0, 1.5)
    yaw_range_deg: float = _drawn(0.7, 5.0, 2.5)
    roll_range_deg: float = _drawn(0.3, 2.5, 1.2)
    speed_hz: float = _drawn(0.25, 0.9, 0.5)
    rest_pitch_deg: float = _drawn(-6.0, 7.0, 0.0)
    rest_yaw_deg: float = _drawn(-9.0, 9.0, 0.0)
    rest_roll_deg: float = _drawn(-6.0, 6.0, 0.0)
    nod_deg: float = _drawn(1.0, 9.0, 4.5)
    shake_deg: float = _drawn(2.5, 11.0, 6.0)
    drift_deg: float = _drawn(0.0, 3.5, 1.0)
    energy_deg: float = _drawn(0.0, 2.0, 0.8)

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class VoiceStyle:
    """A voice of `speech.synthesis.VOICES` with its habitual rate (words a minute), pitch and pitch range (espeak-ng's 0..99)."""

    voice: str = VOICES[0]
    rate_wpm: float = _drawn(140.0, 180.0, 160.0)
    pitch: float = _drawn(36.0, 64.0, 50.0)
    pitch_range: float = _drawn(30.0, 75.0, 50.0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SyntheticSpeaker:
    """One drawn person. `identity`: `NUM_IDENTITY` coefficients of the procedural head."""

    index: int
    name: str
    identity: tuple[float, ...]
    voice: VoiceStyle
    expression: ExpressionStyle
    pose: PoseHabit

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def style_ranges(style_class: type) -> dict[str, tuple[float, float]]:
    """The range that each drawn field of a style class is drawn from, by field name."""
    return {f.name: f.metadata["range"] for f in fields(style_class) if "range" in f.metadata}


def draw_style(style_class: type[_T], rng: np.random.Generator, **given: Any) -> _T:
    """A style with every ranged field drawn uniformly and the others as given."""
    drawn = {name: round(float(rng.uniform(low, high)), 4) for name, (low, high) in style_ranges(style_class).items()}
    return style_class(**drawn, **given)


def draw_speaker(seed: int, index: int) -> SyntheticSpeaker:
    """The speaker of this index, a pure function of (seed, index); the first `len(VOICES)` speakers have different voices."""
    voices = np.random.default_rng([seed, 0]).permutation(len(VOICES))
    rng = np.random.default_rng([seed, 1, index])
    identity = np.clip(rng.normal(0, _IDENTITY_SPREAD, NUM_IDENTITY), -_IDENTITY_LIMIT, _IDENTITY_LIMIT)
    return SyntheticSpeaker(
        index=index,
        name=f"synthetic-{index:03d}",
        identity=tuple(round(float(value), 4) for value in identity),
        voice=draw_style(VoiceStyle, rng, voice=VOICES[voices[index % len(VOICES)]]),
        expression=draw_style(ExpressionStyle, rng),
        pose=draw_style(PoseHabit, rng),
    )
