"""Pictures and sound into an mp4 file with PyAV (FFmpeg): H.264 and AAC, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
import numpy as np

AUDIO_RATE = 16000
VIDEO_CODEC, AUDIO_CODEC = "libx264", "aac"
_AUDIO_BIT_RATE = 96_000


class VideoError(ValueError):
    """A video or picture cannot be written; nothing is left of it."""


def write_video(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], fps: float, audio: np.ndarray | None = None
) -> int:
    """Write uint8 [H,W,3] `frames` (H and W even) as an mp4: H.264 in yuv420p, with AAC sound, index first; returns how many.

    `audio` float [N] in -1..1, mono, 16 kHz, starts with the first frame and is cut, or filled with silence, to the frames' duration.
    The file appears whole or not at all. Raises `VideoError` where frames, sound, encoder or disk do not allow it; what `frames`
    raises passes through.
    """
    path = Path(path)
    sound = None if audio is None else _checked_audio(audio)
    for codec in (VIDEO_CODEC, AUDIO_CODEC):
        if codec not in av.codecs_available:
            raise VideoError(f"this PyAV has no {codec} encoder; install the wheel (pip install --force-reinstall av)")
    if not path.parent.is_dir():
        raise VideoError(f"cannot write {path}: the folder {path.parent} does not exist")
    partial = path.with_name(path.name + ".tmp")
    try:
        count = _encode(partial, frames, fps, sound)
        partial.replace(path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"cannot write {path}: {error}; nothing was kept") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float, sound: np.ndarray | None) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
    try:
        # x264 splits work over threads in ways that may change its output; the renderer is the slow part anyway.
        options = {"crf": "18", "preset": "veryfast", "threads": "1"}
        video = cast(av.VideoStream, container.add_stream(VIDEO_CODEC, rate=rate, options=options))
        video.pix_fmt = "yuv420p"
        track = _SoundTrack(container, sound) if sound is not None else None
        count = 0
        for picture in frames:
            if count == 0:
                height, width = _checked_picture(picture, None)
                video.width, video.height = width, height
            _checked_picture(picture, (video.height, video.width))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(video.encode(frame))
            count += 1
            if track is not None:
                track.write_until(round(count * AUDIO_RATE / rate))
        if count == 0:
            raise VideoError(f"no frames to write into {path.name.removesuffix('.tmp')}")
        container.mux(video.encode(None))
        if track is not None:
            track.finish()
    except BaseException:
        # The first error is the one to report; closing a broken file may raise another.
        with suppress(av.FFmpegError, OSError):
            container.close()
        raise
    container.close()
    return count


class _SoundTrack:
    """The AAC stream beside the pictures, written in step with them and in the encoder's own frame size."""

    def __init__(self, container: av.container.OutputContainer, sound: np.ndarray) -> None:
        self._container, self._sound, self._done, self._until = container, sound, 0, 0
        stream = container.add_stream(AUDIO_CODEC, rate=AUDIO_RATE, layout="mono")
        self._stream = cast(av.AudioStream, stream)
        self._stream.bit_rate = _AUDIO_BIT_RATE

    def write_until(self, end: int) -> None:
        """Encode whole encoder frames up to sample `end`; silence after the sound's own end."""
        self._until = end
        step = self._stream.codec_context.frame_size or 1024
        while self._done + step <= end:
            self._write(step)

    def finish(self) -> None:
        if self._until > self._done:
            self._write(self._until - self._done)
        self._container.mux(self._stream.encode(None))

    def _write(self, count: int) -> None:
        samples = np.zeros((1, count), np.float32)
        part = self._sound[self._done : self._done + count]
        samples[0, : len(part)] = part
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self._done, Fraction(1, AUDIO_RATE)
        self._container.mux(self._stream.encode(frame))
        self._done += count


def _checked_audio(audio: np.ndarray) -> np.ndarray:
    sound = np.asarray(audio)
    if sound.ndim != 1 or sound.dtype.kind != "f":
        raise VideoError(
            f"audio has shape {sound.shape} and type {sound.dtype}; expected float [samples], mono at 16 kHz"
        )
    if not np.isfinite(sound).all():
        raise VideoError("audio is not finite; expected samples from -1 to 1")
    return np.clip(sound, -1, 1).astype(np.float32)


def _checked_picture(picture: np.ndarray, expected: tuple[int, int] | None) -> tuple[int, int]:
    shape = picture.shape
    right_kind = picture.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3
    if not right_kind or shape[0] % 2 or shape[1] % 2 or (expected is not None and shape[:2] != expected):
        raise VideoError(
            f"a frame has shape {shape} and type {picture.dtype}; expected uint8 {expected or '[even, even]'} x 3"
        )
    return shape[0], shape[1]
