"""Low-rank changes of a weight: LoRA, the mixture of AdaMesh (MoLoRA) and DoRA, for linear and convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from networks.weight_adapters.spec import AdapterError

# A row of zeros has no direction; DoRA leaves its scale at one.
SMALLEST_NORM = 1e-12


class LowRank(nn.Module):
    """W = W_0 + sum_i s_i * reshape(W_B^i W_A^i): LoRA (Hu et al., 2021) with one rank, MoLoRA (AdaMesh, figure 3c) with several.

    With a weight `[m, n / g, k_1, k_2]` (k = 1 where a layer has no such axis, g groups):
    `up[i]` = W_B `[(m / g) k_1, r_i k_1]`, zero at first; `down[i]` = W_A `[r_i k_1, n k_2]`, Kaiming-uniform with a = sqrt(5);
    s_i = alpha_i / r_i. Rows of the product are (channel, k_1), columns (group, channel, k_2), and all groups share W_B.
    Raises `AdapterError` for a rank that the layer does not have or groups that do not divide its channels.
    """

    def __init__(
        self, weight: Tensor, groups: int, ranks: tuple[int, ...], alphas: tuple[float, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        outputs, inputs, first, second = (*weight.shape, 1, 1)[:4]
        if outputs % groups:
            raise AdapterError(f"{groups} groups do not divide {outputs} output channels")
        rows, columns = outputs // groups * first, inputs * groups * second
        largest = largest_rank(weight.shape, groups)
        if max(ranks) > largest:
            raise AdapterError(
                f"rank {max(ranks)} is too large for a weight of shape {list(weight.shape)} with {groups} groups, "
                f"which allows at most {largest}"
            )
        self.axes = (outputs // groups, first, groups, inputs, second)
        self.ranks, self.scales = ranks, tuple(alpha / rank for alpha, rank in zip(alphas, ranks, strict=True))
        self.up = nn.ParameterList(weight.new_zeros(rows, rank * first) for rank in ranks)
        self.down = nn.ParameterList(
            _kaiming_uniform(rank * first, columns, generator).to(weight.device, weight.dtype) for rank in ranks
        )

    def forward(self, base: Tensor) -> Tensor:
        """The frozen weight `[m, n / g, k_1, k_2]` (or of fewer axes) to the adapted one of that shape."""
        return base + self.delta(base.shape)

    def delta(self, shape: torch.Size) -> Tensor:
        """The change of a weight of `shape`, `[m, n / g, k_1, k_2]` or its first axes. All pairs are one product of the summed rank."""
        scaled = [up if scale == 1 else up * scale for up, scale in zip(self.up, self.scales, strict=True)]
        return self._reshape(torch.cat(scaled, dim=1) @ torch.cat(list(self.down)), shape)

    def pair_delta(self, index: int, shape: torch.Size) -> Tensor:
        """The share of pair `index` in the change, of the weight's `shape`."""
        return self._reshape(self.scales[index] * (self.up[index] @ self.down[index]), shape)

    def _reshape(self, product: Tensor, shape: torch.Size) -> Tensor:
        return product.view(self.axes).permute(2, 0, 3, 1, 4).reshape(shape)


class DoRA(LowRank):
    """W = m * V / |V| with V = W_0 + low-rank change, row by row (Liu et al., 2024); `magnitude` m starts as |W_0|.

    As in section 4.3 of the paper |V| counts as a constant in the gradient.
    """

    def __init__(
        self, weight: Tensor, groups: int, ranks: tuple[int, ...], alphas: tuple[float, ...], generator: torch.Generator
    ) -> None:
        super().__init__(weight, groups, ranks, alphas, generator)
        self.magnitude = nn.Parameter(row_norm(weight.detach()).clone())

    def forward(self, base: Tensor) -> Tensor:
        """The frozen weight `[m, ...]` to the adapted one of its shape, whose row i has the norm `magnitude[i]`."""
        direction = super().forward(base)
        scale = self.magnitude / row_norm(direction).detach()
        return scale.view(-1, *[1] * (base.ndim - 1)) * direction


def largest_rank(shape: Sequence[int], groups: int = 1) -> int:
    """The largest rank that a weight `[m, n / g, k_1, k_2]` (k = 1 where it has no such axis) with g `groups` can have."""
    outputs, inputs, first, second = (*shape, 1, 1)[:4]
    return min(outputs // groups * first, inputs * groups * second) // first


def row_norm(weight: Tensor) -> Tensor:
    """Euclidean norm of each output channel's weights `[m, ...] -> [m]`."""
    return torch.linalg.vector_norm(weight.flatten(1), dim=1).clamp(min=SMALLEST_NORM)


def _kaiming_uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    bound = 1 / math.sqrt(columns)
    return (2 * torch.rand(rows, columns, generator=generator) - 1) * bound
