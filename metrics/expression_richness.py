"""Whether a prediction moves as much as the person does: the spread of its expression, within clips and as published.

Coefficients `[B, T, C]` are normalised (z-scored with the training corpus), so that large and small ones count alike; masks
`[B, T]`. Three things go by this name, so they have three:

* `expression_dispersion`: within a clip, mean over coefficients of the deviation over time;
* `expression_richness`: within a clip, mean distance of two of its frames;
* `expression_diversity_adamesh` (`metrics.pooled_diversity`): the same over the pooled frames of all clips, as AdaMesh's paper has
  it; between-clip offsets count there as movement.
"""

from __future__ import annotations

from torch import Tensor

from metrics.checks import check_curve, check_pair
from metrics.masked import clip_deviation, ratio
from metrics.pairwise_spread import pairwise_spread
from metrics.weighted_mean import ClipMean, ClipRatio


def expression_richness(coefficients: Tensor, mask: Tensor) -> Tensor:
    """Mean pairwise L2 distance between the frames of each clip `[B]`, in standard deviations; NaN under two frames."""
    check_curve(coefficients, mask, "B T C")
    return pairwise_spread(coefficients, mask)


def expression_richness_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Richness of the prediction over that of the truth, each clip `[B]`: 1 = as rich, under 1 = too flat; NaN of a still truth."""
    check_pair(prediction, target, mask, "B T C")
    return ratio(expression_richness(prediction, mask), expression_richness(target, mask))


def expression_dispersion(coefficients: Tensor, mask: Tensor) -> Tensor:
    """Mean over coefficients of the standard deviation over time of each clip `[B]`, in standard deviations of the corpus; NaN under two frames."""
    check_curve(coefficients, mask, "B T C")
    return clip_deviation(coefficients, mask).mean(-1).float()


def expression_dispersion_ratio(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Dispersion of the prediction over that of the truth, each clip `[B]`: 1 = as rich, under 1 = too flat; NaN of a still truth."""
    check_pair(prediction, target, mask, "B T C")
    return ratio(expression_dispersion(prediction, mask), expression_dispersion(target, mask))


class ExpressionRichness(ClipMean):
    """`expression_richness`; every clip of two or more frames weighs the same."""

    function = staticmethod(expression_richness)
    average = "clips"
    shortest = 2


class ExpressionDispersion(ClipMean):
    """`expression_dispersion`; every clip of two or more frames weighs the same."""

    function = staticmethod(expression_dispersion)
    average = "clips"
    shortest = 2


class ExpressionRichnessRatio(ClipRatio):
    """Summed richness of the predictions over summed richness of the truths: clips in which the person moves weigh more."""

    function = staticmethod(expression_richness)


class ExpressionDispersionRatio(ClipRatio):
    """Summed dispersion of the predictions over that of the truths: clips in which the person moves weigh more."""

    function = staticmethod(expression_dispersion)
