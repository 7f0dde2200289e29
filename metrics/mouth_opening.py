"""How wide the mouth opens, against the truth: openings `[B, T]` in mm (`metrics.lip_closure.mouth_opening_mm`), masks `[B, T]`."""

from __future__ import annotations

from torch import Tensor

from metrics.checks import check_pair
from metrics.masked import clip_mean
from metrics.weighted_mean import ClipMean

MM_PER_M = 1000.0


def mouth_opening_deviation_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames of abs(opening of the prediction less that of the truth), each clip `[B]`, mm (MOD).

    The opening is one curve, the mean distance of facing inner-lip vertices. The term is DiffPoseTalk's;
    StreamingTalker compares five pairs one by one: `mod_streamingtalker_m`.
    """
    check_pair(prediction, target, mask, "B T")
    return clip_mean((prediction - target).abs(), mask).float()


def mod_streamingtalker_m(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and pairs of abs(distance of a pair less that in the truth), each clip `[B]`, metres.

    Takes pair distances `[B, T, P]` in metres. On FLAME: upper lip 2865 2866 3546 1751 1750, lower lip 2907 2938 3504 1849 1804.
    """
    check_pair(prediction, target, mask, "B T P")
    return clip_mean((prediction - target).abs().mean(-1), mask).float()


class MouthOpeningDeviation(ClipMean):
    """`mouth_opening_deviation_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(mouth_opening_deviation_mm)


class MouthOpeningDeviationPairs(ClipMean):
    """`mod_streamingtalker_m`; every clip weighs the same."""

    higher_is_better = False
    function = staticmethod(mod_streamingtalker_m)
    average = "clips"
