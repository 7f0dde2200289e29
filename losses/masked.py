"""Losses over padded sequences: each counts valid frames only, and padding gets no gradient.

All take prediction and target `[B, T, C]` and a mask `[B, T]` (True = valid), and return a scalar. It is the mean over clips of each
clip's mean over valid frames and channels: every clip weighs the same, so the gradient does not depend on which clips share a batch, that is on
ranks or accumulation. A clip without a valid frame counts as zero (and so does its gradient).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "frame_sum"]


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Mean absolute error.

    `frame_sum` sums the channels and divides by the valid frames of the whole batch: the loss of the released AdaMesh code.
    """
    return _reduce(_difference(prediction, target, mask).abs(), mask, reduction)


def masked_l2(prediction: Tensor, target: Tensor, mask: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Mean squared error; `frame_sum` as in `masked_l1`."""
    return _reduce(_difference(prediction, target, mask).square(), mask, reduction)


def masked_velocity_l1(prediction: Tensor, target: Tensor, mask: Tensor, reduction: Reduction = "mean") -> Tensor:
    """L1 between frame-to-frame differences (units a frame), over pairs of neighbours that are both valid."""
    pairs = mask[:, 1:] & mask[:, :-1]
    return masked_l1(prediction.diff(dim=1), target.diff(dim=1), pairs, reduction)


def masked_vertex_distance(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean Euclidean distance of vertices `[B, T, V, 3]` over valid frames and vertices, in the vertices' unit."""
    # The small constant keeps the gradient of the root finite where prediction and target agree.
    difference = _difference(prediction, target, mask)
    distance = (difference.square().sum(-1) + 1e-12).sqrt()
    return _reduce(distance * mask.unsqueeze(-1), mask, "mean")


def _difference(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Prediction minus target, zero at padding: it may hold anything, and NaN must reach neither loss nor gradient."""
    if mask.shape != prediction.shape[:2]:
        raise ValueError(f"mask has shape {list(mask.shape)}; expected {list(prediction.shape[:2])} as the prediction")
    valid = mask.view(*mask.shape, *[1] * (prediction.ndim - 2))
    return torch.where(valid, prediction - target, 0.0)


def _reduce(error: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
    """`error` is zero at padding already."""
    if reduction == "frame_sum":
        return error.sum() / mask.sum().clamp(min=1)
    return (error.mean(dim=2).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()
