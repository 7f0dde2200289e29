"""The training loss of the expression adapter: coefficients before and after the post-net, velocity, lip vertices and landmarks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from faces.face_model import FaceModel
from losses.masked import Reduction, masked_l1, masked_velocity_l1, masked_vertex_distance

# Enough to see every shape of the lips; all vertices of a dense mesh would cost more than the network.
MAX_LIP_VERTICES = 128


class LossOutput(NamedTuple):
    """The weighted total, and each unweighted term by name (detached)."""

    total: Tensor
    terms: dict[str, Tensor]


def lip_basis_mm(face_model: FaceModel) -> Tensor:
    """`basis_mm` `[E, V, 3]` of lip vertices, at most 128, evenly taken."""
    lips = face_model.regions["lips"]
    return basis_mm(face_model, lips[torch.linspace(0, len(lips) - 1, min(len(lips), MAX_LIP_VERTICES)).long()])


def landmark_basis_mm(face_model: FaceModel) -> Tensor:
    """`basis_mm` `[E, V, 3]` of the face's landmarks; raises ValueError for a face that names none."""
    if face_model.landmarks is None:
        raise ValueError(
            f"the landmark term needs a face with landmarks, and {face_model.name} names none; set landmark=0"
        )
    return basis_mm(face_model, face_model.landmarks)


@torch.no_grad()
def basis_mm(face_model: FaceModel, vertex_ids: Tensor) -> Tensor:
    """Displacements `[E, V, 3]` in mm of vertices for one unit of each expression coefficient, mean identity.

    Exact where the face is linear in its expression; only differences matter to the loss, so the neutral is left out and
    the jaw's rotation is not modelled.
    """
    units = torch.eye(face_model.num_expression, device=vertex_ids.device)
    moved = face_model(None, units, vertex_ids=vertex_ids)
    return 1000 * (moved - face_model(None, torch.zeros_like(units[:1]), vertex_ids=vertex_ids))


class ExpressionLoss(nn.Module):
    """`mid * L1(mid) + final * L1(final) + velocity * L1 of differences + lip_vertex * lip distance + landmark * landmark distance`.

    Means over valid frames, clips weighing the same.
    Coefficients are normalised; `mid` and `final` 1 : 1 with `reduction="frame_sum"` and nothing else is the loss of the
    released AdaMesh code. The lip term (mm, mean over lip vertices) and the landmark term (mm, mean over the face's landmarks) need
    `face_model` of the same expression space, and `std` `[E + 3]` to turn coefficients raw; whatever the reduction they are means.
    Raises ValueError for options that do not fit each other or the face.
    """

    lip_basis: Tensor | None
    landmark_basis: Tensor | None

    def __init__(
        self,
        mid: float = 1.0,
        final: float = 1.0,
        velocity: float = 0.5,
        lip_vertex: float = 0.0,
        landmark: float = 0.0,
        reduction: Reduction = "mean",
        face_model: FaceModel | None = None,
    ) -> None:
        super().__init__()
        if (lip_vertex or landmark) and face_model is None:
            raise ValueError(
                "the lip vertex and landmark terms need face_model, whose vertices they measure; give one or set lip_vertex=0 and landmark=0"
            )
        if reduction not in ("mean", "frame_sum"):
            raise ValueError(f"reduction is {reduction!r}; expected 'mean' or 'frame_sum'")
        self.weights = {"mid": mid, "final": final, "velocity": velocity}
        self.weights |= {"lip_vertex": lip_vertex, "landmark": landmark}
        self.reduction = reduction
        lips = lip_basis_mm(face_model) if face_model is not None and lip_vertex else None
        landmarks = landmark_basis_mm(face_model) if face_model is not None and landmark else None
        self.register_buffer("lip_basis", lips, persistent=False)
        self.register_buffer("landmark_basis", landmarks, persistent=False)

    def forward(
        self, mid: Tensor, final: Tensor, target: Tensor, mask: Tensor, std: Tensor | None = None
    ) -> LossOutput:
        """`mid`, `final` and `target` `[B, T, E + 3]` normalised, mask `[B, T]`, `std` `[E + 3]` in raw units."""
        terms = {
            "mid": masked_l1(mid, target, mask, self.reduction),
            "final": masked_l1(final, target, mask, self.reduction),
        }
        if self.weights["velocity"]:
            terms["velocity"] = masked_velocity_l1(final, target, mask, self.reduction)
        if self.lip_basis is not None:
            terms["lip_vertex"] = _distance_mm(self.lip_basis, final - target, mask, std)
        if self.landmark_basis is not None:
            terms["landmark"] = _distance_mm(self.landmark_basis, final - target, mask, std)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})

    def weight(self, mask: Tensor) -> Tensor:
        """What the loss of a batch counts in a mean over batches: its clips, with `frame_sum` its valid frames."""
        return mask.sum() if self.reduction == "frame_sum" else torch.tensor(len(mask), device=mask.device)


def _distance_mm(basis: Tensor, error: Tensor, mask: Tensor, std: Tensor | None) -> Tensor:
    """Mean distance by which a normalised error `[B, T, E + 3]` displaces the vertices of a basis `[E, V, 3]`."""
    if std is None:
        raise ValueError("the lip vertex and landmark terms need std [E + 3], the network's standard deviations")
    raw = (error * std)[..., : basis.shape[0]]
    offsets = torch.einsum("bte,evc->btvc", raw, basis)
    return masked_vertex_distance(offsets, torch.zeros_like(offsets), mask)
