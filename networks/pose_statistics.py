"""How a head is held and moves, as a few numbers by which a person is found again, and the projection in which they tell
people apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from networks.pose_representation import HeadRepresentation

NUM_STATISTICS = 30
# Taken over pieces of about this many frames and averaged: a head's spread grows with the time watched.
_PIECE_FRAMES = 100
# Gaussian windows in frames whose differences are the bands: 40 ms to 0.64 s. What is faster than the first is jitter.
_WINDOWS = (1.0, 2.0, 4.0, 8.0, 16.0)
# Of the bands, those where nods and shakes stand out from free movement.
_GESTURES = slice(1, 3)
# Radians; a head that does not move at all must not have a deviation of zero, whose logarithm is infinite.
_STILL = 1e-4
# Pieces that an ordinary reference of 10 s has: how far its mean is to be trusted.
_REFERENCE_PIECES = 2.5


def pose_statistics(head: Tensor, representation: HeadRepresentation) -> Tensor:
    """Of a head `[T, 3]` (axis-angle, radians, 25 frames/s), T > 0: [30] on the CPU.

    Of its three angles from the corpus' mean head, each averaged over pieces of about 4 s: the mean; the logarithm of the
    deviation in five bands of frequency, which together tell amplitude from speed; and in the bands of nods and shakes the
    logarithm of the kurtosis (are there rare large movements?) and the skewness (to which side?).
    """
    angles = representation.from_centre(head).double()
    pieces = angles.tensor_split(max(1, round(len(angles) / _PIECE_FRAMES)))
    return torch.stack([_statistics_of_piece(piece) for piece in pieces]).mean(0).float().cpu()


def reference_statistics(heads: Sequence[Tensor], representation: HeadRepresentation) -> Tensor:
    """`pose_statistics` [30] of several clips `[T, 3]` as of one, each weighing by its length."""
    return weighted_mean([(len(head), pose_statistics(head, representation)) for head in heads if len(head)])


def weighted_mean(parts: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Mean [P] of statistics [P], each weighing by its number of frames."""
    frames = torch.tensor([float(number) for number, _ in parts])
    return (frames[:, None] * torch.stack([values for _, values in parts])).sum(0) / frames.sum()


def telling_apart(statistics: Sequence[Tensor]) -> Tensor:
    """`[P, P]` L so that |(a - b) L| weighs each direction by how well it tells sources apart (linear discriminants; Fisher,
    1936).

    `statistics` holds, for each source, those of its clips `[n, P]`. Directions in which clips of one source differ by 1 and
    sources by the variance v are scaled by sqrt(v / (v + 1 / n)), n = 2.5 clips in a reference: the share of a reference's
    difference that is the person's. Where no source has two clips, or there is one source, each statistic is divided by its
    deviation over all clips.
    """
    width = statistics[0].shape[1]
    means = torch.stack([clips.mean(0) for clips in statistics]).double()
    differences = torch.cat([clips - clips.mean(0) for clips in statistics]).double()
    freedom = len(differences) - len(statistics)
    if freedom == 0 or len(statistics) == 1:
        spread = torch.cat(list(statistics)).double().std(0, unbiased=False)
        return torch.diag(1 / torch.where(spread > 1e-6, spread, 1.0)).float()
    within = _shrunk_to_diagonal(differences.T @ differences / freedom, freedom / (freedom + width))
    white = torch.linalg.cholesky(torch.linalg.inv(within))
    # The means of sources differ by chance too: by the variance within, divided by the number of clips.
    clips_of_source = len(statistics) / sum(1 / len(clips) for clips in statistics)
    between = torch.cov(means.T) - within / clips_of_source
    variance, directions = torch.linalg.eigh(white.T @ between @ white)
    variance = variance.clamp(min=0)
    return (white @ directions * (variance / (variance + 1 / _REFERENCE_PIECES)).sqrt()).float()


def _shrunk_to_diagonal(covariance: Tensor, keep: float) -> Tensor:
    variance = covariance.diagonal().clamp(min=1e-6)
    return keep * covariance + torch.diag((1 - keep) * variance + 1e-9)


def _statistics_of_piece(angles: Tensor) -> Tensor:
    smooth = [_smoothed(angles, window) for window in _WINDOWS]
    bands = torch.stack([fine - coarse for fine, coarse in pairwise(smooth)])
    deviations = torch.cat([bands.square().mean(1).sqrt(), smooth[-1].std(0, unbiased=False)[None]])
    gestures = bands[_GESTURES]
    variance = gestures.square().mean(1)
    kurtosis = ((gestures.pow(4).mean(1) + _STILL**4) / (variance.square() + _STILL**4)).log()
    skewness = gestures.pow(3).mean(1) / (variance + _STILL**2).pow(1.5)
    parts = (angles.mean(0), deviations.clamp(min=_STILL).log(), kurtosis, skewness)
    return torch.cat([part.flatten() for part in parts])


def _smoothed(angles: Tensor, window: float) -> Tensor:
    """Angles `[T, 3]` under a Gaussian of `window` frames; beyond the ends lie the first and last ones."""
    reach = round(4 * window)
    offsets = torch.arange(-reach, reach + 1, dtype=angles.dtype, device=angles.device)
    kernel = (-0.5 * (offsets / window).square()).exp()
    padded = functional.pad(angles.T.unsqueeze(1), (reach, reach), mode="replicate")
    return functional.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1)).squeeze(1).T
