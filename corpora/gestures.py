"""What accompanies speech: head movement, blinks, gaze and brows, tied to words and driven by seeded noise in a person's habit.

The noise of a seed is the same for every habit and only scaled by it, so two styles of the same speech can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from corpora.sentences import Sentence, SentenceWord
from corpora.speaker_style import PoseHabit
from faces.rotations import euler_to_axis_angle_numpy
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME
from speech.synthesis import Utterance, WordEvent

_NOD_WIDTH_S = 0.11
_SHAKE_HZ = 2.1
_SHAKE_S = 1.0
_AFFIRMATION_SHARE = 0.65
_AFFIRMATION_PERIOD_S = 0.38
_EMPHASIS_GAIN = 1.4
_DRIFT_HZ = 0.06


@dataclass(frozen=True)
class Cue:
    """A moment that gestures attach to: `time_s` is the middle of the word's stressed vowel, or of the word."""

    kind: str
    time_s: float
    start_s: float
    end_s: float
    strength: float = 1.0


def spoken_word(utterance: Utterance, word: SentenceWord) -> WordEvent | None:
    """The event in which a word of the sentence was spoken; joined words share theirs."""
    return next((w for w in reversed(utterance.words) if w.char_start <= word.char_start), None)


def speech_cues(utterance: Utterance, sentence: Sentence) -> list[Cue]:
    """Cues of kind "stress", "negation", "affirmation" and "question" (the last words of one), in order of the words."""
    cues = []
    for word in sentence.words:
        spoken = spoken_word(utterance, word)
        if spoken is None:
            continue
        vowels = [p for p in utterance.phonemes if p.stressed and spoken.start_s <= p.start_s < spoken.end_s]
        middle = (vowels[0].start_s + vowels[0].end_s) / 2 if vowels else (spoken.start_s + spoken.end_s) / 2
        for kind, present in (
            ("negation", word.negation),
            ("affirmation", word.affirmation),
            ("stress", word.stressed),
            ("question", sentence.text[word.char_end : word.char_end + 1] == "?"),
        ):
            if present:
                strength = _EMPHASIS_GAIN if word.emphasised else 1.0
                cues.append(Cue(kind, middle, spoken.start_s, spoken.end_s, strength))
    return cues


def band_limited_noise(num_frames: int, cutoff_hz: float, rng: np.random.Generator, columns: int = 1) -> np.ndarray:
    """Gaussian noise [T, columns] of standard deviation 1, low-pass filtered with its half power at `cutoff_hz`."""
    sigma = MOTION_FPS * np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz)
    # A margin of a fixed length: the same generator gives the same noise for every cutoff.
    margin = 12 * MOTION_FPS
    white = rng.standard_normal((num_frames + 2 * margin, columns))
    smooth = gaussian_filter1d(white, sigma, axis=0)[margin : margin + num_frames]
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def bump(times: np.ndarray, centre_s: float, width_s: float) -> np.ndarray:
    """A Gaussian of height 1 and standard deviation `width_s`."""
    return np.exp(-0.5 * ((times - centre_s) / width_s) ** 2)


def speech_energy(audio: np.ndarray) -> np.ndarray:
    """Loudness per frame [T], smoothed over about 0.2 s, 1 at the clip's 95th percentile."""
    frames = len(audio) // SAMPLES_PER_FRAME
    level = np.sqrt(np.mean(audio[: frames * SAMPLES_PER_FRAME].reshape(frames, -1) ** 2, axis=1))
    smooth = gaussian_filter1d(level, 0.1 * MOTION_FPS)
    return np.clip(smooth / max(float(np.percentile(smooth, 95)), 1e-6), 0, 1.2)


def head_rotation(
    cues: Sequence[Cue],
    energy: np.ndarray,
    habit: PoseHabit,
    rng: np.random.Generator,
    posture_pitch_deg: float = 0.0,
) -> np.ndarray:
    """Head rotation [T,3], axis-angle in radians, for `energy` [T] of the speech; signs as in `faces.rotations`."""
    frames = len(energy)
    times = np.arange(frames) / MOTION_FPS
    angles = np.empty((frames, 3))
    angles[:] = [habit.rest_pitch_deg + posture_pitch_deg, habit.rest_yaw_deg, habit.rest_roll_deg]
    angles += habit.drift_deg * band_limited_noise(frames, _DRIFT_HZ, rng, 3)
    ranges = np.array([habit.pitch_range_deg, habit.yaw_range_deg, habit.roll_range_deg])
    # People move their head more while they speak.
    angles += ranges * band_limited_noise(frames, habit.speed_hz, rng, 3) * (0.6 + 0.4 * energy[:, None])
    angles[:, 0] -= habit.energy_deg * energy
    for cue in cues:
        strength = cue.strength * rng.uniform(0.85, 1.15)
        side = 1.0 if rng.random() < 0.5 else -1.0
        if cue.kind == "stress":
            angles[:, 0] += strength * habit.nod_deg * _nod(times, cue.time_s)
        elif cue.kind == "affirmation":
            depth = _AFFIRMATION_SHARE * strength * habit.nod_deg
            angles[:, 0] += depth * _nod(times, cue.time_s)
            angles[:, 0] += 0.7 * depth * _nod(times, cue.time_s + _AFFIRMATION_PERIOD_S)
        elif cue.kind == "negation":
            angles[:, 1] += side * strength * habit.shake_deg * _shake(times, cue.start_s)
    return euler_to_axis_angle_numpy(np.radians(angles))


def _nod(times: np.ndarray, centre_s: float) -> np.ndarray:
    """Down on the stressed vowel with a small lift before it."""
    return bump(times, centre_s, _NOD_WIDTH_S) - 0.3 * bump(times, centre_s - 0.26, _NOD_WIDTH_S)


def _shake(times: np.ndarray, start_s: float) -> np.ndarray:
    """About two turns to and fro, beginning just before the word."""
    phase = (times - (start_s - 0.1)) / _SHAKE_S
    window = np.where((phase > 0) & (phase < 1), np.sin(np.pi * np.clip(phase, 0, 1)) ** 2, 0.0)
    return window * np.sin(2 * np.pi * _SHAKE_HZ * _SHAKE_S * phase)


def blink_track(num_frames: int, rate_per_min: float, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Lid closure [T], 0 to 1: blinks as a Poisson process, closing in a third of `duration_s`, opening in the rest.

    Each blink is fully closed in at least one frame.
    """
    times = np.arange(num_frames) / MOTION_FPS
    track = np.zeros(num_frames)
    # Intervals are drawn in units of the mean, with a refractory part, so that a rate only rescales them.
    moment = rng.uniform(0, 1) * 60 / rate_per_min
    while moment < num_frames / MOTION_FPS:
        centre = round(moment * MOTION_FPS) / MOTION_FPS
        closing = np.clip(1 - (centre - times) / (duration_s / 3), 0, 1)
        opening = np.clip(1 - (times - centre) / (duration_s * 2 / 3), 0, 1)
        lid = np.where(times <= centre, closing, opening)
        track = np.maximum(track, lid * lid * (3 - 2 * lid))
        moment += max(0.2 + 0.8 * rng.exponential(), 0.4 / (60 / rate_per_min)) * 60 / rate_per_min
    return track.astype(np.float32)


def gaze_track(num_frames: int, activity: float, rng: np.random.Generator) -> np.ndarray:
    """Direction of gaze [T,2]: (to the person's left, up) in ARKit units, fixations of 0.4 to 2 s joined by quick saccades."""
    targets = np.zeros((num_frames, 2))
    start = 0
    while start < num_frames:
        length = int(rng.uniform(0.4, 2.0) * MOTION_FPS)
        # Half of the time the eyes return to the listener.
        away = rng.normal(0, [0.22, 0.12]) if rng.random() < 0.5 else np.zeros(2)
        targets[start : start + length] = activity * away
        start += length
    return np.clip(gaussian_filter1d(targets, 0.7, axis=0), -0.6, 0.6)


def brow_raise(cues: Sequence[Cue], num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the average person raises [T] and lowers [T] the brows: up on stress and at a question's end, down on negation."""
    times = np.arange(num_frames) / MOTION_FPS
    up, down = np.zeros(num_frames), np.zeros(num_frames)
    for cue in cues:
        if cue.kind == "stress":
            up = np.maximum(up, 0.4 * cue.strength * bump(times, cue.time_s, 0.16))
        elif cue.kind == "question":
            up = np.maximum(up, 0.5 * bump(times, cue.end_s, 0.4))
        elif cue.kind == "negation":
            down = np.maximum(down, 0.4 * bump(times, cue.time_s + 0.1, 0.25))
    return up, down
