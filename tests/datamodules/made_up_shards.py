"""Shards of noise: what fetching and caching know of a shard is its name, size and checksum."""

from __future__ import annotations

import hashlib

import numpy as np

from datamodules.manifest import ShardEntry


def make_shard(file: str, size: int = 100_000) -> tuple[ShardEntry, bytes]:
    content = np.random.default_rng(list(file.encode())).bytes(size)
    return shard_of(file, content), content


def shard_of(file: str, content: bytes) -> ShardEntry:
    return ShardEntry(file, "train", 1, len(content), hashlib.sha256(content).hexdigest(), [])
