"""Frechet distance between motions as sets: one implementation, float64, for every feature (the FID, FGD, FED and FPD of papers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.checks import MetricError, check_pair
from metrics.motion_statistics import MotionEmbedder, MotionStatistics, windows
from metrics.weighted_mean import NamedClips


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared Frechet distance of Gaussians fitted to features `[N, D]` and `[M, D]`; NaN under two rows or with NaN in them.

    ‖m1 - m2‖² + tr(S1 + S2 - 2 (S1^½ S2 S1^½)^½), covariances with n - 1 (Heusel et al. 2017; symmetric roots by eigendecomposition).
    Scripts built on a general matrix root drop an imaginary part or add 1e-6 to the diagonal when few samples make it singular; this form
    needs neither. It still grows with 1/N: compare only numbers of the same sample count, embedder and window.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise MetricError(
            f"features have shapes {list(first.shape)} and {list(second.shape)}; expected [N, D] and [M, D]"
        )
    if min(len(first), len(second)) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64, device=first.device)
    ours, theirs = first.double(), second.double()
    return gaussian_frechet_distance(ours.mean(0), ours.T.cov(), theirs.mean(0), theirs.T.cov())


def gaussian_frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> Tensor:
    """The same from means `[D]` and covariances `[D, D]`, float64."""
    cov_1, cov_2 = cov_1.reshape(len(mean_1), -1), cov_2.reshape(len(mean_2), -1)
    if not all(part.isfinite().all() for part in (mean_1, cov_1, mean_2, cov_2)):
        return torch.tensor(torch.nan, dtype=torch.float64, device=mean_1.device)
    root = _symmetric_root(cov_1)
    cross = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    value = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * cross
    return value.clamp(min=0)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


class FrechetMotionDistance(NamedClips):
    """`frechet_distance` between windows of all predictions and all truths seen.

    Curves `[B, T, channels]` (z-scored expression, or head axis-angle) are cut into windows of `length` frames every `hop`; each becomes one
    feature vector by `embedder`. Windows weigh the same, clips shorter than one are left out. A valid frame that is not finite makes the value NaN
    and names its clip, also where no window reaches it. Report `fingerprint` and `num_samples` with it.
    """

    higher_is_better = False
    count: Tensor
    total: Tensor
    products: Tensor

    def __init__(
        self, channels: int, embedder: MotionEmbedder | None = None, length: int = 50, hop: int = 25, **options: Any
    ) -> None:
        super().__init__(**options)
        self.embedder = embedder or MotionStatistics()
        self.length, self.hop = length, hop
        width = self.embedder.num_features(channels)
        # Of predictions and of truths.
        self.add_state("count", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(2, width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(2, width, width, dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def fingerprint(self) -> str:
        """Embedder and windows: numbers with different ones cannot be compared."""
        return f"{self.embedder.fingerprint}/{self.length}+{self.hop}"

    @property
    def num_samples(self) -> int:
        """Windows of predictions counted by this process."""
        return int(self.count[0])

    @property
    def facts(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, "num_samples": self.num_samples}

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor, keys: Sequence[str] | None = None) -> None:
        """Curves of prediction and truth `[B, T, C]` and their mask `[B, T]`, valid frames first."""
        check_pair(prediction, target, mask, "B T C")
        bad = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        for side, values in enumerate((prediction, target)):
            cut, _ = windows(values.detach(), mask, self.length, self.hop)
            features = self.embedder(cut, cut.new_ones(cut.shape[:2], dtype=torch.bool)).double()
            self.count[side] += len(features)
            self.total[side] += features.sum(0)
            self.products[side] += features.T @ features
            is_finite = (values.isfinite().all(-1) | ~mask).all(1)
            if not is_finite.all():
                self.total[side] = torch.nan
            bad |= ~is_finite
        self.note_bad_clips(bad, keys)

    def compute(self) -> Tensor:
        self.read_bad_clips()
        if self.count.min() < 2 or not self.total.isfinite().all():
            return torch.full((), torch.nan, dtype=torch.float64, device=self.count.device)
        mean = self.total / self.count[:, None]
        scatter = self.products - self.count[:, None, None] * mean[:, :, None] * mean[:, None]
        covariance = scatter / (self.count - 1)[:, None, None]
        return gaussian_frechet_distance(mean[0], covariance[0], mean[1], covariance[1])
