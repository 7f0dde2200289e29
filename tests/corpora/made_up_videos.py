"""Tiny videos and tracks with known content."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from corpora.face_track import NUM_LANDMARKS, FaceTrack
from faces.arkit import NUM_ARKIT

RATE = 16_000


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    audio: np.ndarray | None = None,
    fps: int = 25,
    times_ms: Sequence[int] | None = None,
) -> Path:
    """An mp4 of `pictures` [H,W,3] with optional mono 16 kHz sound; `times_ms` gives each picture its own time."""
    with av.open(str(path), "w") as container:
        height, width = pictures[0].shape[:2]
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = None if audio is None else container.add_stream("aac", rate=RATE, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = int(times_ms[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(audio[None].astype(np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = RATE, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


def plain_pictures(count: int, colour: Sequence[int] = (90, 120, 60), size: tuple[int, int] = (96, 64)) -> list:
    """`count` pictures of one colour with a bar that moves, so that no two are equal."""
    pictures = []
    for number in range(count):
        picture = np.full((size[1], size[0], 3), colour, np.uint8)
        picture[:, number % size[0]] = 255
        pictures.append(picture)
    return pictures


def made_up_track(
    times: np.ndarray,
    *,
    opening: np.ndarray | None = None,
    head: np.ndarray | None = None,
    found: np.ndarray | None = None,
    centre: np.ndarray | None = None,
    size: np.ndarray | float = 100.0,
    seed: int = 0,
    **fields: np.ndarray,
) -> FaceTrack:
    """A face of `size` pixels about `centre` [T,2] whose inner lips are `opening` [T] eye distances apart."""
    count = len(times)
    opening = 0.1 + 0.05 * np.sin(np.arange(count)) if opening is None else opening
    shape = np.random.default_rng(seed).uniform(-0.5, 0.5, (NUM_LANDMARKS, 3))
    shape[33], shape[263] = (-0.25, 0.2, 0), (0.25, 0.2, 0)
    shape[234], shape[454] = (-0.5, 0, 0), (0.5, 0, 0)
    shape[61], shape[291] = (-0.15, -0.2, 0), (0.15, -0.2, 0)
    landmarks = np.repeat(shape[None], count, axis=0)
    for upper, lower in ((13, 14), (0, 17)):
        landmarks[:, upper] = (0, -0.2, 0)
        landmarks[:, lower] = np.stack([np.zeros(count), -0.2 + 0.5 * opening, np.zeros(count)], axis=1)
    scale = np.broadcast_to(np.asarray(size, float), (count,))
    landmarks = landmarks * scale[:, None, None]
    where = np.full((count, 2), 200.0) if centre is None else centre
    landmarks[:, :, :2] += where[:, None, :]
    expression = np.zeros((count, NUM_ARKIT), np.float32)
    expression[:, 17] = np.clip(opening, 0, 1)
    found = np.ones(count, bool) if found is None else found
    values = {
        "times": np.asarray(times, np.float64),
        "found": found,
        "expression": expression,
        "head": np.zeros((count, 3), np.float32) if head is None else head.astype(np.float32),
        "translation": np.zeros((count, 3), np.float32),
        "landmarks": landmarks.astype(np.float32),
        "second_face": np.zeros(count, np.float32),
        "picture_change": np.zeros(count, np.float32),
        "size": (400, 400),
    }
    return FaceTrack(**(values | fields))


def babble(seconds: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with syllables: audio [16000 s] and the loudness envelope [25 s] that shaped it, 0 to 1."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * 25)
    slow = np.convolve(rng.normal(size=frames + 8), np.hanning(5), mode="same")[4 : 4 + frames]
    envelope = np.clip(slow - slow.min(), 0, None) / np.ptp(slow)
    fine = np.interp(np.arange(frames * 640) / 640, np.arange(frames) + 0.5, envelope)
    return (0.3 * fine**2 * rng.normal(size=frames * 640)).clip(-1, 1).astype(np.float32), envelope
