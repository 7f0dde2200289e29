"""The training loss of the expression adapter: coefficients before and after the post-net, velocity and lip vertices."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from losses.masked import Reduction, masked_l1, masked_velocity_l1, masked_vertex_distance


class LossOutput(NamedTuple):
    """The weighted total, and each unweighted term by name (detached)."""

    total: Tensor
    terms: dict[str, Tensor]


class LipBasis(nn.Module):
    """Lip vertices of a face whose expression is linear: `[..., E + 3]` raw coefficients to `[..., V, 3]`, in millimetres.

    Only differences matter to the loss, so neutral shape and identity are left out; the jaw's rotation is not modelled.
    `basis` `[E, V, 3]` metres for one unit of each expression coefficient.
    """

    basis: Tensor

    def __init__(self, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", 1000 * basis.detach().float(), persistent=False)

    def forward(self, coefficients: Tensor) -> Tensor:
        expression = coefficients[..., : self.basis.shape[0]]
        return torch.einsum("...e,evc->...vc", expression, self.basis)


class ExpressionLoss(nn.Module):
    """`mid * L1(mid) + final * L1(final) + velocity * L1 of differences + lip_vertex * lip distance`, over valid frames.

    Coefficients are normalised; `mid` and `final` 1 : 1 with `reduction="frame_sum"` and nothing else is the loss of the
    released AdaMesh code. The lip term (mm) needs `lip_basis`, and `std` `[E + 3]` to turn coefficients raw.
    """

    def __init__(
        self,
        mid: float = 1.0,
        final: float = 1.0,
        velocity: float = 0.5,
        lip_vertex: float = 0.0,
        reduction: Reduction = "mean",
        lip_basis: Tensor | None = None,
    ) -> None:
        super().__init__()
        if lip_vertex and lip_basis is None:
            raise ValueError("the lip vertex term needs lip_basis [E, V, 3]: the face model's shapes at its lips")
        if reduction not in ("mean", "frame_sum"):
            raise ValueError(f"reduction is {reduction!r}; expected 'mean' or 'frame_sum'")
        self.weights = {"mid": mid, "final": final, "velocity": velocity, "lip_vertex": lip_vertex}
        self.reduction = reduction
        self.lip_basis = None if lip_basis is None else LipBasis(lip_basis)

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
        if self.weights["lip_vertex"] and self.lip_basis is not None:
            if std is None:
                raise ValueError("the lip vertex term needs std [E + 3], the network's standard deviations")
            lips, true_lips = self.lip_basis(final * std), self.lip_basis(target * std)
            terms["lip_vertex"] = masked_vertex_distance(lips, true_lips, mask)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})
