"""Random numbers that are functions of what they are for, never of what was drawn before."""

from __future__ import annotations

import zlib

import numpy as np


def keyed_generator(stream: str, seed: int, *keys: int) -> np.random.Generator:
    """A generator that depends on its arguments only, so that any draw can be repeated on any rank or worker.

    `stream` names the use ("order", "window", "augmentation", ...): two uses with the same keys are
    independent of each other. `seed` and `keys` are non-negative integers.
    """
    entropy = [seed, zlib.crc32(stream.encode("utf-8")), *keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
