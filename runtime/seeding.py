"""Random numbers as functions of (seed, what for, where in the run), never of history: the base of exact resume."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, purpose: str, *position: int) -> int:
    """A 63-bit seed for one use at one place, for example `stream_seed(run.seed, "dropout", global_step, rank)`."""
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    entropy = [seed, name, len(position), *position]  # the length, because SeedSequence ignores trailing zeros
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
