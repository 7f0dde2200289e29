"""What every network that speaks in coefficients shares: the space, and the corpus' statistics that turn raw units into normalised ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NUM_EXPRESSION = {"arkit": 52, "flame": 50}
NUM_JAW = 3
# A coefficient that moves less than this (standard deviation, raw units) is noise of the tracker or does not move at all.
CONSTANT_BELOW = 1e-3


class CoefficientSpace(nn.Module):
    """Expression and jaw of one face space, C = E + 3 channels, with mean and deviation as buffers: a checkpoint is self-contained.

    Raises ValueError for a space that is not known.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, space: str = "arkit") -> None:
        super().__init__()
        if space not in NUM_EXPRESSION:
            raise ValueError(f"unknown expression space {space!r}; expected one of {', '.join(NUM_EXPRESSION)}")
        self.space, self.num_expression = space, NUM_EXPRESSION[space]
        self.num_channels = self.num_expression + NUM_JAW
        self.register_buffer("mean", torch.zeros(self.num_channels))
        self.register_buffer("std", torch.ones(self.num_channels))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take mean and standard deviation `[E + 3]` (expression, then jaw; raw units) of the training corpus.

        Dimensions whose standard deviation is under 1e-3 count as constant: they take no part in input or loss, and the
        output there is their mean.
        """
        mean, std = torch.as_tensor(mean, dtype=torch.float32), torch.as_tensor(std, dtype=torch.float32)
        if mean.shape != self.mean.shape or std.shape != self.std.shape:
            raise ValueError(
                f"statistics have shapes {list(mean.shape)} and {list(std.shape)}; "
                f"expected {list(self.mean.shape)} for space {self.space}: expression, then jaw"
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std >= 0).all()):
            raise ValueError("statistics must be finite with std >= 0; prepare the corpus again")
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std < CONSTANT_BELOW, 0.0, std))

    def normalise(self, expression: Tensor, jaw: Tensor) -> Tensor:
        """Raw `[..., E]` and `[..., 3]` to normalised `[..., E + 3]`; constant dimensions become zero."""
        raw = torch.cat([expression, jaw], dim=-1)
        inverse = torch.where(self.std > 0, 1 / self.std.clamp(min=CONSTANT_BELOW), 0.0)
        return (raw - self.mean) * inverse

    def denormalise(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised `[..., E + 3]` to raw expression `[..., E]` and jaw `[..., 3]` (axis-angle, radians)."""
        raw = coefficients * self.std + self.mean
        return raw[..., : self.num_expression], raw[..., self.num_expression :]

    def raw_output(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """`denormalise`, and in the `arkit` space clamped to [0, 1], the range of Apple's coefficients."""
        expression, jaw = self.denormalise(coefficients)
        return (expression.clamp(0, 1), jaw) if self.space == "arkit" else (expression, jaw)
