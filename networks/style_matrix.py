"""AdaMesh's semantic-aware pose style matrix S: the mean pose latent of each semantic unit, kept for occupied units
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PRIOR_FRAMES = 4.0


@dataclass(frozen=True, eq=False)
class StyleMatrix:
    """Sparse S: for the n occupied of `num_units` columns, `units` [n] ascending, `counts` [n] frames and `means` `[n,
    D]`.

    10 s of speech fill at most 250 of 512 columns. Float32 on the CPU; the tensors are not to be changed.
    """

    units: Tensor
    counts: Tensor
    means: Tensor
    num_units: int

    @property
    def num_frames(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> Tensor:
        """Mean latent [D] of all frames."""
        return (self.counts.unsqueeze(1) * self.means).sum(0) / self.counts.sum()

    def dense(self, prior_frames: float = PRIOR_FRAMES) -> Tensor:
        """All columns `[num_units, D]`, each shrunk towards the clip's mean: (n S + k mean) / (n + k), k =
        `prior_frames`; an empty one is the mean.
        """
        full = self.mean.expand(self.num_units, -1).clone()
        full[self.units] = shrunk(self.means, self.counts, self.mean, prior_frames)
        return full


def shrunk(means: Tensor, counts: Tensor, centre: Tensor, prior_frames: float = PRIOR_FRAMES) -> Tensor:
    """Means `[n, D]` of `counts` [n] frames as if `prior_frames` more had been at the centre `[D]` or `[n, D]`."""
    share = (counts / (counts + prior_frames)).unsqueeze(1)
    return centre + share * (means - centre)


def style_matrix(latents: Tensor, units: Tensor, num_units: int) -> StyleMatrix:
    """S of one clip: latents `[T, D]` (the VQ-VAE's, before quantisation) and units [T] int64 of its steps.

    Raises ValueError where lengths differ, a unit is out of range, or there are no frames.
    """
    if latents.ndim != 2 or units.shape != latents.shape[:1] or len(units) == 0:
        raise ValueError(
            f"latents have shape {list(latents.shape)}, units {list(units.shape)}; expected [T, D] and [T], T > 0"
        )
    if int(units.min()) < 0 or int(units.max()) >= num_units:
        raise ValueError(f"units lie between {int(units.min())} and {int(units.max())}; expected 0 to {num_units - 1}")
    return _summed(units.cpu(), torch.ones(len(units)), latents.detach().float().cpu(), num_units)


def pooled(matrices: Sequence[StyleMatrix]) -> StyleMatrix:
    """S of several clips as if they were one; their order does not matter but for rounding. Raises ValueError for none
    or different sizes.
    """
    if not matrices or len({(m.num_units, m.means.shape[1]) for m in matrices}) != 1:
        raise ValueError(f"got {len(matrices)} style matrices to pool; expected at least one, all of the same size")
    units, counts, means = (
        torch.cat([getattr(matrix, name) for matrix in matrices]) for name in ("units", "counts", "means")
    )
    return _summed(units, counts, means, matrices[0].num_units)


def _summed(units: Tensor, counts: Tensor, means: Tensor, num_units: int) -> StyleMatrix:
    """One column for each unit that occurs, from rows weighted by counts; summed in float64, so that the rows' order
    hardly matters.
    """
    occupied, row = units.unique(return_inverse=True)
    totals = torch.zeros(len(occupied), dtype=torch.float64).index_add_(0, row, counts.double())
    sums = torch.zeros(len(occupied), means.shape[1], dtype=torch.float64)
    sums.index_add_(0, row, counts.double().unsqueeze(1) * means.double())
    return StyleMatrix(occupied, totals.float(), (sums / totals.unsqueeze(1)).float(), num_units)


def units_of_steps(units: Tensor, stride: int) -> Tensor:
    """Units [T] of motion frames to units [ceil(T / stride)] of the VQ-VAE's steps: that of each step's first frame."""
    return units[::stride]
