"""How much of a codebook is in use: codes `[B, T]` int64 from 0 to K - 1, masks `[B, T]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.checks import MetricError, check_mask
from metrics.weighted_mean import NamedClips


def code_counts(codes: Tensor, mask: Tensor, num_codes: int) -> Tensor:
    """How often each code occurs in valid frames: `[K]` float64. Raises MetricError for codes outside 0 to K - 1."""
    check_mask(codes, mask)
    used = codes[mask].long()
    if len(used) and (used.min() < 0 or used.max() >= num_codes):
        raise MetricError(
            f"codes run from {int(used.min())} to {int(used.max())}; expected 0 to {num_codes - 1} for a codebook of {num_codes}"
        )
    return torch.bincount(used, minlength=num_codes).double()


def code_perplexity(counts: Tensor) -> Tensor:
    """exp(-sum p log p) of code frequencies, from counts `[K]`: 1 = one code only, K = all alike; NaN without codes.

    The usual monitor of VQ-VAEs (van den Oord et al. 2017). Higher means that more of the codebook is in use, not that it is better.
    """
    share = counts.double() / counts.sum()
    return torch.exp(-torch.special.xlogy(share, share).sum())


def code_usage(counts: Tensor) -> Tensor:
    """Share of the codebook's codes that occur at least once, from counts `[K]`: 0 to 1; NaN without codes."""
    used = (counts > 0).double().mean()
    return torch.where(counts.sum() > 0, used, torch.nan)


class _CodeCounts(NamedClips):
    higher_is_better = True
    counts: Tensor

    def __init__(self, num_codes: int, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("counts", torch.zeros(num_codes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, codes: Tensor, mask: Tensor, keys: Sequence[str] | None = None) -> None:
        """Codes `[B, T]` and their mask `[B, T]`; every valid frame weighs the same. Codes cannot be NaN, so no clip is ever bad."""
        self.counts += code_counts(codes, mask, len(self.counts))


class CodePerplexity(_CodeCounts):
    """`code_perplexity` of the codes of everything seen."""

    def compute(self) -> Tensor:
        return code_perplexity(self.counts)


class CodeUsage(_CodeCounts):
    """`code_usage` of the codes of everything seen; grows with the number of frames, so compare equal amounts."""

    def compute(self) -> Tensor:
        return code_usage(self.counts)
