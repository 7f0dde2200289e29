"""How well the upper face follows: the worst vertex of eyes and forehead, and how much the region moves at all.

Vertices `[B, T, V, 3]` are metres, of the region `upper_face` and with head rotation zero; masks `[B, T]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.lip_vertex_error import MM_PER_M, clip_means, largest_squared_error
from metrics.weighted_mean import WeightedMean


def upper_face_vertex_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Largest distance over vertices, mean over frames: each clip `[B]` in mm (EmoTalk's EVE as EmoFace restates it)."""
    return clip_means(MM_PER_M * largest_squared_error(prediction, target).sqrt(), mask)


def upper_face_dynamics(vertices: Tensor, neutral: Tensor, mask: Tensor) -> Tensor:
    """How much the region moves in each clip `[B]`, square metres; `neutral` `[V, 3]` or `[B, V, 3]` is the face at rest.

    Mean over vertices of the standard deviation over time of the squared displacement from rest (CodeTalker, Xing et al.,
    2023, section 4.2). NaN for a clip without frames.
    """
    rest = neutral.expand(vertices.shape[0], *neutral.shape[-2:]).unsqueeze(1)
    displacement = (vertices - rest).double().square().sum(-1)
    displacement = torch.where(mask.unsqueeze(-1), displacement, 0.0)
    count = mask.sum(1)[:, None, None]
    mean = displacement.sum(1, keepdim=True) / count
    deviation = torch.where(mask.unsqueeze(-1), displacement - mean, 0.0)
    return (deviation.square().sum(1) / count[:, 0]).sqrt().mean(-1).float()


def upper_face_dynamics_deviation(prediction: Tensor, target: Tensor, neutral: Tensor, mask: Tensor) -> Tensor:
    """Dynamics of the truth minus those of the prediction (FDD), each clip `[B]`, square metres; positive = too still."""
    return upper_face_dynamics(target, neutral, mask) - upper_face_dynamics(prediction, neutral, mask)


class UpperFaceVertexError(WeightedMean):
    """`upper_face_vertex_error` in mm over everything seen; every valid frame weighs the same."""

    higher_is_better = False

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        """Vertices of the upper face `[B, T, V, 3]` in metres and their mask `[B, T]`."""
        super().update(MM_PER_M * largest_squared_error(prediction, target).sqrt(), mask)


class UpperFaceDynamicsDeviation(WeightedMean):
    """`upper_face_dynamics_deviation` in square metres; every clip weighs the same. Zero is best, so neither direction is."""

    def __init__(self, neutral: Tensor) -> None:
        super().__init__()
        self.register_buffer("neutral", neutral.detach(), persistent=False)

    neutral: Tensor

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        """Vertices of the upper face `[B, T, V, 3]` in metres and their mask `[B, T]`."""
        super().update(upper_face_dynamics_deviation(prediction, target, self.neutral, mask), mask.any(1))
