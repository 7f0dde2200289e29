"""Errors over the whole face and over its upper part, in place; how much a region moves is in `metrics.upper_face_dynamics`.

Vertices `[B, T, V, 3]` are metres with head rotation zero, masks `[B, T]`; d is the distance of a vertex from the truth.
"""

from __future__ import annotations

from torch import Tensor

from metrics.checks import check_pair
from metrics.distances import frame_errors, mean_distance, mean_square
from metrics.lip_vertex_error import MM_PER_M, clip_means, lip_vertex_error
from metrics.upper_face_dynamics import (
    UpperFaceDynamicsDeviation,
    upper_face_dynamics,
    upper_face_dynamics_deviation,
)
from metrics.weighted_mean import ClipMean, RootClipMean

__all__ = [
    "MeanVertexDistanceArtalk",
    "MeanVertexError",
    "MeanVertexErrorSquared",
    "UpperFaceDynamicsDeviation",
    "UpperFaceMeanVertexError",
    "UpperFaceVertexError",
    "face_mean_squared_error_m2",
    "mean_vertex_error_mm",
    "mhd_artalk_mm",
    "upper_face_dynamics",
    "upper_face_dynamics_deviation",
    "upper_face_mean_vertex_error_mm",
    "upper_face_vertex_error",
]


def mean_vertex_error_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and all vertices of d, each clip `[B]`, mm (MVE of FaceDiffuser, ProbTalk3D and ScanTalk).

    FaceDiffuser's and ProbTalk3D's scripts pool all frames and print metres. What counts as the face differs: theirs is the whole mesh.
    """
    check_pair(prediction, target, mask, "B T V 3")
    return clip_means(MM_PER_M * frame_errors(prediction, target, mean_distance), mask)


def mhd_artalk_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Root of the mean over valid frames and all vertices of d², each clip `[B]`, mm (MHD of ARTalk and UniLS)."""
    return MM_PER_M * face_mean_squared_error_m2(prediction, target, mask).sqrt()


def face_mean_squared_error_m2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and all vertices of d², each clip `[B]`, square metres, after the FVE of MemoryTalker's tables (in 1e-6).

    Its scripts have no FVE; the LVE of its second stage is a mean square over lip coordinates, a third of this on lip vertices and without a maximum.
    """
    check_pair(prediction, target, mask, "B T V 3")
    return clip_means(frame_errors(prediction, target, mean_square), mask)


def upper_face_vertex_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Largest distance over upper-face vertices, mean over frames: each clip `[B]` in mm (EmoTalk's EVE as EmoFace restates it).

    Papers on MEAD take the mean over vertices instead: `upper_face_mean_vertex_error_mm`.
    """
    return lip_vertex_error(prediction, target, mask)


def upper_face_mean_vertex_error_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and upper-face vertices of d, each clip `[B]`, mm."""
    return mean_vertex_error_mm(prediction, target, mask)


class MeanVertexError(ClipMean):
    """`mean_vertex_error_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(mean_vertex_error_mm)


class MeanVertexDistanceArtalk(RootClipMean):
    """`mhd_artalk_mm` over everything seen: one root over all valid frames (ARTalk takes one root a batch)."""

    higher_is_better = False
    function = staticmethod(mhd_artalk_mm)


class MeanVertexErrorSquared(ClipMean):
    """`face_mean_squared_error_m2` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(face_mean_squared_error_m2)


class UpperFaceVertexError(ClipMean):
    """`upper_face_vertex_error` in mm over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(upper_face_vertex_error)


class UpperFaceMeanVertexError(ClipMean):
    """`upper_face_mean_vertex_error_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(upper_face_mean_vertex_error_mm)
