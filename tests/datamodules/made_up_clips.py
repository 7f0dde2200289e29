"""Small clips and preparation jobs with known content, importable by worker processes."""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpora.clip import ClipMeta, Dropped, JobResult, PrepareJob, SpeechClip
from datamodules.shard_writer import ShardWriter
from faces.motion import FaceMotion

EMOTIONS = ("neutral", "happy")


def make_clip(key: str, frames: int = 30, **meta) -> SpeechClip:
    """A clip that is a function of its arguments; audio on FLAC's 16-bit grid, coefficients in 0..1."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    audio = np.round(rng.uniform(-0.3, 0.3, 640 * frames) * 32768).astype(np.float32) / 32768
    motion = FaceMotion(
        expression=rng.uniform(0, 0.9, (frames, 52)).astype(np.float32),
        head=rng.normal(0, 0.1, (frames, 3)).astype(np.float32),
        translation=rng.normal(0, 0.01, (frames, 3)).astype(np.float32),
        identity=rng.normal(size=10).astype(np.float32),
        identity_space="procedural",
    )
    values = {"speaker": "ada", "source": f"video of {key}", "corpus": "made-up", "synthetic": True} | meta
    return SpeechClip(key=key, audio=audio, motion=motion, meta=ClipMeta(**values))


def make_corpus_clips() -> list[SpeechClip]:
    """53 training clips of 5 speakers, 7 validation and 6 test clips of one speaker each; 5 to 61 frames."""
    clips = []
    for number in range(66):
        split = "train" if number < 53 else "val" if number < 60 else "test"
        speaker = {"train": f"speaker{number % 5}", "val": "vera", "test": "theo"}[split]
        frames = 5 + (number * 17) % 57
        emotion = EMOTIONS[number % 2]
        extra = {"adaptation_split": ("adapt", "val", "heldout")[number % 3]}
        clips.append(make_clip(f"clip{number:03d}", frames, speaker=speaker, split=split, emotion=emotion, extra=extra))
    return clips


def write_corpus(out: Path, clips: list[SpeechClip] | None = None, max_shard_mb: float = 0.5) -> Path:
    with ShardWriter(out, corpus="made-up", max_shard_mb=max_shard_mb) as writer:
        for clip in make_corpus_clips() if clips is None else clips:
            writer.add(clip)
        writer.finish()
    return out


class ScratchedDiscError(Exception):
    """Cannot be sent between processes: it is not made from its message alone."""

    def __init__(self, disc: str, side: str) -> None:
        super().__init__(f"side {side} of {disc} is scratched")


@dataclass(frozen=True)
class MakeClips:
    """A job of `clips` clips and `dropped` recordings that takes `seconds` and may fail or die."""

    name: str
    clips: int = 2
    dropped: int = 0
    seconds: float = 0.0
    fails: bool = False
    dies: bool = False

    def __call__(self) -> JobResult:
        time.sleep(self.seconds)
        if self.dies:
            os._exit(9)
        if self.fails:
            raise ScratchedDiscError(self.name, "B")
        clips = [make_clip(f"{self.name}_{i}", 12, speaker=self.name) for i in range(self.clips)]
        return JobResult(clips, [Dropped(f"{self.name}.mp4", "no_face", "no face in any frame")] * self.dropped)


def make_jobs(count: int, **options) -> list[PrepareJob]:
    return [PrepareJob(f"job{i:02d}", MakeClips(f"job{i:02d}", **options)) for i in range(count)]
