"""Whether a prediction moves as much as the person does: the spread of its expression against the truth's.

Coefficients `[B, T, C]` are normalised (z-scored with the training corpus), so that large and small ones count alike; masks
`[B, T]`. The released AdaMesh script pools all clips and, by a slip, the first 53 frames in place of the 53 dimensions.
"""

from __future__ import annotations

from torch import Tensor

from metrics.pairwise_spread import pairwise_spread
from metrics.weighted_mean import WeightedMean


def expression_richness(coefficients: Tensor, mask: Tensor) -> Tensor:
    """Mean pairwise L2 distance between the frames of each clip `[B]`, in standard deviations; NaN under two frames."""
    return pairwise_spread(coefficients, mask)


def expression_richness_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Richness of the prediction over that of the truth, each clip `[B]`: 1 = as rich, under 1 = too flat."""
    return expression_richness(prediction, mask) / expression_richness(target, mask)


class ExpressionRichnessRatio(WeightedMean):
    """Summed richness of the predictions over summed richness of the truths: clips in which the person moves weigh more."""

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        """Normalised coefficients `[B, T, C]` and their mask `[B, T]`; clips under two frames are not counted."""
        is_counted = mask.sum(1) >= 2
        self.total += expression_richness(prediction, mask)[is_counted].double().sum()
        self.weight += expression_richness(target, mask)[is_counted].double().sum()
