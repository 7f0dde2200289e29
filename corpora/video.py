"""Decoding of video pictures with their real times; sound is read by `speech.audio`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from corpora.clip import ClipError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts")
# Larger pictures are reduced: the tracker works on small crops, and converting 4K pictures costs more than tracking them.
LONGEST_SIDE = 1280
# A stream may lack this share of its stated duration and still count as whole: containers round up.
_MISSING_SHARE = 0.02
_MISSING_S = 0.25


class VideoError(ClipError):
    """A video cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video states: displayed size in pixels, mean frames a second, seconds, and whether it has sound.

    `fps` and `duration_s` are 0 where the header does not tell.
    """

    width: int
    height: int
    fps: float
    duration_s: float
    has_sound: bool


@dataclass(frozen=True, eq=False)
class VideoPicture:
    """One picture: `time_s` from the start of the container (where sample 0 of `read_audio` lies), `rgb` uint8 [H,W,3], contiguous."""

    time_s: float
    rgb: np.ndarray


def probe_video(path: str | Path) -> VideoInfo:
    """Read the header of a video. Raises `VideoError` for a missing, unreadable or picture-less file."""
    path = Path(path)
    with _open(path) as container:
        stream = _picture_stream(container, path)
        width, height = _displayed_size(stream.width, stream.height, stream.sample_aspect_ratio)
        return VideoInfo(
            width=width,
            height=height,
            fps=float(stream.average_rate or 0),
            duration_s=_stated_seconds(stream),
            has_sound=bool(container.streams.audio),
        )


def read_pictures(path: str | Path, longest_side: int = LONGEST_SIDE) -> Iterator[VideoPicture]:
    """Every picture of a video in the order shown, upright, with square pixels, reduced to at most `longest_side`.

    Times strictly increase; pictures without a time, or not later than the one before, are left out. Raises `VideoError` for a file
    that cannot be opened, has no pictures, or ends clearly before its stated duration.
    """
    path = Path(path)
    with _open(path) as container:
        stream = _picture_stream(container, path)
        stream.thread_type = "AUTO"
        start = (container.start_time or 0) / av.time_base
        first: float | None = None
        last: float | None = None
        failure: av.FFmpegError | None = None
        try:
            for frame in container.decode(stream):
                if frame.time is None or (last is not None and frame.time <= last):
                    continue
                last = frame.time
                first = last if first is None else first
                yield VideoPicture(frame.time - start, _upright_rgb(frame, stream, longest_side))
        except av.FFmpegError as error:
            failure = error
        shown_s = None if first is None or last is None else last - first
        _check_whole(path, stream, shown_s, failure)


def _open(path: Path) -> av.container.InputContainer:
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise VideoError(f"video {path} {reason}; give the path of a video file")
    try:
        # Only local files: a playlist must not make the reader fetch addresses.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except av.FFmpegError as error:
        raise VideoError(
            f"{path} cannot be read as a video ({error.strerror}); it may be truncated or damaged, copy or export it again"
        ) from error


def _picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        raise VideoError(f"{path} has no picture (no video stream); give a video in which a face can be seen")
    return container.streams.video[0]


def _displayed_size(width: int, height: int, pixel_aspect: object) -> tuple[int, int]:
    aspect = float(pixel_aspect) if pixel_aspect else 1.0  # type: ignore[arg-type]
    return max(1, round(width * aspect)), height


def _upright_rgb(frame: av.VideoFrame, stream: av.VideoStream, longest_side: int) -> np.ndarray:
    width, height = _displayed_size(frame.width, frame.height, stream.sample_aspect_ratio)
    scale = min(1.0, longest_side / max(width, height))
    rgb = frame.to_ndarray(format="rgb24", width=max(1, round(width * scale)), height=max(1, round(height * scale)))
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns))


def _stated_seconds(stream: av.VideoStream) -> float:
    return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0


def _check_whole(path: Path, stream: av.VideoStream, decoded_s: float | None, failure: av.FFmpegError | None) -> None:
    if decoded_s is None:
        raise VideoError(
            f"{path} has a video stream without a picture that can be decoded; it may be damaged"
        ) from failure
    stated_s = _stated_seconds(stream)
    if stated_s and decoded_s < stated_s * (1 - _MISSING_SHARE) - _MISSING_S:
        raise VideoError(
            f"{path} is truncated or damaged: pictures of {decoded_s:.2f} s could be decoded, its header states "
            f"{stated_s:.2f} s; copy or export it again"
        ) from failure
    if failure is not None and not stated_s:
        raise VideoError(
            f"{path} cannot be decoded after {decoded_s:.2f} s ({failure}); it may be damaged"
        ) from failure
