"""Errors of how points move, not of where they are: speed and jerk.

Curves `[B, T, V, 3]` in metres (lip vertices) or `[B, T, 3]` in radians (axis-angle of the head), masks `[B, T]`, 25 frames/s.
Speeds and jerks are lengths of finite differences; only differences made of valid frames count.
"""

from __future__ import annotations

import math

from torch import Tensor

from metrics.checks import check_curve, check_pair
from metrics.distances import length
from metrics.masked import clip_mean, frame_differences, ratio
from metrics.weighted_mean import ClipMean, ClipRatio

MM_PER_M = 1000.0
DEGREES = 180 / math.pi
FPS = 25.0


def lip_speed_error_mm_per_s(prediction: Tensor, target: Tensor, mask: Tensor, fps: float = FPS) -> Tensor:
    """Mean over frame pairs and lip vertices of abs(speed less true speed), each clip `[B]`, mm/s; NaN under two frames.

    Compares how fast, not where to. `lvd_talkshow_m` is the sum over points without the frame rate.
    """
    check_pair(prediction, target, mask, "B T V 3")
    error, pairs = _speed_error(prediction, target, mask)
    return (MM_PER_M * fps * clip_mean(error.mean(-1), pairs)).float()


def lvd_talkshow_m(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Landmark velocity difference: mean over frame pairs of the sum over points of abs(step less true step), each clip `[B]`, metres a frame.

    TalkSHOW (Yi et al. 2023): lengths of steps are compared, not the steps; points `[B, T, V, 3]` are its joints or landmarks at 30 frames/s.
    """
    check_pair(prediction, target, mask, "B T V 3")
    error, pairs = _speed_error(prediction, target, mask)
    return clip_mean(error.sum(-1), pairs).float()


def head_speed_error_deg_per_s(prediction: Tensor, target: Tensor, mask: Tensor, fps: float = FPS) -> Tensor:
    """Mean over frame pairs of abs(speed of the axis-angle vector less the true one), each clip `[B]`, degrees/s; NaN under two frames."""
    check_pair(prediction, target, mask, "B T 3")
    error, pairs = _speed_error(prediction, target, mask)
    return (DEGREES * fps * clip_mean(error, pairs)).float()


def lip_jerk_m_per_s3(lips: Tensor, mask: Tensor, fps: float = FPS) -> Tensor:
    """Mean over lip vertices and frames of the length of the third difference times fps³, each clip `[B]`, m/s³; NaN under four frames."""
    check_curve(lips, mask, "B T V 3")
    third, counted = frame_differences(lips, mask, order=3)
    return (fps**3 * clip_mean(length(third).mean(-1), counted)).float()


def lip_jerk_error_m_per_s3(prediction: Tensor, target: Tensor, mask: Tensor, fps: float = FPS) -> Tensor:
    """Absolute difference of the clips' mean jerks `[B]`, m/s³: of clip means, since jerks of two motions never coincide frame by frame."""
    check_pair(prediction, target, mask, "B T V 3")
    return (lip_jerk_m_per_s3(prediction, mask, fps) - lip_jerk_m_per_s3(target, mask, fps)).abs()


def head_jerk_deg_per_s3(head: Tensor, mask: Tensor, fps: float = FPS) -> Tensor:
    """Mean length of the third difference of the axis-angle vector times fps³, each clip `[B]`, degrees/s³; NaN under four frames."""
    check_curve(head, mask, "B T 3")
    third, counted = frame_differences(head, mask, order=3)
    return (DEGREES * fps**3 * clip_mean(length(third), counted)).float()


def _speed_error(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    ours, pairs = frame_differences(prediction, mask)
    theirs, _ = frame_differences(target, mask)
    return (length(ours) - length(theirs)).abs(), pairs


def lip_jerk_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Jerk of the predicted lips over that of the true ones, each clip `[B]`: over 1 = jittery, under 1 = smoothed; NaN of a still truth."""
    return ratio(lip_jerk_m_per_s3(prediction, mask), lip_jerk_m_per_s3(target, mask))


def head_jerk_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Jerk of the predicted head over that of the true one, each clip `[B]`: over 1 = jittery, under 1 = smoothed; NaN of a still truth."""
    return ratio(head_jerk_deg_per_s3(prediction, mask), head_jerk_deg_per_s3(target, mask))


class LipSpeedError(ClipMean):
    """`lip_speed_error_mm_per_s` over everything seen; every frame pair weighs the same."""

    higher_is_better = False
    function = staticmethod(lip_speed_error_mm_per_s)
    shortest = 2


class LandmarkVelocityDifference(ClipMean):
    """`lvd_talkshow_m`; every clip weighs the same, as in TalkSHOW's script."""

    higher_is_better = False
    function = staticmethod(lvd_talkshow_m)
    average = "clips"
    shortest = 2


class HeadSpeedError(ClipMean):
    """`head_speed_error_deg_per_s` over everything seen; every frame pair weighs the same."""

    higher_is_better = False
    function = staticmethod(head_speed_error_deg_per_s)
    shortest = 2


class LipJerkError(ClipMean):
    """`lip_jerk_error_m_per_s3`; every clip of four or more frames weighs the same."""

    higher_is_better = False
    function = staticmethod(lip_jerk_error_m_per_s3)
    average = "clips"
    shortest = 4


class LipJerkRatio(ClipRatio):
    """Summed lip jerk of the predictions over that of the truths; 1 is best."""

    function = staticmethod(lip_jerk_m_per_s3)
    shortest = 4


class HeadJerkRatio(ClipRatio):
    """Summed head jerk of the predictions over that of the truths; 1 is best."""

    function = staticmethod(head_jerk_deg_per_s3)
    shortest = 4
