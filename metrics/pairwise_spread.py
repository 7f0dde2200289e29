"""The spread of a sequence around itself: how far two of its frames lie apart on average."""

from __future__ import annotations

import torch
from torch import Tensor


def pairwise_spread(values: Tensor, mask: Tensor) -> Tensor:
    """Mean Euclidean distance over all pairs of different valid frames of each clip: `[B, T, C]` -> `[B]`.

    The sum over pairs divided by n (n - 1), as in the released AdaMesh scripts, but within each clip: pooled over clips, frozen
    ones that differ would count as lively. NaN for a clip of fewer than two valid frames.
    """
    values = torch.where(mask.unsqueeze(-1), values.double(), 0.0)
    # The default of cdist multiplies matrices and leaves 1e-7 where two frames are equal.
    distances = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = mask.unsqueeze(2) & mask.unsqueeze(1)
    count = mask.sum(1)
    return torch.where(pairs, distances, 0.0).sum((1, 2)).div(count * (count - 1)).float()
