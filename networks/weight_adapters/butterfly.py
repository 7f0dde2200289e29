"""Orthogonal changes of a weight: OFT (Qiu et al., 2023) and BOFT, its butterfly form (Liu et al., 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from networks.weight_adapters.spec import AdapterError


class Butterfly(nn.Module):
    """W = W_0 R^T, R = F_m ... F_1 orthogonal: every neuron (one output channel's flattened weights, length d) is turned alike.

    F_i is a permuted block diagonal of d / b blocks of size b: it joins half-blocks (b / 2 neighbours) that lie 2^(i-1) half-blocks
    apart, so that m factors reach b 2^(m-1) inputs of each neuron, all d with m = log2(2 d / b). A block is the Cayley map
    (I + Q)(I - Q)^-1 of a skew matrix Q; `skew` `[m, d / b, b (b - 1) / 2]` holds the values above Q's diagonal, zero at first.
    One factor is OFT. Never is a d x d matrix built, and no compiled kernel is needed. The groups of a convolution share R.
    Raises `AdapterError` where d does not split so.
    """

    def __init__(self, weight: Tensor, block_size: int, num_factors: int) -> None:
        super().__init__()
        length = weight[0].numel()
        if length % (block_size << (num_factors - 1)):
            raise AdapterError(
                f"{num_factors} factors with blocks of {block_size} need a multiple of {block_size << (num_factors - 1)} "
                f"inputs to a neuron, but a weight of shape {list(weight.shape)} has {length}"
            )
        self.block_size = block_size
        self.skew = nn.Parameter(
            weight.new_zeros(num_factors, length // block_size, block_size * (block_size - 1) // 2)
        )

    def forward(self, base: Tensor) -> Tensor:
        """The frozen weight `[m, ...]` of d values a row to the adapted one of its shape."""
        return self.rotate(base.flatten(1)).view(base.shape)

    def rotate(self, rows: Tensor) -> Tensor:
        """`rows` `[P, d]` times R^T."""
        for level, blocks in enumerate(cayley(self.skew, self.block_size)):
            apart = 1 << level
            if level == 0:  # neighbours, also where the block size is odd
                rows = _multiply(rows.unflatten(1, (-1, self.block_size)), blocks).flatten(1)
            else:
                halves = rows.unflatten(1, (-1, 2, apart, self.block_size // 2)).transpose(2, 3)
                turned = _multiply(halves.flatten(3).flatten(1, 2), blocks)
                rows = turned.view(halves.shape).transpose(2, 3).flatten(1)
        return rows


def cayley(skew: Tensor, size: int) -> Tensor:
    """Values above the diagonal `[..., size (size - 1) / 2]` to orthogonal matrices `[..., size, size]`.

    Solved in double precision: in single, blocks of 64 or large values miss orthogonality by some 1e-6.
    """
    row, column = torch.triu_indices(size, size, offset=1, device=skew.device)
    upper = skew.new_zeros(*skew.shape[:-1], size, size, dtype=torch.float64)
    upper[..., row, column] = skew.double()
    matrix = upper - upper.transpose(-1, -2)
    identity = torch.eye(size, device=skew.device, dtype=matrix.dtype)
    return torch.linalg.solve(identity - matrix, identity + matrix).to(skew.dtype)


def _multiply(rows: Tensor, blocks: Tensor) -> Tensor:
    """`[P, N, b]` times the transposes of `[N, b, b]`, block by block."""
    return torch.bmm(rows.transpose(0, 1), blocks.transpose(1, 2)).transpose(0, 1)
