"""Writes samples into uncompressed WebDataset tars, one series a split, and the manifest that makes a folder
of them a corpus.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from corpora.clip import ClipMeta, SpeechClip
from datamodules.errors import ShardError
from datamodules.manifest import MANIFEST_NAME, Manifest, SampleEntry, ShardEntry, write_error
from datamodules.motion_statistics import StatisticsAccumulator
from datamodules.sample import META, MOTION, decode_meta, decode_motion, encode_sample
from faces.motion import FaceMotion

# A ustar header holds 100 bytes of name; the longest extension takes 13 of them.
MAX_KEY_BYTES = 86


def tar_members(key: str, members: Mapping[str, bytes]) -> bytes:
    """The bytes of one sample as consecutive tar entries, the same for the same content at any time on any
    machine.
    """
    # Imported here as it brings torch along, which no worker process of a preparation needs.
    from webdataset.writer import TarWriter

    buffer = io.BytesIO()
    with TarWriter(buffer, user="", group="", encoder=False, mtime=0, compress=False) as writer:
        writer.write({"__key__": key, **members})
        end = writer.tarstream.offset
    return buffer.getvalue()[:end]


class ShardFile:
    """One shard being written to `<name>.tmp`; `close` renames it into place, `discard` removes it."""

    # Two empty blocks end a tar file.
    END = b"\0" * 1024

    def __init__(self, path: Path, split: str) -> None:
        self.path = path
        self.split = split
        self.bytes = 0
        self.index: list[SampleEntry] = []
        self._temporary = path.with_name(path.name + ".tmp")
        self._sha256 = hashlib.sha256()
        try:
            self._file: BinaryIO = self._temporary.open("wb")
        except OSError as error:
            raise write_error(path, error) from error

    def append(self, data: bytes) -> int:
        """Write bytes, return the offset at which they begin; raises ShardError when the disk does not take
        them.
        """
        offset = self.bytes
        try:
            self._file.write(data)
        except OSError as error:
            self.discard()
            raise write_error(self.path, error) from error
        self._sha256.update(data)
        self.bytes += len(data)
        return offset

    def close(self) -> ShardEntry:
        self.append(self.END)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self.path)
        except OSError as error:
            self.discard()
            raise write_error(self.path, error) from error
        return ShardEntry(
            file=self.path.name,
            split=self.split,
            samples=len(self.index),
            bytes=self.bytes,
            sha256=self._sha256.hexdigest(),
            index=self.index,
        )

    def discard(self) -> None:
        # Closing tries once more to flush what a full disk refused; the caller already reports that.
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


@dataclass
class CorpusSummary:
    """What the manifest says of a whole corpus, gathered sample by sample in the order of writing."""

    space: str | None = None
    identity_size: int = 0
    identity_space: str = ""
    synthetic: bool = False
    sources: dict[str, str] = field(default_factory=dict)
    split_of_speaker: dict[str, str] = field(default_factory=dict)
    statistics: StatisticsAccumulator = field(default_factory=StatisticsAccumulator)

    def add(self, key: str, motion: FaceMotion, meta: ClipMeta) -> None:
        """Raises ShardError for a sample that does not fit the ones before it."""
        if key in self.sources:
            raise ShardError(
                f"key {key!r} is used twice, by a clip of {self.sources[key]!r} and by one of {meta.source!r}; keys name samples"
            )
        self.sources[key] = meta.source
        split = self.split_of_speaker.setdefault(meta.speaker, meta.split)
        if split != meta.split:
            raise ShardError(
                f"speaker {meta.speaker!r} is in split {split} and, by clip {key}, in {meta.split}; splits are by speaker"
            )
        if self.space is None:
            self.space = motion.space
        if motion.space != self.space:
            raise ShardError(
                f"clip {key} is in space {motion.space!r}, the clips before it in {self.space!r}; one corpus, one space"
            )
        self._add_identity(key, motion)
        self.synthetic = self.synthetic or meta.synthetic
        if meta.split == "train":
            self.statistics.add(motion)

    def _add_identity(self, key: str, motion: FaceMotion) -> None:
        if not motion.identity_space:
            return
        known = (self.identity_space, self.identity_size)
        received = (motion.identity_space, len(motion.identity))
        if self.identity_space and received != known:
            raise ShardError(f"clip {key} has an identity of {received}, the clips before it of {known} (space, size)")
        self.identity_space, self.identity_size = received

    def manifest(self, corpus: str, shards: list[ShardEntry], made_by: dict, extra: dict) -> Manifest:
        return Manifest(
            corpus=corpus,
            space=self.space or "",
            identity_size=self.identity_size,
            identity_space=self.identity_space,
            synthetic=self.synthetic,
            shards=shards,
            statistics=self.statistics.result(),
            made_by=made_by,
            extra=extra,
        )


def index_entry(key: str, meta: ClipMeta, num_frames: int, members: dict[str, tuple[int, int]]) -> SampleEntry:
    """The manifest's line for a sample."""
    return SampleEntry(
        key=key,
        split=meta.split,
        speaker=meta.speaker,
        source=meta.source,
        emotion=meta.emotion,
        intensity=meta.intensity,
        num_frames=num_frames,
        members=members,
        adaptation_split=str(meta.extra.get("adaptation_split", "")),
    )


class ShardWriter:
    """Writes a corpus into the folder `out`: `train-000000.tar`, ... and, by `finish`, `manifest.json`.

    Use it as a context manager: leaving by an exception removes the shards written so far, so that no half
    corpus stays. Raises ShardError for a full disk, a repeated key, a speaker in two splits, or a second
    expression or identity space.
    """

    def __init__(self, out: Path, *, corpus: str, max_shard_mb: float = 256.0, made_by: dict | None = None) -> None:
        if max_shard_mb <= 0:
            raise ShardError(f"max_shard_mb is {max_shard_mb}; expected a positive number of megabytes")
        self.out = Path(out)
        self.corpus = corpus
        self._limit = max_shard_mb * 1e6
        self._made_by = made_by or {}
        self._open: dict[str, ShardFile] = {}
        self._closed: list[ShardEntry] = []
        self._summary = CorpusSummary()
        self._finished = False
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / MANIFEST_NAME).exists():
            raise ShardError(f"{self.out} already holds a corpus; choose another output folder")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._finished:
            self.discard()

    def add(self, clip: SpeechClip, **cached: object) -> None:
        """Encode and write a clip; `cached` may hold `units` and `features` (see `encode_sample`)."""
        self.add_encoded(clip.key, encode_sample(clip, **cached))  # type: ignore[arg-type]

    def add_encoded(self, key: str, members: Mapping[str, bytes]) -> None:
        """Write a sample whose members are encoded already."""
        if len(key.encode("utf-8")) > MAX_KEY_BYTES:
            raise ShardError(
                f"key {key!r} has {len(key.encode('utf-8'))} bytes; tar members allow at most {MAX_KEY_BYTES}"
            )
        meta = decode_meta(key, members[META])
        motion = decode_motion(key, members[MOTION])
        self._summary.add(key, motion, meta)
        data = tar_members(key, members)
        shard = self._shard_for(meta.split, len(data))
        start = shard.append(data)
        shard.index.append(index_entry(key, meta, len(motion), _member_ranges(members, start)))

    def finish(self, extra: dict | None = None) -> Manifest:
        """Close the shards and write the manifest last; raises ShardError when nothing was written."""
        if not self._summary.sources:
            raise ShardError(f"no clip was written to {self.out}; a corpus needs at least one")
        for split in sorted(self._open):
            self._closed.append(self._open[split].close())
        self._open.clear()
        shards = sorted(self._closed, key=lambda shard: shard.file)
        manifest = self._summary.manifest(self.corpus, shards, self._made_by, extra or {})
        manifest.save(self.out)
        self._finished = True
        return manifest

    def discard(self) -> None:
        """Remove every shard of this writer."""
        for shard in self._open.values():
            shard.discard()
        for entry in self._closed:
            (self.out / entry.file).unlink(missing_ok=True)
        self._open.clear()
        self._closed.clear()

    def _shard_for(self, split: str, size: int) -> ShardFile:
        shard = self._open.get(split)
        if shard is not None and shard.index and shard.bytes + size > self._limit:
            self._closed.append(shard.close())
            shard = None
        if shard is None:
            number = sum(entry.split == split for entry in self._closed)
            shard = ShardFile(self.out / f"{split}-{number:06d}.tar", split)
            self._open[split] = shard
        return shard


def _member_ranges(members: Mapping[str, bytes], start: int) -> dict[str, tuple[int, int]]:
    """Offsets and sizes of the payloads; TarWriter writes the extensions in sorted order, a 512-byte header
    before each.
    """
    ranges = {}
    position = start
    for extension in sorted(members):
        position += 512
        size = len(members[extension])
        ranges[extension] = (position, size)
        position += -(-size // 512) * 512
    return ranges
