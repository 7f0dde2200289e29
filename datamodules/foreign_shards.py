"""Manifest for WebDataset shards of another maker that hold the same members but no `manifest.json`."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from datamodules.errors import SampleError, ShardError
from datamodules.manifest import MANIFEST_NAME, Manifest, SampleEntry, ShardEntry
from datamodules.sample import META, MOTION, OPTIONAL_MEMBERS, REQUIRED_MEMBERS, decode_meta, decode_motion
from datamodules.shard_files import file_sha256
from datamodules.shard_writer import CorpusSummary, index_entry


def build_manifest(root: str | os.PathLike[str], *, corpus: str = "foreign") -> Manifest:
    """Index every `*.tar` under `root` and write `manifest.json` there. The shards are not changed.

    Samples need the members `audio.flac`, `motion.npz` and `meta.json`; others are ignored. Splits come from
    the metadata. Raises ShardError when there is a manifest already, no tar, a compressed or broken one;
    SampleError for a bad sample.
    """
    root = Path(root)
    if (root / MANIFEST_NAME).exists():
        raise ShardError(f"{root} has a {MANIFEST_NAME} already; remove it if the shards are to be indexed anew")
    paths = sorted(root.rglob("*.tar"))
    if not paths:
        raise ShardError(f"no *.tar under {root}; nothing to index")
    summary = CorpusSummary()
    shards = [_index_shard(root, path, summary) for path in paths]
    manifest = summary.manifest(corpus, shards, {"command": "build_manifest"}, {})
    manifest.save(root)
    return manifest


def _index_shard(root: Path, path: Path, summary: CorpusSummary) -> ShardEntry:
    file = path.relative_to(root).as_posix()
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            index = _index_members(archive, file, summary)
    except tarfile.TarError as error:
        raise ShardError(f"shard {file} is not a whole uncompressed tar ({error}); unpack or fetch it again") from error
    if not index:
        raise ShardError(f"shard {file} holds no sample with the members {', '.join(REQUIRED_MEMBERS)}")
    splits = {entry.split for entry in index}
    return ShardEntry(
        file=file,
        split=splits.pop() if len(splits) == 1 else "mixed",
        samples=len(index),
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        index=index,
    )


def _index_members(archive: tarfile.TarFile, file: str, summary: CorpusSummary) -> list[SampleEntry]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    for member in archive:
        key, _, extension = Path(member.name).name.partition(".")
        if member.isfile() and extension in REQUIRED_MEMBERS + OPTIONAL_MEMBERS:
            if extension in found.setdefault(key, {}):
                raise SampleError(f"shard {file}, sample {key}: member {extension} is there twice")
            found[key][extension] = member
    return [_index_sample(archive, file, key, members, summary) for key, members in found.items()]


def _index_sample(
    archive: tarfile.TarFile, file: str, key: str, members: dict[str, tarfile.TarInfo], summary: CorpusSummary
) -> SampleEntry:
    missing = [extension for extension in REQUIRED_MEMBERS if extension not in members]
    if missing:
        raise SampleError(f"shard {file}, sample {key}: member {missing[0]} is missing; found {sorted(members)}")
    meta = decode_meta(key, _content(archive, members[META]), file)
    motion = decode_motion(key, _content(archive, members[MOTION]), file)
    summary.add(key, motion, meta)
    ranges = {extension: (member.offset_data, member.size) for extension, member in sorted(members.items())}
    return index_entry(key, meta, len(motion), ranges)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise ShardError(f"member {member.name} is not a file")
    return stream.read()
