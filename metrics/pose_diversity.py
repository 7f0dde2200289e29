"""How much and how fast a head moves within each clip: axis-angle `[B, T, 3]` in radians at 25 frames/s, masks `[B, T]`.

The released AdaMesh script pools the frames of all clips (`metrics.pooled_diversity`); these are the within-clip forms, so a set of
frozen heads at different angles scores zero. Across repeated samples of one clip: `metrics.sample_diversity`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metrics.checks import check_curve, check_pair
from metrics.masked import clip_deviation, clip_mean, frame_differences, over, ratio
from metrics.pairwise_spread import pairwise_spread
from metrics.weighted_mean import ClipMean, ClipRatio

DEGREES = 180 / math.pi


def pose_diversity_within_deg(head: Tensor, mask: Tensor) -> Tensor:
    """Mean pairwise L2 distance of the axis-angle vectors of each clip, degrees `[B]`; NaN under two frames."""
    check_curve(head, mask, "B T 3")
    return DEGREES * pairwise_spread(head, mask)


def pose_deviation_within_deg(head: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation over time, mean of the three components, of each clip, degrees `[B]`; NaN under two frames."""
    check_curve(head, mask, "B T 3")
    return DEGREES * clip_deviation(head, mask).mean(-1).float()


def pose_deviation_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Deviation of the predicted head over that of the true one, each clip `[B]`: under 1 = too still; NaN of a still truth.

    FaceGAN's variance ratio is of this kind, of variances; a ratio of deviations is its root.
    """
    check_pair(prediction, target, mask, "B T 3")
    return ratio(pose_deviation_within_deg(prediction, mask), pose_deviation_within_deg(target, mask))


def pose_range_deg(head: Tensor, mask: Tensor) -> Tensor:
    """Largest less smallest value over time, mean of the three components, of each clip, degrees `[B]`; NaN under two frames."""
    check_curve(head, mask, "B T 3")
    valid = over(mask, head)
    high = torch.where(valid, head, -torch.inf).amax(1)
    low = torch.where(valid, head, torch.inf).amin(1)
    return torch.where(mask.sum(1) > 1, DEGREES * (high - low).mean(-1), torch.nan).float()


def pose_speed_deg_per_s(head: Tensor, mask: Tensor, fps: float = 25.0) -> Tensor:
    """Mean length of the frame-to-frame difference of the axis-angle vectors, degrees a second `[B]`; NaN under two frames."""
    check_curve(head, mask, "B T 3")
    steps, pairs = frame_differences(head, mask)
    return (DEGREES * fps * clip_mean(steps.norm(dim=-1), pairs)).float()


class PoseDiversity(ClipMean):
    """`pose_diversity_within_deg`; every clip of two or more frames weighs the same."""

    function = staticmethod(pose_diversity_within_deg)
    average = "clips"
    shortest = 2


class PoseDeviation(ClipMean):
    """`pose_deviation_within_deg`; every clip of two or more frames weighs the same."""

    function = staticmethod(pose_deviation_within_deg)
    average = "clips"
    shortest = 2


class PoseDeviationRatio(ClipRatio):
    """Summed deviation of the predicted heads over that of the true ones; 1 is best."""

    function = staticmethod(pose_deviation_within_deg)


class PoseRange(ClipMean):
    """`pose_range_deg`; every clip of two or more frames weighs the same."""

    function = staticmethod(pose_range_deg)
    average = "clips"
    shortest = 2


class PoseSpeed(ClipMean):
    """`pose_speed_deg_per_s`; every clip of two or more frames weighs the same."""

    function = staticmethod(pose_speed_deg_per_s)
    average = "clips"
    shortest = 2
