"""How far shoulders and chest move with the head: a bust that turns rigidly with it looks like a statue on a stick.

Vertices `[B, T, V, 3]` in metres of a face model posed with its head rotation, masks `[B, T]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.checks import check_curve
from metrics.masked import clip_mean, over

MM_PER_M = 1000.0


def vertex_motion_mm(vertices: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and vertices of the distance from each vertex' own mean position in the clip, mm `[B]`; NaN without frames."""
    check_curve(vertices, mask, "B T V 3")
    mean = clip_mean(vertices, mask).unsqueeze(1)
    distance = torch.where(over(mask, vertices), vertices.double() - mean, 0.0).norm(dim=-1)
    return (MM_PER_M * clip_mean(distance.mean(-1), mask)).float()


def bust_motion_mm(vertices: Tensor, bust: Tensor, mask: Tensor) -> Tensor:
    """`vertex_motion_mm` of the vertices `bust` (ids [N])."""
    return vertex_motion_mm(vertices[:, :, bust], mask)


def bust_motion_ratio(vertices: Tensor, bust: Tensor, head: Tensor, mask: Tensor) -> Tensor:
    """Motion of the bust over that of the head (ids [N] and [M]) `[B]`: 0 is a nailed-down bust, near 1 one that turns with the head; NaN for a still
    head.
    """
    return vertex_motion_mm(vertices[:, :, bust], mask) / vertex_motion_mm(vertices[:, :, head], mask)
