"""The training loss of the pose VQ-VAE: channels, their changes, and what the quantiser asks for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from losses.masked import masked_l1, masked_velocity_l1


class PoseLossOutput(NamedTuple):
    """The weighted total, and each unweighted term by name (detached)."""

    total: Tensor
    terms: dict[str, Tensor]


class PoseReconstructionLoss(nn.Module):
    """`position * L1 + velocity * L1 of differences + acceleration * L1 of second differences + commitment * the
    quantiser's losses`.

    Over valid frames of the normalised head channels, clips weighing the same (the quantiser's own losses weigh valid
    steps the same). Codes are chosen frame by frame, so without a term on acceleration the decoder trembles between them.
    """

    def __init__(
        self, position: float = 1.0, velocity: float = 1.0, acceleration: float = 1.0, commitment: float = 0.25
    ) -> None:
        super().__init__()
        self.weights = {"position": position, "velocity": velocity, "acceleration": acceleration}
        self.commitment = commitment

    def forward(
        self, channels: Tensor, target: Tensor, mask: Tensor, quantizer_losses: dict[str, Tensor]
    ) -> PoseLossOutput:
        """`channels` and `target` `[B, T, C]`, mask `[B, T]`, and the scalars of `Quantized.losses`."""
        pairs = mask[:, 1:] & mask[:, :-1]
        terms = {
            "position": masked_l1(channels, target, mask),
            "velocity": masked_velocity_l1(channels, target, mask),
            "acceleration": masked_velocity_l1(channels.diff(dim=1), target.diff(dim=1), pairs),
        }
        weighted = [self.weights[name] * term for name, term in terms.items()]
        weighted += [self.commitment * term for term in quantizer_losses.values()]
        detached = {name: term.detach() for name, term in (terms | quantizer_losses).items()}
        return PoseLossOutput(torch.stack(weighted).sum(), detached)
