"""Lip distance after dynamic time warping: wrong shapes cost, being a little early or late does not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metrics.checks import check_pair
from metrics.weighted_mean import ClipMean

MM_PER_M = 1000.0


def lip_dtw_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Cost of the cheapest monotone alignment divided by the number of valid frames, each clip `[B]`, mm; lips `[B, T, V, 3]` metres.

    D(i, j) = c(i, j) + min(D(i-1, j), D(i, j-1), D(i-1, j-1)) with c the root of the mean squared distance over lip vertices
    between frame i of the prediction and frame j of the truth (Sakoe & Chiba 1978, symmetric steps, no band); the result is
    D(T, T) / T, so a constant offset counts as itself. Imitator, 3DiFACE and MemoryTalker print the cost of a clip as its DTW package
    gives it, which depends on the clip's length. NaN for a clip without frames.
    """
    check_pair(prediction, target, mask, "B T V 3")
    costs = [
        _warped_cost(ours[valid], theirs[valid]) for ours, theirs, valid in zip(prediction, target, mask, strict=True)
    ]
    return torch.tensor(costs, dtype=torch.float32, device=prediction.device)


def _warped_cost(prediction: Tensor, target: Tensor) -> float:
    if not len(prediction):
        return float("nan")
    # Centred and in float64, the product form of the distances is good to 1e-8 m and far faster than the plain one.
    centre = target.double().mean(0, keepdim=True)
    ours, theirs = ((curve.double() - centre).flatten(1) for curve in (prediction, target))
    squared = ours.square().sum(1)[:, None] + theirs.square().sum(1)[None] - 2 * ours @ theirs.T
    cost = (squared / prediction.shape[1]).clamp(min=0).sqrt()
    # The diagonal by itself, so that equal motions cost exactly nothing.
    cost.diagonal().copy_(((ours - theirs).square().sum(1) / prediction.shape[1]).sqrt())
    if not cost.isfinite().all():
        return float("nan")
    return MM_PER_M * cheapest_path(cost.cpu().numpy()) / len(prediction)


def cheapest_path(cost: np.ndarray) -> float:
    """Sum of `cost` `[M, N]` along the cheapest path from its first to its last corner by steps down, right or both.

    Walks the anti-diagonals, each at once, since the cells of one do not depend on each other.
    """
    rows, columns = cost.shape
    # skewed[d, i] = cost[i, d - i]
    skewed = np.full((rows + columns - 1, rows), np.inf)
    i, j = np.indices(cost.shape)
    skewed[i + j, i] = cost
    before, last = np.full(rows, np.inf), np.full(rows, np.inf)
    last[0] = skewed[0, 0]
    for diagonal in skewed[1:]:
        best = np.minimum(last, np.concatenate([[np.inf], np.minimum(last[:-1], before[:-1])]))
        before, last = last, diagonal + best
    return float(last[-1])


class LipDynamicTimeWarping(ClipMean):
    """`lip_dtw_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(lip_dtw_mm)
