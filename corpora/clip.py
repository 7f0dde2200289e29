"""The unit that corpora produce and shards store: one stretch of speech with the face that spoke it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from faces.motion import FaceMotion
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME, num_motion_frames

SPLITS = ("train", "val", "test")


class ClipError(ValueError):
    """A clip or its source cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class ClipMeta:
    """What is known of a clip. `extra` holds what only some corpora know (text, phonemes, planted style, lag ...).

    `source` names the recording that the clip was cut from; `intensity` is 0 (unknown or neutral) to 3; `quality` is the
    share of frames that the tracker found, 1.0 for synthetic clips; `synthetic` must be true for data that no person produced.
    """

    speaker: str
    source: str
    corpus: str
    split: str = "train"
    language: str = "unknown"
    emotion: str = "neutral"
    intensity: int = 0
    tracker: str = "none"
    tracker_version: str = ""
    quality: float = 1.0
    licence: str = "unknown"
    synthetic: bool = False
    extra: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ClipError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}")
        if not self.speaker:
            raise ClipError(f"clip from {self.source!r} has no speaker; every clip needs one, splits are by speaker")

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> ClipMeta:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ClipError(
                f"unknown metadata keys {unknown}; expected among {sorted(known)}, anything else goes into 'extra'"
            )
        return cls(**values)


@dataclass(frozen=True, eq=False)
class SpeechClip:
    """Audio (float32, 16 kHz mono) and motion (25 frames/s) of exactly the same length: 640 samples a frame."""

    key: str
    audio: np.ndarray
    motion: FaceMotion
    meta: ClipMeta

    def __post_init__(self) -> None:
        if "." in self.key or "/" in self.key or not self.key:
            raise ClipError(
                f"clip key {self.key!r} must be non-empty without '.' and '/': tar members are named <key>.<extension>"
            )
        if self.motion.fps != MOTION_FPS:
            raise ClipError(f"clip {self.key}: motion at {self.motion.fps} frames/s; resample it to {MOTION_FPS} first")
        if len(self.audio) != SAMPLES_PER_FRAME * len(self.motion):
            raise ClipError(
                f"clip {self.key}: {len(self.audio)} samples are {num_motion_frames(len(self.audio))} frames, "
                f"but the motion has {len(self.motion)}; cut both with fit_lengths()"
            )


def fit_lengths(audio: np.ndarray, motion: FaceMotion) -> tuple[np.ndarray, FaceMotion]:
    """Cut audio and motion at their end to the longest common whole number of frames."""
    frames = min(num_motion_frames(len(audio)), len(motion))
    return audio[: frames * SAMPLES_PER_FRAME], motion[:frames]


@dataclass(frozen=True)
class Dropped:
    """A recording, or a part of one, that was not kept, and why (`reason` is a short category, `detail` a sentence)."""

    source: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class JobResult:
    clips: list[SpeechClip]
    dropped: list[Dropped] = field(default_factory=list)


@dataclass(frozen=True)
class PrepareJob:
    """One independent piece of corpus preparation; `run` is picklable and a pure function of what it was made from."""

    name: str
    run: Callable[[], JobResult]
