"""Learning-rate schedules over optimiser steps; their length is given, never guessed from the data."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(
    optimizer: Optimizer, max_steps: int, warmup_steps: int = 1000, final_ratio: float = 0.01
) -> LambdaLR:
    """Linear warm-up, then half a cosine down to `final_ratio` of the learning rate at `max_steps`, constant after it.

    In short runs the warm-up is at most a tenth of `max_steps`.
    """
    warmup = max(1, min(warmup_steps, max_steps // 10))

    def ratio(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, max_steps - warmup))
        return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, ratio)
