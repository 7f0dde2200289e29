"""How far a mouth runs behind or ahead of the sound, estimated from one recording alone.

Loudness of ten mel bands is correlated with three measures of mouth opening over shifts of -10 to 10 frames, both band-passed to the
rate of syllables; nothing is trained. (Chung and Zisserman 2016, "Out of time", find the offset as the best of such shifts too, with a
learned network.) The curve is divided by its own spread at shifts where no relation can be, which gives a peak height comparable
between recordings. Accuracy as measured on real recordings is in docs/REAL_VIDEO.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import butter, sosfiltfilt

from corpora.face_track import FaceTrack
from faces.arkit import ARKIT_INDEX
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME, num_motion_frames

if TYPE_CHECKING:
    from speech.features import LogMel

MAX_LAG_FRAMES = 10
# Shifts at which speech and mouth are unrelated; their correlations show how high chance reaches on this recording.
CHANCE_SHIFTS = (14, 40)
NUM_BANDS = 10
SYLLABLE_RATE_HZ = (0.8, 8.0)
# Opening precedes the loudness it causes: median over 31 real recordings whose lag was measured with a trained predictor.
ANTICIPATION_FRAMES = 0.8
# Large offsets are rare: a Gaussian prior of this many frames decides between peaks that are about equally high.
PRIOR_FRAMES = 4.0
# A second peak counts as a rival from this distance on.
RIVAL_DISTANCE = 3
# The margin at which real recordings (24 of 25 right) part from mouths beside another's sound (1 in 20 reaches it).
MARGIN_HALF_CONFIDENCE = 1.5
RELIABLE_CONFIDENCE = 0.5
# Foreign sound is only claimed of a recording long enough that its own sound would have shown.
DUBBED_MIN_S = 12.0
DUBBED_STRENGTH = 2.0
SHORTEST_S = 1.0
# A picture this far from its neighbour leaves the frames between them unused.
WIDEST_PICTURE_GAP_S = 0.12


@dataclass(frozen=True)
class LagEstimate:
    """`lag_frames` at 25/s, positive: the mouth runs behind the sound; `confidence` 0 to 1, from 0.5 on reliable.

    `strength`: height of the peak in standard deviations of chance; `seconds` of picture and sound that were compared.
    """

    lag_frames: float
    confidence: float
    strength: float
    seconds: float

    @property
    def reliable(self) -> bool:
        return self.confidence >= RELIABLE_CONFIDENCE

    @property
    def foreign_sound(self) -> bool:
        """Whether the sound is confidently not of this mouth (dubbed, voice-over): long, and no relation at any shift."""
        return self.seconds >= DUBBED_MIN_S and self.strength < DUBBED_STRENGTH


def estimate_lag(audio: np.ndarray, mouth: np.ndarray, usable: np.ndarray) -> LagEstimate | None:
    """The lag of `mouth` [T,C] (larger is more open, frame k at k/25 s) behind `audio` [N] at 16 kHz; None under a second of `usable` [T].

    Only frames that are `usable` (bool) count. Values between motion frames come from a parabola through the peak.
    """
    frames = min(num_motion_frames(len(audio)), len(mouth))
    usable = usable[:frames]
    if usable.sum() < SHORTEST_S * MOTION_FPS:
        return None
    sound = _at_syllable_rate(band_loudness(audio[: frames * SAMPLES_PER_FRAME]))
    opening = _at_syllable_rate(mouth[:frames])
    widest = min(CHANCE_SHIFTS[1], frames // 2)
    shifts = np.arange(-widest, widest + 1)
    curve = np.array([_correlation(sound, opening, usable, int(shift)) for shift in shifts])
    by_chance = curve[np.abs(shifts) >= CHANCE_SHIFTS[0]]
    if len(by_chance) > 5:
        spread = float(np.sqrt(np.mean(np.square(by_chance))))
    else:  # too short to see chance: independent values come about every fourth frame after the band-pass
        spread = 1 / np.sqrt(usable.sum() / 4)
    inner = np.abs(shifts) <= MAX_LAG_FRAMES
    return _from_curve(shifts[inner], curve[inner] / max(spread, 1e-6), float(usable.sum()) / MOTION_FPS)


def mouth_signals(track: FaceTrack, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Three measures of opening [num_frames,3] on the grid of motion frames, and the frames [num_frames] where a face was seen.

    Inner and outer height of the mouth relative to the distance of the eyes, and the score of jawOpen.
    """
    seen = track.found
    if seen.sum() < 2:
        return np.zeros((num_frames, 3)), np.zeros(num_frames, bool)
    values = np.column_stack([track.mouth_distances()[:, :2], track.expression[:, ARKIT_INDEX["jawOpen"]]])[seen]
    times = track.times[seen]
    grid = np.arange(num_frames) / MOTION_FPS
    signals = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
    after = np.searchsorted(times, grid).clip(1, len(times) - 1)
    usable = times[after] - times[after - 1] <= WIDEST_PICTURE_GAP_S
    half = 0.5 / MOTION_FPS
    return signals, usable & (grid >= times[0] - half) & (grid <= times[-1] + half)


def band_loudness(audio: np.ndarray) -> np.ndarray:
    """Mean log-mel power of ten bands [T,10] at motion frames of `audio` [640 T]."""
    import torch

    with torch.no_grad():
        mel = _log_mel()(torch.from_numpy(np.ascontiguousarray(audio, np.float32))[None])[0].numpy()
    return mel.reshape(len(mel) // 4, 4, NUM_BANDS, -1).mean(axis=(1, 3))


@cache
def _log_mel() -> LogMel:
    from speech.features import LogMel

    return LogMel()


@cache
def _band_pass() -> np.ndarray:
    return butter(2, SYLLABLE_RATE_HZ, "bandpass", fs=MOTION_FPS, output="sos")


def _at_syllable_rate(values: np.ndarray) -> np.ndarray:
    return sosfiltfilt(_band_pass(), values, axis=0, padlen=min(15, len(values) - 1))


def _correlation(sound: np.ndarray, opening: np.ndarray, usable: np.ndarray, shift: int) -> float:
    """Mean correlation over all pairs of columns of the sound at t with the mouth at t + shift."""
    early, late = max(0, -shift), max(0, shift)
    length = len(sound) - abs(shift)
    seen = usable[late : late + length]
    if seen.sum() < 3:
        return 0.0
    first, second = sound[early : early + length][seen], opening[late : late + length][seen]
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    power = np.square(first).sum(axis=0)[:, None] * np.square(second).sum(axis=0)[None]
    return float((first.T @ second / np.sqrt(power + 1e-12)).mean())


def _from_curve(shifts: np.ndarray, height: np.ndarray, seconds: float) -> LagEstimate:
    lags = shifts + ANTICIPATION_FRAMES
    score = height - 0.5 * np.square(lags / PRIOR_FRAMES)
    best = int(np.argmax(score))
    offset = 0.0
    if 0 < best < len(score) - 1:
        bend = score[best - 1] - 2 * score[best] + score[best + 1]
        offset = 0.5 * (score[best - 1] - score[best + 1]) / bend if bend < 0 else 0.0
    rivals = height[np.abs(shifts - shifts[best]) > RIVAL_DISTANCE]
    margin = float(height[best] - rivals.max()) if len(rivals) else 0.0
    confidence = 1 / (1 + np.exp(-2 * (margin - MARGIN_HALF_CONFIDENCE)))
    return LagEstimate(
        lag_frames=round(float(lags[best] + offset), 2),
        confidence=round(float(confidence), 3),
        strength=round(float(height.max()), 2),
        seconds=round(seconds, 2),
    )
