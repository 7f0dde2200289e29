"""Head rotation shared out between the torso and the neck, so that shoulders follow a turning head a little and do not turn with it rigidly.

For face models that have a bust (`torso_pivot`); others turn the head alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from faces.face_model import FaceModel, FaceModelError
from faces.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotate_points

# People turn the upper body with the head by about a third.
TORSO_SHARE = 0.3
# Metres: a vertex that a nod of half a radian moves by less belongs to the bust, one that is off the lips' motion by less to the head.
_STILL_M = 1e-5


class NeckSplit(NamedTuple):
    """Rotations `[..., 3]`, axis-angle in radians; the head's is the torso's times the neck's, as matrices."""

    torso: Tensor
    neck: Tensor


def split_head(head: Tensor, torso_share: float = TORSO_SHARE) -> NeckSplit:
    """Head rotations `[..., 3]` (axis-angle, radians) to those of torso and neck, whose product they are exactly.

    A share of the head's rotation from upright goes to the torso and the rest to the neck, both about the same axis (slerp). `torso_share` 0 holds
    the torso, 1 turns it rigidly with the head. Raises FaceModelError for a share outside 0 to 1.
    """
    if not 0 <= torso_share <= 1:
        raise FaceModelError(f"the torso's share of the head's rotation is {torso_share}; expected 0 to 1")
    turned = matrix_to_axis_angle(axis_angle_to_matrix(head))
    return NeckSplit(torso_share * turned, (1 - torso_share) * turned)


def has_bust(face: FaceModel) -> bool:
    """Whether the face model has shoulders that a torso can turn."""
    return getattr(face, "torso_pivot", None) is not None


def pose_face(
    face: FaceModel,
    identity: Tensor | None,
    expression: Tensor,
    jaw: Tensor | None,
    head: Tensor,
    torso_share: float = TORSO_SHARE,
    vertex_ids: Tensor | None = None,
) -> Tensor:
    """Vertices `[..., V, 3]` (metres) as `FaceModel.forward` gives them, with the head's rotation split where the model has a bust: the neck turns by
    its part, then everything about `torso_pivot` by the torso's.
    """
    pivot = face.torso_pivot if has_bust(face) else None
    if pivot is None or torso_share == 0:
        return face(identity, expression, jaw, head, vertex_ids)
    split = split_head(head, torso_share)
    vertices = face(identity, expression, jaw, split.neck, vertex_ids)
    return pivot + rotate_points(vertices - pivot, split.torso.unsqueeze(-2))


@torch.no_grad()
def bust_and_head(face: FaceModel) -> tuple[Tensor, Tensor]:
    """Vertex ids of the bust, which a turning neck leaves in place, and of the head, which goes with the lips as one rigid body.

    Raises FaceModelError for a face model without a bust.
    """
    expression = torch.zeros(face.num_expression, device=face.triangles.device)
    turn = torch.tensor([0.5, 0.0, 0.0], device=expression.device)
    rest, nodding = face(None, expression), face(None, expression, None, turn)
    lips = face.regions["lips"].to(expression.device)
    centre, moved_centre = rest[lips].mean(0), nodding[lips].mean(0)
    as_the_lips = moved_centre + rotate_points(rest - centre, turn)
    bust = (nodding - rest).norm(dim=-1) < _STILL_M
    if not bust.any() or not has_bust(face):
        raise FaceModelError(f"the {face.name} face has no bust: turning the neck leaves none of its vertices in place")
    return bust.nonzero().flatten(), ((nodding - as_the_lips).norm(dim=-1) < _STILL_M).nonzero().flatten()
