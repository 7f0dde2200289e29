"""Statistics over the valid frames of each clip: values `[B, T, ...]`, masks `[B, T]` (True = valid), results in float64.

Padding is replaced before anything is summed, so that NaN in it cannot spread; NaN in a valid frame makes its clip NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def over(mask: Tensor, values: Tensor) -> Tensor:
    """The mask `[B, T]` with as many trailing dimensions as `values` has."""
    return mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))


def clip_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames: `[B, T, ...]` -> `[B, ...]`; NaN for a clip without one."""
    mask = over(mask, values)
    return torch.where(mask, values.double(), 0.0).sum(1) / mask.sum(1)


def clip_deviation(values: Tensor, mask: Tensor, unbiased: bool = False) -> Tensor:
    """Standard deviation over valid frames, dividing by n (`unbiased`: n - 1): `[B, T, ...]` -> `[B, ...]`; NaN under two frames.

    The deviation of one frame would be 0 by its formula, which reads as a perfectly still clip, or, of an error, as a perfect one.
    """
    mask = over(mask, values)
    mean = clip_mean(values, mask.flatten(1)[:, : values.shape[1]])
    difference = torch.where(mask, values.double() - mean.unsqueeze(1), 0.0)
    count = mask.sum(1)
    deviation = (difference.square().sum(1) / (count - int(unbiased)).clamp(min=1)).sqrt()
    return torch.where(count > 1, deviation, torch.nan)


def ratio(ours: Tensor, theirs: Tensor) -> Tensor:
    """`ours / theirs`; NaN, not infinity, where the truth's is 0: beside somebody who holds still nobody moves by a share."""
    return torch.where(theirs == 0, torch.nan, ours / theirs)


def frame_differences(values: Tensor, mask: Tensor, order: int = 1) -> tuple[Tensor, Tensor]:
    """The `order`-th difference along time `[B, T - order, ...]` and the mask of those made of valid frames only."""
    values = values.double()
    for _ in range(order):
        values, mask = values.diff(dim=1), mask[:, 1:] & mask[:, :-1]
    return values, mask
