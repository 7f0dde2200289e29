"""From listed recordings to clips: the one way that every corpus of real video takes, whatever its layout on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from corpora.clip import ClipError, ClipMeta, Dropped, JobResult, PrepareJob, SpeechClip, fit_lengths
from corpora.clip_cutting import PieceLimits, Span, frame_loudness, motion_at_25, piece_bounds, usable_spans
from corpora.face_track import FaceTrack
from corpora.lip_sync import LagEstimate, estimate_lag, mouth_signals
from corpora.quality import FACE_LOST, NO_FACE, judge_span, measure_span
from corpora.tracker import TRACKER_NAME, track_pictures, track_video, tracker_version
from corpora.tracking_progress import shown
from corpora.video import VideoError, probe_video, read_pictures
from speech.audio import (
    MOTION_FPS,
    SAMPLES_PER_FRAME,
    SILENCE_DBFS,
    AudioError,
    loudest_level_dbfs,
    num_motion_frames,
    read_audio,
)

UNREADABLE = "unreadable"
NO_SOUND = "no sound"
SILENT = "silent"
DUBBED = "dubbed"
TOO_SHORT = "too short"


class LayoutError(ClipError):
    """A folder is not laid out as its corpus is published; the message shows the expected layout."""


@dataclass(frozen=True)
class VideoItem:
    """One recording of a corpus and what its layout tells of it. `audio_path`: sound in a file of its own, None for the video's.

    `key` begins the keys of its clips and is unique in the corpus; the other fields are those of `ClipMeta`.
    """

    path: Path
    speaker: str
    source: str
    key: str
    audio_path: Path | None = None
    emotion: str = "neutral"
    intensity: int = 0
    split: str = "train"
    language: str = "unknown"
    licence: str = "unknown"
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class TrackingOptions:
    """How recordings become clips. `model`: the tracker's model file. See `clip_cutting` for limits and smoothing, `lip_sync` for lags.
    `keep_silent`: keep pieces without speech too. `progress`: say on standard error how far the tracking of a recording is.
    """

    model: Path
    limits: PieceLimits = field(default_factory=PieceLimits)
    smoothing: bool = True
    correct_lag: bool = False
    keep_silent: bool = False
    progress: bool = False

    def fingerprint(self) -> dict:
        """What of the options defines the clips, as JSON values."""
        return {
            "min_clip_s": self.limits.min_s,
            "max_clip_s": self.limits.max_s,
            "smoothing": self.smoothing,
            "correct_lag": self.correct_lag,
            "tracker": f"{TRACKER_NAME} {tracker_version()}",
            "tracker_model_sha256": hashlib.sha256(self.model.read_bytes()).hexdigest(),
        }


def video_jobs(items: Sequence[VideoItem], corpus: str, options: TrackingOptions) -> list[PrepareJob]:
    """One job for each item, named by its key. Raises `ClipError` where two items share a key."""
    seen: dict[str, VideoItem] = {}
    for item in items:
        if item.key in seen:
            raise ClipError(
                f"{item.path} and {seen[item.key].path} would both be named {item.key!r}; rename one of them"
            )
        seen[item.key] = item
    return [PrepareJob(item.key, partial(prepare_video, item, corpus, options)) for item in items]


def prepare_video(item: VideoItem, corpus: str, options: TrackingOptions) -> JobResult:
    """Read, track, judge, cut and resample one recording; whatever is wrong with it is in `dropped`, not raised.

    Raises `TrackerError` alone: a tracker that does not work would fail for every recording.
    """
    try:
        audio, problem = _read_sound(item)
        if problem is not None:
            return JobResult([], [problem])
        track = _track(item.path, options)
    except (VideoError, AudioError) as error:
        return JobResult([], [Dropped(item.source, UNREADABLE, str(error))])
    return clips_from_track(item, corpus, options, audio, track)


def _track(path: Path, options: TrackingOptions) -> FaceTrack:
    if not options.progress:
        return track_video(path, options.model)
    return track_pictures(shown(read_pictures(path), path, probe_video(path).duration_s), options.model)


def clips_from_track(
    item: VideoItem, corpus: str, options: TrackingOptions, audio: np.ndarray, track: FaceTrack
) -> JobResult:
    """The clips of a tracked recording; `audio` [N] begins at time 0 of `track`."""
    spans = usable_spans(track)
    if not spans:
        return JobResult([], [Dropped(item.source, NO_FACE, f"no face was found in {item.path}")])
    dropped: list[Dropped] = []
    good = []
    for span in spans:
        problem = judge_span(track, span, item.source) if _long_enough(track, span, options) else None
        if problem is not None:
            dropped.append(problem)
        elif _long_enough(track, span, options):
            good.append(span)
    mouth, usable = mouth_signals(track, num_motion_frames(len(audio)))
    lag = estimate_lag(audio, mouth, usable & _inside(track, good, len(usable))) if good else None
    if lag is not None and lag.foreign_sound:
        detail = f"mouth and sound are unrelated at any shift over {lag.seconds:.0f} s (peak {lag.strength:.1f} deviations of chance)"
        return JobResult([], [*dropped, Dropped(item.source, DUBBED, detail)])
    maker = _ClipMaker(item, corpus, options, audio, track, lag)
    for span in good:
        maker.add(span)
    return JobResult(maker.clips, [*dropped, *maker.dropped, *_losses(item, track, good, maker.clips, dropped)])


def slug(text: str) -> str:
    """`text` with everything but letters, digits, '-' and '_' turned into '_', fit for keys of clips."""
    return re.sub(r"[^\w-]", "_", text) or "unnamed"


class _ClipMaker:
    """Cuts spans into clips and numbers them through."""

    def __init__(
        self,
        item: VideoItem,
        corpus: str,
        options: TrackingOptions,
        audio: np.ndarray,
        track: FaceTrack,
        lag: LagEstimate | None,
    ) -> None:
        self.item, self.corpus, self.options, self.audio, self.track = item, corpus, options, audio, track
        self.clips: list[SpeechClip] = []
        self.dropped: list[Dropped] = []
        self.lag = lag
        self.shift = lag.lag_frames if options.correct_lag and lag is not None and lag.reliable else 0.0

    def add(self, span: Span) -> None:
        first, motion = motion_at_25(self.track, span, lag_frames=self.shift, smoothing=self.options.smoothing)
        audio, motion = fit_lengths(self.audio[first * SAMPLES_PER_FRAME :], motion)
        bounds = piece_bounds(len(motion), self.options.limits, frame_loudness(audio))
        if not bounds:
            detail = f"{motion.duration:.2f} s remain at {first / MOTION_FPS:.1f} s; at least {self.options.limits.min_s:g} s are needed"
            self.dropped.append(Dropped(self.item.source, TOO_SHORT, detail))
        for start, end in bounds:
            sound = audio[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
            level = loudest_level_dbfs(sound)
            begin_s = (first + start) / MOTION_FPS
            if level < SILENCE_DBFS and not self.options.keep_silent:
                detail = f"nothing above {level:.0f} dB of full scale from {begin_s:.1f} s on"
                self.dropped.append(Dropped(self.item.source, SILENT, detail))
                continue
            key = f"{self.item.key}_{len(self.clips):03d}"
            self.clips.append(SpeechClip(key, sound, motion[start:end], self._meta(span, begin_s, end - start)))

    def _meta(self, span: Span, begin_s: float, frames: int) -> ClipMeta:
        item, track = self.item, self.track
        inside = (track.times >= begin_s - 0.02) & (track.times <= begin_s + frames / MOTION_FPS)
        extra = {**item.extra, **measure_span(track, span), "source_begin_s": round(begin_s, 3)}
        if self.lag is not None:
            extra |= {"lag_frames": self.lag.lag_frames, "lag_confidence": self.lag.confidence}
            extra |= {"lag_corrected_frames": self.shift}
        return ClipMeta(
            speaker=item.speaker,
            source=item.source,
            corpus=self.corpus,
            split=item.split,
            language=item.language,
            emotion=item.emotion,
            intensity=item.intensity,
            tracker=TRACKER_NAME,
            tracker_version=tracker_version(),
            quality=round(float(track.found[inside].mean()), 4) if inside.any() else 0.0,
            licence=item.licence,
            extra=extra,
        )


def _read_sound(item: VideoItem) -> tuple[np.ndarray, Dropped | None]:
    """The recording's sound, or why it cannot be used; told from headers and sound alone, before the slow tracking."""
    info = probe_video(item.path)
    nothing = np.zeros(0, np.float32)
    if item.audio_path is None and not info.has_sound:
        return nothing, Dropped(item.source, NO_SOUND, f"{item.path} has no audio stream")
    audio = read_audio(item.audio_path or item.path)
    level = loudest_level_dbfs(audio)
    if level < SILENCE_DBFS:
        return nothing, Dropped(
            item.source, SILENT, f"the sound of {item.path} never rises above {level:.0f} dB of full scale"
        )
    return audio, None


def _long_enough(track: FaceTrack, span: Span, options: TrackingOptions) -> bool:
    return track.times[span.end - 1] - track.times[span.start] >= options.limits.min_s - 1.5 / MOTION_FPS


def _inside(track: FaceTrack, spans: list[Span], num_frames: int) -> np.ndarray:
    grid = np.arange(num_frames) / MOTION_FPS
    inside = np.zeros(num_frames, bool)
    for span in spans:
        inside |= (grid >= track.times[span.start] - 0.5 / MOTION_FPS) & (
            grid <= track.times[span.end - 1] + 0.5 / MOTION_FPS
        )
    return inside


def _losses(
    item: VideoItem, track: FaceTrack, good: list[Span], clips: list[SpeechClip], dropped: list[Dropped]
) -> list[Dropped]:
    """A line for pictures that fell out because no face was followed there, unless the whole is told of already."""
    if track.found_share > 0.95 and (clips or dropped):
        return []
    kept = sum(clip.motion.duration for clip in clips)
    reason = FACE_LOST if track.found_share <= 0.95 else TOO_SHORT
    detail = f"a face in {track.found_share:.0%} of the pictures; {kept:.1f} of {track.duration_s:.1f} s kept"
    return [Dropped(item.source, reason, detail)]


def with_terms(items: Sequence[VideoItem], language: str | None, licence: str | None) -> list[VideoItem]:
    """The items with language or licence replaced where one is given."""
    return [replace(item, language=language or item.language, licence=licence or item.licence) for item in items]
