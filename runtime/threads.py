"""How long a thread that waits for others keeps its core busy."""

from __future__ import annotations

import os

ITERATIONS = "1000"


def spin_briefly() -> None:
    """Let OpenMP threads sleep soon while they wait for each other, unless `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT` says otherwise.

    To be called before torch is imported: its OpenMP reads the environment once. By default it spins for milliseconds, which on cores that
    other processes want too holds up the very thread that is waited for: a training with two threads was 20 times slower beside one
    other process. On idle cores the difference is lost in the noise.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = ITERATIONS
