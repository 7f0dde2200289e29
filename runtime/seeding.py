"""Random numbers as functions of (seed, what for, where in the run), never of history: the base of exact resume."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np


def stream_seed(seed: int, purpose: str, *position: int) -> int:
    """A 63-bit seed for one use at one place, for example `stream_seed(run.seed, "dropout", global_step, rank)`."""
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    entropy = [seed, name, len(position), *position]  # the length, because SeedSequence ignores trailing zeros
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def keyed_generator(stream: str, seed: int, *keys: int) -> np.random.Generator:
    """A generator that depends on its arguments only, so that any draw can be repeated on any rank or worker.

    `stream` names the use ("order", "window", "augmentation", ...): two uses with the same keys are
    independent of each other. `seed` and `keys` are non-negative integers.
    """
    entropy = [seed, zlib.crc32(stream.encode("utf-8")), *keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
