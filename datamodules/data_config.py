"""What a datamodule is told: plain values, checked when they are given."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from datamodules.augmentation import AudioAugmentation
from datamodules.errors import ShardError
from datamodules.shard_files import RemoteOptions, retry_rule
from datamodules.windows import WindowRule

START_METHODS = (None, "fork", "spawn", "forkserver")
Config = TypeVar("Config", bound="DataConfig")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Options of `SpeechFaceDataModule`; the keys `data.*` of an experiment. Raises ShardError for values
    that cannot be.

    `root`: corpus folder, or where one lies: `https://`, `http://`, `s3://`, `gs://`, `memory://` or
    `pipe:COMMAND {}` (see docs/REMOTE_SHARDS.md). `global_batch`: samples a step over all ranks and `accumulate` micro-batches.
    `workers`: loader processes of a rank (they change no sample), started by `worker_start` (None: from
    a fork server, see `loader_workers`). `seed`: of order, windows and augmentation. `window_frames`, `reference_frames`,
    `other_clip_probability`: see `windows.WindowRule`. `shuffle_window`: shards shuffled together.
    `cache_mb`: decoded clips kept in memory by each process that reads. `eval_batch`: clips a validation
    batch on one rank. `augment` with `gain_db`, `noise_probability`, `noise_snr_db`: see
    `augmentation.AudioAugmentation`. `test_speakers`, `val_speakers`: exactly these are held out, whatever
    the manifest says; speakers it held out and this list does not go to training. `max_clips`: of each split,
    spread evenly over it.

    For a remote root, changing no sample: `shard_cache`: folder of fetched shards (None: in the user's cache
    folder), which any number of runs share; `shard_cache_gb`: its bound, 1e9 bytes; `prefetch_shards`: shards
    fetched ahead of need (0: none); `fetch_retries`: further attempts after one that failed;
    `fetch_stall_seconds`: without a byte, that end an attempt.
    """

    root: str
    global_batch: int = 16
    accumulate: int = 1
    workers: int = 0
    worker_start: str | None = None
    seed: int = 0
    window_frames: int = 100
    reference_frames: Sequence[int] = (100, 250)
    other_clip_probability: float = 0.5
    shuffle_window: int = 8
    cache_mb: float = 0.0
    eval_batch: int = 8
    augment: bool = True
    gain_db: float = 6.0
    noise_probability: float = 0.3
    noise_snr_db: Sequence[float] = (15.0, 40.0)
    test_speakers: Sequence[str] | None = None
    val_speakers: Sequence[str] | None = None
    max_clips: int | None = None
    max_train_clips_per_speaker: int | None = None
    shard_cache: str | None = None
    shard_cache_gb: float = 50.0
    prefetch_shards: int = 16
    fetch_retries: int = 5
    fetch_stall_seconds: float = 30.0

    def __post_init__(self) -> None:
        least = {
            "global_batch": 1,
            "accumulate": 1,
            "workers": 0,
            "seed": 0,
            "window_frames": 1,
            "shuffle_window": 1,
            "eval_batch": 1,
            "prefetch_shards": 0,
            "fetch_retries": 0,
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < minimum:
                raise ShardError(f"data.{name}={value!r}; expected an integer of at least {minimum}")
        for name in ("max_clips", "max_train_clips_per_speaker"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ShardError(f"data.{name}={value!r}; expected null or at least 1")
        if self.cache_mb < 0:
            raise ShardError(f"data.cache_mb={self.cache_mb!r}; expected 0 or more megabytes")
        for name in ("shard_cache_gb", "fetch_stall_seconds"):
            if not getattr(self, name) > 0:
                raise ShardError(f"data.{name}={getattr(self, name)!r}; expected more than 0")
        for name in ("other_clip_probability", "noise_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ShardError(f"data.{name}={getattr(self, name)!r}; expected a probability from 0 to 1")
        _check_range("reference_frames", self.reference_frames, least=1)
        _check_range("noise_snr_db", self.noise_snr_db, least=None)
        if self.worker_start not in START_METHODS:
            raise ShardError(f"data.worker_start={self.worker_start!r}; expected one of {START_METHODS}")

    @classmethod
    def from_options(cls: type[Config], options: Mapping[str, Any]) -> Config:
        """Raises ShardError for an unknown or missing option, with the nearest name."""
        known = [field.name for field in fields(cls)]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ShardError(
                f"unknown data option {unknown[0]!r}{nearest(unknown[0], known)}; expected among {', '.join(known)}"
            )
        if "root" not in options:
            raise ShardError("data.root is missing; give the folder of a prepared corpus")
        return cls(**options)

    @property
    def remote(self) -> RemoteOptions:
        retry = retry_rule(self.fetch_retries, self.seed)
        return RemoteOptions(self.shard_cache, self.shard_cache_gb, self.fetch_stall_seconds, retry)

    @property
    def window_rule(self) -> WindowRule:
        shortest, longest = self.reference_frames
        return WindowRule(self.window_frames, (shortest, longest), self.other_clip_probability)

    @property
    def augmentation(self) -> AudioAugmentation | None:
        low, high = self.noise_snr_db
        return AudioAugmentation(self.gain_db, self.noise_probability, (low, high)) if self.augment else None


def nearest(name: str, known: Sequence[str]) -> str:
    """` (did you mean ...?)`, or nothing when no name is close."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f" (did you mean {', '.join(map(repr, close))}?)" if close else ""


def _check_range(name: str, values: Sequence[float], least: float | None) -> None:
    if len(values) != 2 or values[0] > values[1] or (least is not None and values[0] < least):
        floor = "" if least is None else f" of at least {least:g}"
        raise ShardError(f"data.{name}={list(values)!r}; expected [low, high]{floor}")
