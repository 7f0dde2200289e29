"""How far shoulders and chest move with the head: a bust that turns rigidly with it looks like a statue on a stick.

Vertices `[B, T, V, 3]` in metres of a face model posed with its head rotation, masks `[B, T]`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from faces.face_model import FaceModel
from faces.neck_split import TORSO_SHARE, bust_and_head, pose_face
from metrics.checks import check_curve
from metrics.masked import clip_mean, over

MM_PER_M = 1000.0
# Of bust and head each: they move rigidly, so that some of their vertices tell their motion.
_VERTICES = 200


class BustMotion(NamedTuple):
    """Motion of a face's bust in mm, and its ratio to that of the head (NaN for a still head)."""

    mm: float
    of_head: float


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


@torch.no_grad()
def bust_motion_of(face: FaceModel, head: Tensor, torso_share: float = TORSO_SHARE) -> BustMotion:
    """How a face model's bust moves with head rotations `[T, 3]` (axis-angle, radians), its face at rest. Raises FaceModelError for one without a bust."""
    bust, skull = (ids[:: max(1, len(ids) // _VERTICES)] for ids in bust_and_head(face))
    expression = torch.zeros(len(head), face.num_expression, device=face.triangles.device)
    vertices = pose_face(face, None, expression, None, head.to(expression), torso_share, torch.cat([bust, skull]))[None]
    of_bust, of_skull = torch.arange(vertices.shape[2], device=vertices.device).split([len(bust), len(skull)])
    mask = torch.ones(1, len(head), dtype=torch.bool, device=vertices.device)
    moved, ratio = bust_motion_mm(vertices, of_bust, mask), bust_motion_ratio(vertices, of_bust, of_skull, mask)
    return BustMotion(float(moved), float(ratio))
