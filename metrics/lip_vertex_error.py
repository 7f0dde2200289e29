"""Lip vertex error: how far the worst lip vertex of a frame is from the truth, on a face whose head does not turn.

Per frame the largest Euclidean distance over lip vertices; then the mean over frames, in millimetres. The scripts of
MeshTalk's and FaceFormer's successors (CodeTalker, AdaMesh) take the largest *squared* distance without a root instead:
`lve_squared_m2`. Both are given, since published tables mix them. Vertices `[B, T, V, 3]` are metres, masks `[B, T]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faces.face_model import FaceModel
from metrics.weighted_mean import WeightedMean

MM_PER_M = 1000.0


def lip_vertices(face_model: FaceModel, expression: Tensor, jaw: Tensor, identity: Tensor | None = None) -> Tensor:
    """Lip vertices `[B, T, V, 3]` (metres, head rotation zero) of expression `[B, T, E]`, jaw `[B, T, 3]`, identity `[B, I]`."""
    if identity is not None:
        identity = identity.unsqueeze(1)
    return face_model(identity, expression, jaw, vertex_ids=face_model.regions["lips"])


def largest_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Largest squared distance over vertices, per frame: `[B, T]`, square metres."""
    if prediction.shape != target.shape or prediction.ndim != 4 or prediction.shape[-1] != 3:
        raise ValueError(
            f"vertices have shapes {list(prediction.shape)} and {list(target.shape)}; expected both [B, T, V, 3]"
        )
    return (prediction - target).square().sum(-1).amax(-1)


def lip_vertex_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Lip vertex error of each clip `[B]` in mm, the mean over its valid frames; NaN for a clip without one."""
    return clip_means(MM_PER_M * largest_squared_error(prediction, target).sqrt(), mask)


def lve_squared_m2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The squared variant of each clip `[B]`, square metres; published tables give it in units of 1e-5."""
    return clip_means(largest_squared_error(prediction, target), mask)


def lip_vertex_error_mm(
    face_model: FaceModel,
    expression: Tensor,
    jaw: Tensor,
    true_expression: Tensor,
    true_jaw: Tensor,
    mask: Tensor,
    identity: Tensor | None = None,
) -> Tensor:
    """`lip_vertex_error` `[B]` in mm from raw coefficients, on the lips of `face_model` with head rotation zero."""
    prediction = lip_vertices(face_model, expression, jaw, identity)
    return lip_vertex_error(prediction, lip_vertices(face_model, true_expression, true_jaw, identity), mask)


def clip_means(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `[B, T]` over each clip's valid frames `[B]`; NaN for a clip without one."""
    values = torch.where(mask, values.double(), 0.0).sum(1) / mask.sum(1)
    return values.float()


class LipVertexError(WeightedMean):
    """`lip_vertex_error` in mm over everything seen; every valid frame weighs the same."""

    higher_is_better = False

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        """Lip vertices `[B, T, V, 3]` in metres and their mask `[B, T]`."""
        super().update(MM_PER_M * largest_squared_error(prediction, target).sqrt(), mask)


class LipVertexErrorSquared(WeightedMean):
    """`lve_squared_m2` over everything seen; every valid frame weighs the same."""

    higher_is_better = False

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        """Lip vertices `[B, T, V, 3]` in metres and their mask `[B, T]`."""
        super().update(largest_squared_error(prediction, target), mask)
