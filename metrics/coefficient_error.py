"""How far coefficients lie from the true ones frame by frame, for data without a mesh to measure on."""

from __future__ import annotations

from torch import Tensor

from metrics.checks import check_pair
from metrics.masked import clip_mean
from metrics.weighted_mean import ClipMean


def coefficient_error_sd(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and coefficients of abs(difference), z-scored coefficients `[B, T, C]`, each clip `[B]`, in standard deviations of
    the corpus; NaN without frames.

    Own definition. Coefficients weigh alike, whatever they do to a face, and those that are constant in the corpus count as 0.
    """
    check_pair(prediction, target, mask, "B T C")
    return clip_mean((prediction - target).abs().mean(-1), mask).float()


class CoefficientError(ClipMean):
    """`coefficient_error_sd` over everything seen; every frame weighs the same."""

    higher_is_better = False
    function = staticmethod(coefficient_error_sd)
