"""How much and how fast a head moves within each clip: axis-angle `[B, T, 3]` in radians at 25 frames/s, masks `[B, T]`.

The released AdaMesh script pools the frames of all clips; these are the within-clip forms, so a set of frozen heads at different
angles scores zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metrics.pairwise_spread import pairwise_spread
from metrics.weighted_mean import WeightedMean

DEGREES = 180 / math.pi


def pose_diversity_within_deg(head: Tensor, mask: Tensor) -> Tensor:
    """Mean pairwise L2 distance of the axis-angle vectors of each clip, degrees `[B]`; NaN under two frames."""
    return DEGREES * pairwise_spread(head, mask)


def pose_deviation_within_deg(head: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation over time, mean of the three components, of each clip, degrees `[B]`; NaN without frames."""
    head = torch.where(mask.unsqueeze(-1), head.double(), 0.0)
    count = mask.sum(1)[:, None]
    mean = head.sum(1) / count
    deviation = torch.where(mask.unsqueeze(-1), head - mean.unsqueeze(1), 0.0)
    return DEGREES * (deviation.square().sum(1) / count).sqrt().mean(-1).float()


def pose_speed_deg_per_s(head: Tensor, mask: Tensor, fps: float = 25.0) -> Tensor:
    """Mean length of the frame-to-frame difference of the axis-angle vectors, degrees a second `[B]`; NaN under two frames."""
    pairs = mask[:, 1:] & mask[:, :-1]
    steps = torch.where(pairs, head.double().diff(dim=1).norm(dim=-1), 0.0)
    return (DEGREES * fps * steps.sum(1) / pairs.sum(1)).float()


class PoseDiversity(WeightedMean):
    """`pose_diversity_within_deg`; every clip of two or more frames weighs the same."""

    higher_is_better = True

    def update(self, head: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        super().update(pose_diversity_within_deg(head, mask), mask.sum(1) >= 2)


class PoseDeviation(WeightedMean):
    """`pose_deviation_within_deg`; every clip weighs the same."""

    higher_is_better = True

    def update(self, head: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        super().update(pose_deviation_within_deg(head, mask), mask.any(1))


class PoseSpeed(WeightedMean):
    """`pose_speed_deg_per_s`; every clip of two or more frames weighs the same."""

    def update(self, head: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        super().update(pose_speed_deg_per_s(head, mask), mask.sum(1) >= 2)
