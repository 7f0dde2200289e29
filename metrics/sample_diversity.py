"""How different repeated samples of one clip are, and how near the best and the mean of them come to the truth.

Samples `[B, S, T, ...]` of a clip share its speech and its length; masks `[B, T]`. A deterministic model has no diversity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metrics.checks import MetricError, check_mask
from metrics.lip_vertex_error import largest_squared_error
from metrics.masked import clip_mean
from metrics.weighted_mean import ClipMean

MM_PER_M = 1000.0
DEGREES = 180 / math.pi


def pose_diversity_samples_deg(heads: Tensor, mask: Tensor) -> Tensor:
    """Mean over pairs of samples and valid frames of the L2 distance of axis-angle vectors `[B, S, T, 3]`, degrees `[B]`; NaN under two samples."""
    _check_samples(heads, mask, 4)
    return (DEGREES * _mean_over_pairs(heads, mask)).float()


def vertex_diversity_samples_mm(vertices: Tensor, mask: Tensor) -> Tensor:
    """Mean over pairs of samples, valid frames and vertices `[B, S, T, V, 3]` of their distance, mm `[B]` (FaceDiffuser's diversity).

    FaceDiffuser takes style conditions for samples, all pairs, metres. ProbTalk3D shuffles ten samples and takes five disjoint pairs: pass
    two samples at a time and average to reproduce it.
    """
    _check_samples(vertices, mask, 5)
    return (MM_PER_M * _mean_over_pairs(vertices, mask)).float()


def sample_variance_talkshow(points: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames of the sum over points of ‖variance over samples‖ (a vector of x, y, z variances), each clip `[B]`, square metres.

    Points `[B, S, T, V, 3]`; TalkSHOW (Yi et al. 2023), there of joints at 30 frames/s. Variance divides by S - 1; NaN under two samples.
    """
    _check_samples(points, mask, 5)
    if points.shape[1] < 2:
        return torch.full((len(points),), torch.nan, device=points.device)
    return clip_mean(points.double().var(1).norm(dim=-1).sum(-1), mask).float()


def mean_estimate_error_m2(lips: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`lve_squared_m2` of the mean of the samples `[B, S, T, V, 3]` against lips `[B, T, V, 3]`, each clip `[B]` (ProbTalk3D's MEE, of ten)."""
    _check_samples(lips, mask, 5)
    return clip_mean(largest_squared_error(lips.mean(1), target), mask).float()


def coverage_error_m2(lips: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Smallest `lve_squared_m2` of the samples `[B, S, T, V, 3]` against lips `[B, T, V, 3]`, each clip `[B]` (ProbTalk3D's CE, of ten)."""
    _check_samples(lips, mask, 5)
    errors = [clip_mean(largest_squared_error(sample, target), mask) for sample in lips.unbind(1)]
    return torch.stack(errors).amin(0).float()


def _check_samples(samples: Tensor, mask: Tensor, dimensions: int) -> None:
    if samples.ndim != dimensions:
        raise MetricError(
            f"samples have shape {list(samples.shape)}; expected {dimensions} dimensions: clips, samples, frames, then points or components"
        )
    check_mask(samples[:, 0], mask)


def _mean_over_pairs(samples: Tensor, mask: Tensor) -> Tensor:
    """Mean over pairs, frames and points of the distance, `[B]`: a pair at a time, since all at once would not fit."""
    count = samples.shape[1]
    total = samples.new_zeros(len(samples), dtype=torch.float64)
    for first in range(count):
        for second in range(first + 1, count):
            distance = (samples[:, first] - samples[:, second]).norm(dim=-1).flatten(2 if samples.ndim == 5 else 1)
            total += clip_mean(distance.mean(-1) if samples.ndim == 5 else distance, mask)
    return total / (count * (count - 1) / 2) if count > 1 else total * torch.nan


class PoseSampleDiversity(ClipMean):
    """`pose_diversity_samples_deg`; every clip weighs the same."""

    function = staticmethod(pose_diversity_samples_deg)
    average = "clips"


class VertexSampleDiversity(ClipMean):
    """`vertex_diversity_samples_mm`; every clip weighs the same, as in FaceDiffuser's and ProbTalk3D's scripts."""

    higher_is_better = True
    function = staticmethod(vertex_diversity_samples_mm)
    average = "clips"


class SampleVarianceTalkshow(ClipMean):
    """`sample_variance_talkshow`; every clip weighs the same."""

    higher_is_better = True
    function = staticmethod(sample_variance_talkshow)
    average = "clips"


class MeanEstimateError(ClipMean):
    """`mean_estimate_error_m2`; every frame weighs the same, as in ProbTalk3D's script."""

    higher_is_better = False
    function = staticmethod(mean_estimate_error_m2)


class CoverageError(ClipMean):
    """`coverage_error_m2`; every frame weighs the same, as in ProbTalk3D's script."""

    higher_is_better = False
    function = staticmethod(coverage_error_m2)
