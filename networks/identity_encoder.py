"""Shape coefficients of a person as one vector; an unknown person has a learned vector of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class IdentityEncoder(nn.Module):
    """Identity `[B, I]` and `known` [B] bool -> `[B, width]`: Linear, layer norm, SiLU, Linear; learned null if unknown.

    With `num_identity` 0 every identity is unknown.
    """

    def __init__(self, num_identity: int, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.num_identity = num_identity
        self.null_embedding = nn.Parameter(0.02 * torch.randn(width))
        self.layers: nn.Sequential | None = None
        if num_identity:
            self.layers = nn.Sequential(
                nn.Linear(num_identity, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, width)
            )

    def forward(self, identity: Tensor, known: Tensor) -> Tensor:
        if self.layers is None:
            return self.null_embedding.expand(len(known), -1)
        if identity.shape[-1] != self.num_identity:
            raise ValueError(f"identity has {identity.shape[-1]} coefficients; this network takes {self.num_identity}")
        return torch.where(known.unsqueeze(-1), self.layers(identity), self.null_embedding)
