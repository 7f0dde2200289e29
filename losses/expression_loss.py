"""The training loss of the expression adapter: coefficients before and after the post-net, velocity and lip vertices."""

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


@torch.no_grad()
def lip_basis_mm(face_model: FaceModel) -> Tensor:
    """Displacements `[E, V, 3]` in mm of lip vertices (at most 128, evenly taken) for one unit of each expression coefficient, mean identity.

    Exact where the face is linear in its expression; only differences matter to the loss, so the neutral is left out and
    the jaw's rotation is not modelled.
    """
    lips = face_model.regions["lips"]
    lips = lips[torch.linspace(0, len(lips) - 1, min(len(lips), MAX_LIP_VERTICES)).long()]
    units = torch.eye(face_model.num_expression, device=lips.device)
    moved = face_model(None, units, vertex_ids=lips)
    return 1000 * (moved - face_model(None, torch.zeros_like(units[:1]), vertex_ids=lips))


class ExpressionLoss(nn.Module):
    """`mid * L1(mid) + final * L1(final) + velocity * L1 of differences + lip_vertex * lip distance`, over valid frames, clips weighing the same.

    Coefficients are normalised; `mid` and `final` 1 : 1 with `reduction="frame_sum"` and nothing else is the loss of the
    released AdaMesh code. The lip term (mm, mean over lip vertices) needs `face_model` of the same expression space, and
    `std` `[E + 3]` to turn coefficients raw.
    """

    lip_basis: Tensor | None

    def __init__(
        self,
        mid: float = 1.0,
        final: float = 1.0,
        velocity: float = 0.5,
        lip_vertex: float = 0.0,
        reduction: Reduction = "mean",
        face_model: FaceModel | None = None,
    ) -> None:
        super().__init__()
        if lip_vertex and face_model is None:
            raise ValueError(
                "the lip vertex term needs face_model, whose lips it measures; give one or set lip_vertex=0"
            )
        if reduction not in ("mean", "frame_sum"):
            raise ValueError(f"reduction is {reduction!r}; expected 'mean' or 'frame_sum'")
        self.weights = {"mid": mid, "final": final, "velocity": velocity, "lip_vertex": lip_vertex}
        self.reduction = reduction
        basis = lip_basis_mm(face_model) if face_model is not None and lip_vertex else None
        self.register_buffer("lip_basis", basis, persistent=False)

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
            terms["lip_vertex"] = self._lip_distance(final - target, mask, std)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})

    def weight(self, mask: Tensor) -> Tensor:
        """What the loss of a batch counts in a mean over batches: its clips, with `frame_sum` its valid frames."""
        return mask.sum() if self.reduction == "frame_sum" else torch.tensor(len(mask), device=mask.device)

    def _lip_distance(self, error: Tensor, mask: Tensor, std: Tensor | None) -> Tensor:
        if std is None or self.lip_basis is None:
            raise ValueError("the lip vertex term needs std [E + 3], the network's standard deviations")
        raw = (error * std)[..., : self.lip_basis.shape[0]]
        offsets = torch.einsum("bte,evc->btvc", raw, self.lip_basis)
        return masked_vertex_distance(offsets, torch.zeros_like(offsets), mask)
