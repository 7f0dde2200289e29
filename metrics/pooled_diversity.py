"""AdaMesh's diversities as published: the frames of all clips in one pool, so that offsets between clips count as movement.

A set of frozen heads at different angles scores high; the within-clip forms are in `metrics.pose_diversity` and
`metrics.expression_richness`. Values `[N, C]` are axis-angle in radians, or z-scored coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.checks import check_curve
from metrics.weighted_mean import NamedClips

_ROWS = 1024


def pooled_diversity(values: Tensor) -> Tensor:
    """Sum over ordered pairs of ‖a - b‖ divided by n (n - 1), of frames `[N, C]`; exact, in blocks; NaN under two frames.

    As AdaMesh's scripts have it for poses (`pose_diversity_adamesh`, radians, axis-angle; clips named M007* left out by the caller) and
    for z-scored expression with jaw (`expression_diversity_adamesh`). Its released expression script takes the first 53 *frames* of a
    clip for the 53 dimensions; to reproduce that, pass only those frames.
    """
    values = values.double()
    total = values.new_zeros(())
    for start in range(0, len(values), _ROWS):
        block = values[start : start + _ROWS]
        # Pairs with later blocks count twice, pairs inside the block are already both ways.
        total = total + torch.cdist(block, block, compute_mode="donot_use_mm_for_euclid_dist").sum()
        for later in range(start + _ROWS, len(values), _ROWS):
            others = values[later : later + _ROWS]
            total = total + 2 * torch.cdist(block, others, compute_mode="donot_use_mm_for_euclid_dist").sum()
    count = len(values)
    return (total / count / (count - 1) if count > 1 else total * torch.nan).float()


def pose_lsd_adamesh(values: Tensor) -> Tensor:
    """Mean over components of the standard deviation (n) of pooled frames `[N, C]`; "lsd" of AdaMesh's pose script, radians; NaN under two frames."""
    return values.double().std(0, correction=0).mean().float() if len(values) > 1 else torch.tensor(torch.nan)


class PooledDiversity(NamedClips):
    """`pooled_diversity` of every valid frame of every clip seen; keeps the frames, and its cost grows with their square."""

    frames: list[Tensor]
    channels: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Flat, so that a process without clips contributes an empty list of the same rank.
        self.add_state("frames", [], dist_reduce_fx="cat")
        self.add_state("channels", torch.zeros((), dtype=torch.long), dist_reduce_fx="max")

    def update(self, values: Tensor, mask: Tensor, keys: Sequence[str] | None = None) -> None:
        """Poses or coefficients `[B, T, C]` and their mask `[B, T]`."""
        check_curve(values, mask, "B T C")
        self.frames.append(values[mask].detach().to(self.dtype).flatten())
        self.channels.fill_(values.shape[-1])
        bad = torch.where(mask.unsqueeze(-1), values, 0.0).isfinite().flatten(1).all(1)
        self.note_bad_clips(~bad, keys)

    def pool(self) -> Tensor:
        """All frames `[N, C]`."""
        flat = (
            self.frames
            if isinstance(self.frames, Tensor)
            else torch.cat([*self.frames, torch.zeros(0).to(self.device)])
        )
        return flat.view(-1, max(int(self.channels), 1))

    def compute(self) -> Tensor:
        self.read_bad_clips()
        return pooled_diversity(self.pool())


class PooledDeviation(NamedClips):
    """`pose_lsd_adamesh` of every valid frame of every clip seen, from float64 sums."""

    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, channels: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(channels, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(channels, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, mask: Tensor, keys: Sequence[str] | None = None) -> None:
        """Poses `[B, T, C]` and their mask `[B, T]`."""
        check_curve(values, mask, "B T C")
        values = torch.where(mask.unsqueeze(-1), values.detach().double(), 0.0)
        self.count += mask.sum()
        self.total += values.sum((0, 1))
        self.squares += values.square().sum((0, 1))
        self.note_bad_clips(~values.isfinite().flatten(1).all(1), keys)

    def compute(self) -> Tensor:
        self.read_bad_clips()
        mean = self.total / self.count
        deviation = (self.squares / self.count - mean.square()).clamp(min=0).sqrt().mean()
        return torch.where(self.count > 1, deviation, torch.nan)
