"""What an emotion does to a speaking face and to its prosody: neutral, happy, sad, angry, surprised; intensities 1 to 3."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from faces.arkit import ARKIT_INDEX, NUM_ARKIT

INTENSITY_SHARE = {0: 0.0, 1: 0.4, 2: 0.7, 3: 1.0}


@dataclass(frozen=True)
class Emotion:
    """Effects at full intensity.

    `face`: ARKit offsets by name, where a name ending in "*" stands for both sides; `mouth_gain` multiplies mouth opening, `rate`, `range_gain`
    multiply speaking rate and pitch range, `pitch` and `volume` are added (espeak-ng's 0..99 and percent); `head_pitch_deg`: posture.
    """

    face: dict[str, float] = field(default_factory=dict)
    mouth_gain: float = 1.0
    rate: float = 1.0
    pitch: float = 0.0
    range_gain: float = 1.0
    volume: float = 0.0
    head_pitch_deg: float = 0.0

    def offsets(self, intensity: int) -> np.ndarray:
        """ARKit offsets [52] float32 at an intensity of 0 to 3."""
        result = np.zeros(NUM_ARKIT, np.float32)
        for name, value in self.face.items():
            names = (name[:-1] + "Left", name[:-1] + "Right") if name.endswith("*") else (name,)
            for each in names:
                result[ARKIT_INDEX[each]] = value * INTENSITY_SHARE[intensity]
        return result

    def scaled(self, gain: float, intensity: int) -> float:
        """A multiplier at an intensity: 1 at 0, `gain` at 3."""
        return 1 + (gain - 1) * INTENSITY_SHARE[intensity]


EMOTIONS: dict[str, Emotion] = {
    "neutral": Emotion(),
    "happy": Emotion(
        {"mouthSmile*": 0.6, "cheekSquint*": 0.5, "eyeSquint*": 0.25, "browOuterUp*": 0.15, "mouthDimple*": 0.15},
        mouth_gain=1.1, rate=1.08, pitch=10, range_gain=1.4, volume=5, head_pitch_deg=-1.5,
    ),
    "sad": Emotion(
        {"browInnerUp": 0.7, "mouthFrown*": 0.5, "browDown*": 0.15, "eyeSquint*": 0.2, "eyeBlink*": 0.12, "mouthShrugLower": 0.15},
        mouth_gain=0.75, rate=0.86, pitch=-8, range_gain=0.6, volume=-20, head_pitch_deg=5.0,
    ),
    "angry": Emotion(
        {"browDown*": 0.8, "noseSneer*": 0.35, "eyeSquint*": 0.35, "eyeWide*": 0.1, "mouthFrown*": 0.2, "mouthUpperUp*": 0.12},
        mouth_gain=1.2, rate=1.06, pitch=-2, range_gain=1.3, volume=20, head_pitch_deg=2.5,
    ),
    "surprised": Emotion(
        {"browInnerUp": 0.6, "browOuterUp*": 0.7, "eyeWide*": 0.7},
        mouth_gain=1.15, rate=1.0, pitch=15, range_gain=1.5, volume=5, head_pitch_deg=-3.0,
    ),
}  # fmt: skip
